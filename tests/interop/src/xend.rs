//! A simulated host of xend's time, with a daemon of ours beside it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use test_support::{Daemon as _, Scratch, Signal, Virtd, our_program, signal, virsh, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

const PARAVIRTUAL: &str = "<domain type='xen'>
  <name>sxc18</name>
  <uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d</uuid>
  <memory unit='MiB'>512</memory>
  <currentMemory unit='MiB'>256</currentMemory>
  <vcpu current='1'>2</vcpu>
  <os><type>linux</type><kernel>/boot/vmlinuz</kernel><cmdline>root=/dev/xvda</cmdline></os>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>preserve</on_crash>
  <devices>
    <disk type='file'><driver name='file'/><source file='/srv/sxc18.img'/>
      <target dev='xvda'/></disk>
    <interface type='bridge'><mac address='00:16:3e:1b:2c:3d'/><source bridge='e1000g0'/>
    </interface>
    <graphics type='vnc' autoport='yes'/>
  </devices>
</domain>
";

const FULL: &str = "<domain type='xen'>
  <name>win</name>
  <uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4e</uuid>
  <memory unit='MiB'>512</memory>
  <vcpu>1</vcpu>
  <os><type>hvm</type><loader>/usr/lib/xen/boot/hvmloader</loader><boot dev='hd'/></os>
  <features><pae/><acpi/><apic/></features>
  <devices>
    <disk type='file'><driver name='file'/><source file='/srv/win.img'/>
      <target dev='hda'/></disk>
    <disk type='file' device='cdrom'><driver name='file'/><source file='/srv/a.iso'/>
      <target dev='hdc'/><readonly/></disk>
    <graphics type='vnc' port='5904'/>
  </devices>
</domain>
";

const SXP: &str = "(vm (name a)(uuid 0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4f)(memory 64)(vcpus 1)\
                   (on_reboot restart)(image (linux (kernel /boot/k)(args 'root=/dev/xvda'))))\n";

/// A simulated host, with a daemon beside it.
pub struct XendHost {
    xend: Child,
    virtd: Virtd,
    relocation: String,
    home: Scratch,
}

impl XendHost {
    /// The guest that stands in `sxc18.xml` of its folder.
    pub const PARAVIRTUAL: &str = PARAVIRTUAL;

    /// Starts a release, and the daemon.
    pub fn start(profile: &str) -> Self {
        Self::configured(profile, "")
    }

    /// The same with more in the driver's configuration.
    pub fn configured(profile: &str, more: &str) -> Self {
        Self::beside(profile, more, Virtd::start())
    }

    /// The same with a daemon that is there already.
    pub fn start_beside(profile: &str, virtd: Virtd) -> Self {
        Self::beside(profile, "", virtd)
    }

    fn beside(profile: &str, more: &str, virtd: Virtd) -> Self {
        let home = Scratch::new("xen");
        home.write("sxc18.xml", PARAVIRTUAL);
        home.write("win.xml", FULL);
        home.write("a.sxp", SXP);
        std::fs::create_dir(home.join("xm")).expect("a folder");
        let mut command = Command::new(our_program("xend-sim"));
        command.args(["--profile", profile, "--relocation", "127.0.0.1:0"]);
        for (option, name) in [
            ("--unix", "xend"),
            ("--xenstore", "xenstore"),
            ("--domains-dir", "domains"),
            ("--ready-file", "ready"),
            ("--control-file", "control"),
        ] {
            command.arg(option).arg(home.join(name));
        }
        let xend = command.stdin(Stdio::null()).spawn().expect("the simulator starts");
        let ready = home.join("ready");
        assert!(wait_until(LIMIT, || ready.exists()), "the simulator is not ready");
        let text = std::fs::read_to_string(&ready).expect("its addresses");
        let relocation = text.lines().find_map(|line| line.strip_prefix("relocation="));
        let relocation = relocation.expect("an address").to_owned();
        configure(&virtd, &home, more);
        Self { xend, virtd, relocation, home }
    }

    /// What the host's services do wrong from now on: `fault=WORD` in lines.
    pub fn set(&self, faults: &str) {
        self.home.write("control", faults);
    }

    /// Another daemon on the same host, of whose settings `more` takes the place.
    pub fn another(&self, more: &str) -> Virtd {
        let virtd = Virtd::start();
        configure(&virtd, &self.home, more);
        virtd
    }

    /// Where its files are.
    pub fn home(&self) -> &Scratch {
        &self.home
    }

    pub fn virtd(&self) -> &Virtd {
        &self.virtd
    }

    /// Where it takes guests of other hosts.
    pub fn relocation(&self) -> &str {
        &self.relocation
    }

    /// A shell on the daemon.
    pub fn virsh(&self, program: &Path) -> Command {
        virsh(program, &self.virtd.uri("xen", ""), self.home.path())
    }
}

/// Has a daemon find the host's services in a folder.
fn configure(virtd: &Virtd, home: &Scratch, more: &str) {
    let mut conf = "privcmd = \"\"\n".to_owned();
    for (key, name) in [
        ("xend_socket", "xend"),
        ("xenstored_socket", "xenstore"),
        ("xend_domains_dir", "domains"),
        ("xm_dir", "xm"),
    ] {
        if !more.contains(key) {
            conf.push_str(&format!("{key} = \"{}\"\n", home.join(name).display()));
        }
    }
    std::fs::write(virtd.base().join("etc/libvirt/xen.conf"), conf + more)
        .expect("the folder is ours");
}

impl Drop for XendHost {
    fn drop(&mut self) {
        signal(self.xend.id().cast_signed(), Signal::TERM);
        let ended = wait_until(LIMIT, || matches!(self.xend.try_wait(), Ok(Some(_))));
        assert!(ended, "the simulator does not end");
    }
}
