//! The same commands to our daemon and to libvirt's own Xen driver, one after the other in one control domain.
//!
//! Debian's shell asks both. What differs, and why, stands in `differs.txt`; what differs beyond that
//! fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use real_xen::{Daemon, LONG, Xen, release, until};
use test_support::{Outcome, long_run, or_skip, reference_program, run, skipped};

const GUEST: &str = "<domain type='xen'>
  <name>a</name>
  <uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d</uuid>
  <memory unit='KiB'>98304</memory>
  <currentMemory unit='KiB'>98304</currentMemory>
  <vcpu current='1'>2</vcpu>
  <os>
    <type>linux</type>
    <kernel>/guest/vmlinux</kernel>
    <initrd>/guest/guest.gz</initrd>
    <cmdline>console=hvc0 quiet mitigations=off</cmdline>
  </os>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='block' device='disk'>
      <driver name='phy'/>
      <source dev='/dev/loop0'/>
      <target dev='xvda'/>
    </disk>
    <interface type='bridge'>
      <mac address='00:16:3e:00:00:01'/>
      <source bridge='xenbr0'/>
    </interface>
  </devices>
</domain>
";

const XL: &str = "name = \"b\"\nuuid = \"0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4e\"\nmemory = 64\nmaxmem = 64\n\
    vcpus = 1\ntype = \"pv\"\nkernel = \"/guest/vmlinux\"\ncmdline = \"quiet\"\n\
    disk = [ \"format=raw,vdev=xvda,access=rw,backendtype=phy,target=/dev/loop0\" ]\n\
    vif = [ \"mac=00:16:3e:00:00:05,bridge=xenbr0\" ]\n";

/// Each is a session; `WAIT` is where the guest needs a moment.
const SESSIONS: &[&str] = &[
    "uri",
    "version",
    "list",
    "list --all",
    "nodeinfo",
    "freecell",
    "maxvcpus",
    "maxvcpus --type xen",
    "capabilities",
    "sysinfo",
    "nodecpumap",
    "nodecpustats",
    "nodememstats",
    "domcapabilities",
    "dominfo Domain-0",
    "dumpxml Domain-0",
    "domstate Domain-0 --reason",
    "domuuid Domain-0",
    "define {DIR}/a.xml",
    "define {DIR}/a.xml",
    "list --inactive",
    "dominfo a",
    "domstate a --reason",
    "dumpxml a",
    "dumpxml a --inactive",
    "vcpucount a",
    "vcpupin a",
    "schedinfo a",
    "domblklist a",
    "domiflist a",
    "domxml-to-native xen-xl {DIR}/a.xml",
    "domxml-to-native xen-xm {DIR}/a.xml",
    "domxml-to-native xen-sxpr {DIR}/a.xml",
    "domxml-from-native xen-xl {DIR}/b.cfg",
    "domxml-from-native xen-xm {DIR}/b.cfg",
    "domxml-from-native xen-sxpr {DIR}/b.cfg",
    "autostart a",
    "autostart a --disable",
    "start a",
    "WAIT",
    "start a",
    "list",
    "domid a",
    "domname 99",
    "domuuid a",
    "dominfo a",
    "dumpxml a",
    "domstate a",
    "vcpuinfo a",
    "vcpucount a",
    "vcpupin a",
    "vcpupin a 0 0",
    "vcpupin a 9 0",
    "setvcpus a 3",
    "schedinfo a",
    "schedinfo a --weight 500",
    "schedinfo a --cap 50",
    "schedinfo a --weight 0",
    "dommemstat a",
    "domblkstat a xvda",
    "domblkstat a xvdz",
    "domifstat a 00:16:3e:00:00:09",
    "domblkinfo a xvda",
    "ttyconsole a",
    "vncdisplay a",
    "numatune a",
    "memtune a",
    "blkiotune a",
    "emulatorpin a",
    "iothreadinfo a",
    "domcontrol a",
    "domjobinfo a",
    "domstats a",
    "reset a",
    "inject-nmi a",
    "send-key a KEY_A",
    "screenshot a",
    "domtime a",
    "domfsinfo a",
    "qemu-monitor-command a x",
    "setmem a 90M",
    "setmem a 900M",
    "setmaxmem a 90M",
    "suspend a",
    "domstate a --reason",
    "suspend a",
    "resume a",
    "domstate a",
    "domrename a c",
    "managedsave-remove a",
    "destroy a --graceful",
    "domstate a --reason",
    "destroy a",
    "undefine a",
    "undefine a",
    "net-list",
    "pool-list",
    "secret-list",
    "nodedev-list",
];

