//! Ours in the place of libvirt's daemon: a running guest is taken over and given back, and what would
//! be started is said in the same words.

use std::path::Path;
use std::time::Duration;

use test_support::{
    Daemon, Outcome, Reference, Scratch, debian_program, or_skip, our_program, reference_program,
    run, tiny_domain, tiny_guest_in, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);

fn files() -> Result<Scratch, String> {
    debian_program("qemu-system-x86_64")?;
    let home = Scratch::new("takeover");
    home.set_mode(0o755);
    let kernel = tiny_guest_in(&home)?;
    let disk = home.join("disk.raw");
    std::fs::write(&disk, [0_u8; 65536]).map_err(|error| error.to_string())?;
    let disk = format!(
        "<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>\
         <source file='{}'/><target dev='vdb' bus='virtio'/><readonly/></disk>",
        disk.display()
    );
    home.write("guest.xml", tiny_domain("guest", "qemu", &kernel).replace("<devices>", &disk));
    // Whoever the daemon runs as may start it from there.
    std::fs::copy(our_program("virtd"), home.join("virtd")).map_err(|error| error.to_string())?;
    Ok(home)
}

struct Shell<'a> {
    uri: String,
    program: &'a Path,
    home: &'a Scratch,
}

impl Shell<'_> {
    fn run(&self, line: &str) -> Outcome {
        run(virsh(self.program, &self.uri, self.home.path()).arg(line), LIMIT)
    }

    /// Whether the guest comes into this state in time.
    fn comes_to(&self, state: &str) -> bool {
        wait_until(LIMIT, || self.run("domstate guest --reason").stdout.trim() == state)
    }
}

/// What the status file says of the emulator's abilities, on which nobody of ours acts.
fn abilities(daemon: &Reference) -> Vec<String> {
    let status = daemon.home().join("libvirt/qemu/run/guest.xml");
    let status = std::fs::read_to_string(status).unwrap_or_default();
    status.lines().filter(|line| line.contains("<flag name=")).map(str::to_owned).collect()
}

#[test]
fn a_running_guest_is_taken_over_and_given_back() {
    let program = or_skip!(reference_program("virsh"));
    let libvirtd = or_skip!(reference_program("libvirtd"));
    let home = or_skip!(files());
    let mut daemon = or_skip!(Reference::start());
    let shell = Shell { uri: daemon.uri("qemu", "session"), program: &program, home: &home };
    let document = home.join("guest.xml");
    shell.run(&format!("create {}", document.display())).ok();
    let before = (shell.run("dumpxml guest").ok(), abilities(&daemon));
    assert!(!before.1.is_empty(), "libvirt noted nothing");

    daemon.succeeded_by(&home.join("virtd")).expect("our daemon starts there");
    assert!(shell.comes_to("running (booted)"), "{:?}", shell.run("list --all"));
    assert_eq!(shell.run("dumpxml guest").ok(), before.0);
    assert!(shell.run("domblkstat guest vdb").ok().contains("rd_req"));
    shell.run("suspend guest").ok();
    assert_eq!(abilities(&daemon), before.1);

    daemon.succeeded_by(&libvirtd).expect("libvirt's daemon starts again");
    assert!(shell.comes_to("paused (user)"), "{:?}", shell.run("list --all"));
    assert_eq!(shell.run("dumpxml guest").ok(), before.0);
    shell.run("resume guest").ok();
    assert!(shell.run("domblkstat guest vdb").ok().contains("rd_req"));
    shell.run("destroy guest").ok();
}

/// A guest of which libvirt's command line does not depend on the host.
const SHOWN: &str = "<domain type='qemu'><name>shown</name>
<uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory unit='MiB'>64</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/tmp/it, it.raw'/>
<target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<serial type='pty'/><graphics type='vnc' autoport='yes'/>
<controller type='usb' index='0' model='ich9-ehci1'/>
<controller type='usb' index='0' model='ich9-uhci1'><master startport='0'/></controller>
<controller type='usb' index='0' model='ich9-uhci2'><master startport='2'/></controller>
<controller type='usb' index='0' model='ich9-uhci3'><master startport='4'/></controller>
<input type='tablet' bus='usb'/>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>";

#[test]
fn the_native_form_is_what_libvirt_prints() {
    let program = or_skip!(reference_program("virsh"));
    let home = or_skip!(files());
    home.write("shown.xml", SHOWN);
    let mut daemon = or_skip!(Reference::start());
    let shell = Shell { uri: daemon.uri("qemu", "session"), program: &program, home: &home };
    let shown = home.join("shown.xml");
    let lines = [
        format!("domxml-to-native qemu-argv --xml {}", shown.display()),
        format!("domxml-to-native foo --xml {}", shown.display()),
        format!("domxml-from-native qemu-argv {}", shown.display()),
        format!(
            "define {0}; domxml-to-native qemu-argv --domain shown; undefine shown",
            shown.display()
        ),
    ];
    let theirs: Vec<Outcome> = lines.iter().map(|line| shell.run(line)).collect();
    daemon.succeeded_by(&home.join("virtd")).expect("our daemon starts there");
    for (line, theirs) in lines.iter().zip(theirs) {
        assert_eq!(shell.run(line), theirs, "{line}");
    }
}