fn steady(text: &str) -> String {
    let line = |line: &str| -> String {
        let (name, _) = line.split_once(':').unwrap_or((line, ""));
        if matches!(name.trim(), "CPU time" | "CPU" | "State" | "CPU frequency" | "Total" | "0") {
            return format!("{name}:");
        }
        let words = line.split_whitespace().map(|word| match word {
            word if word.contains("/dev/pts/") => "{TTY}",
            "running" | "idle" => "{UP}",
            "(libvirtd)" => "",
            word => word,
        });
        // Ids go on counting from one daemon to the other.
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What one daemon says to each session, in order.
fn ask(xen: &Xen, shell: &Path, daemon: Daemon) -> Vec<String> {
    let directory = xen.home().path().display().to_string();
    let mut id = String::new();
    let mut all = Vec::new();
    for session in SESSIONS {
        if *session == "WAIT" {
            until("the guest is up", || {
                xen.sh("grep -c 'guest is up' /var/log/xen/console/guest-a.log").0 != "0"
            });
            id = run(&mut xen.shell_of(shell, daemon, "domid a"), LONG).stdout.trim().to_owned();
            all.push(String::new());
            continue;
        }
        let line = session.replace("{DIR}", &directory);
        let mut command = xen.shell_of(shell, daemon, &line);
        let Outcome { stdout, stderr, code } = run(&mut command, LONG);
        let said = format!("{stdout}{stderr}[{}]", code.unwrap_or(-1)).replace(&directory, "{DIR}");
        let mut said = steady(&said);
        if !id.is_empty() {
            for (from, to) in [
                (format!("id='{id}'"), "id='{ID}'".to_owned()),
                (format!("{id} a "), "{ID} a ".to_owned()),
                (format!("vif{id}.0"), "vif{ID}.0".to_owned()),
                (format!("Id: {id}\n"), "Id: {ID}\n".to_owned()),
            ] {
                said = said.replace(&from, &to);
            }
            if *session == "domid a" {
                said = said.replace(&id, "{ID}");
            }
        }
        all.push(said.replace(&xen.port(daemon).to_string(), "{PORT}"));
    }
    all
}

fn differs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("differs.txt")
}

/// Sessions that may differ, with reasons: `SESSION: why`.
fn known() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(differs()).expect("the list of differences");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pair = |line: &str| {
        let (session, why) = line.split_once('\t').expect("a session and its reason");
        (session.to_owned(), why.to_owned())
    };
    lines.map(pair).collect()
}

#[test]
fn the_same_commands_say_the_same_as_libvirts_driver() {
    if !long_run() {
        return skipped("minutes long: cargo xtask xen --long");
    }
    let shell = or_skip!(reference_program("virsh"));
    let xen = or_skip!(Xen::start(&release()));
    xen.home().write("a.xml", GUEST);
    xen.home().write("b.cfg", XL);
    xen.inside("dd if=/dev/zero of=/run/a.img bs=1M count=4 2>&-; losetup /dev/loop0 /run/a.img");
    let ours = ask(&xen, &shell, Daemon::Ours);
    xen.inside("kill $(cat /run/virtd.pid); rm -f /var/log/xen/console/guest-a.log");
    xen.inside(
        "printf '%s\\n' 'listen_tls = 0' 'listen_tcp = 1' 'auth_tcp = \"none\"' 'tcp_port = \"16510\"' \
         'listen_addr = \"0.0.0.0\"' >/run/libvirtd.conf; mkdir -p /run/libvirt /var/lib/libvirt; \
         libvirtd --listen --config /run/libvirtd.conf >>/share/libvirtd.log 2>&1 &",
    );
    until("libvirt's daemon answers", || {
        run(&mut xen.shell_of(&shell, Daemon::Libvirts, "uri"), LONG).code == Some(0)
    });
    let theirs = ask(&xen, &shell, Daemon::Libvirts);
    let known = known();
    let (mut same, mut wrong) = (0, Vec::new());
    for (at, session) in SESSIONS.iter().enumerate() {
        match (ours[at] == theirs[at], known.get(*session)) {
            (true, _) => same += 1,
            (false, Some(why)) => println!("differs: {session}: {why}"),
            (false, None) => wrong.push(format!(
                "$ virsh {session}\n--- ours\n{}\n--- libvirt's\n{}\n",
                ours[at], theirs[at]
            )),
        }
    }
    println!("{same} of {} sessions are the same", SESSIONS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
