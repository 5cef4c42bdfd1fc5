//! Guests of the QEMU driver with vdisks: formats that QEMU itself cannot write, kept by `vdiskadm`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use test_support::{
    Daemon as _, Outcome, Scratch, Virtd, counting_boot_sector, debian_program, or_skip,
    our_program, run, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);

struct World {
    virtd: Virtd,
    files: Scratch,
}

impl World {
    fn start() -> Self {
        let (virtd, files) = (Virtd::start(), Scratch::new("vdisk"));
        files.set_mode(0o711);
        let mut disk = counting_boot_sector();
        disk.resize(8 << 20, 0);
        files.write("boot", disk);
        Self { virtd, files }
    }

    fn tool(&self, line: &str) -> Outcome {
        let words = line.split_whitespace();
        let mut command = Command::new(our_program("vdiskadm"));
        run(command.args(words).current_dir(self.files.path()), LIMIT)
    }

    fn uri(&self) -> String {
        self.virtd.uri("qemu", if is_root() { "system" } else { "session" })
    }

    fn ask(&self, line: &str) -> Outcome {
        run(virsh(&our_program("virsh"), &self.uri(), self.files.path()).arg(line), LIMIT)
    }

    /// A domain that boots from a vdisk and prints on its serial line.
    fn domain(&self, name: &str, vdisk: &str) {
        let base = self.files.path().display();
        let document = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='tap' type='vdisk'/>
      <source file='{base}/{vdisk}'/>
      <target dev='hda' bus='ide'/>
    </disk>
    <serial type='file'><source path='{base}/{name}.serial'/><target port='0'/></serial>
    <memballoon model='none'/>
  </devices></domain>"
        );
        self.files.write(&format!("{name}.xml"), document);
    }

    /// Boots the guest; gives what it printed.
    fn boot(&self, name: &str) -> String {
        let serial = self.files.join(&format!("{name}.serial"));
        let _ = fs::remove_file(&serial);
        self.ask(&format!("create {name}.xml")).ok();
        let text = || fs::read_to_string(&serial).unwrap_or_default();
        assert!(wait_until(LIMIT, || !text().is_empty()), "{name} prints nothing");
        text()
    }

    /// Ends the guest; its vdisk is free again soon after.
    fn end(&self, name: &str, vdisk: &str) {
        self.ask(&format!("destroy {name}")).ok();
        let free = || self.tool(&format!("prop-get -p rwcnt {vdisk}")).stdout == "0\n";
        assert!(wait_until(LIMIT, free), "{vdisk} stays in use");
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_guest_lives_on_a_vdisk_of_every_format() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let mut world = World::start();
    for kind in ["vmdk", "vdi", "vhd", "qcow2"] {
        world.tool(&format!("import -x raw -d boot -t {kind}:sparse {kind}")).ok();
        world.domain("guest", kind);
        assert_eq!(world.boot("guest"), "1", "{kind}");
        world.virtd.kill();
        world.virtd.restart();
        assert_eq!(world.ask("domstate guest").ok().trim(), "running", "{kind}");
        world.end("guest", kind);
        assert_eq!(world.boot("guest"), "2", "{kind}");
        world.end("guest", kind);
        world.tool(&format!("snapshot {kind}@s")).ok();
        assert_eq!(world.boot("guest"), "3", "{kind}");
        world.end("guest", kind);
        world.tool(&format!("rollback -r {kind}@s")).ok();
        assert_eq!(world.boot("guest"), "3", "{kind}: the old data are back");
        world.end("guest", kind);
        world.tool(&format!("verify {kind}")).ok();
    }
}

#[test]
fn a_second_writer_of_a_vdisk_is_refused() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let world = World::start();
    world.tool("import -x raw -d boot -t vhd:sparse d").ok();
    for name in ["one", "two"] {
        world.domain(name, "d");
    }
    world.boot("one");
    let sizes = world.ask("domblkinfo one hda").ok();
    assert!(sizes.contains("Capacity:       8388608"), "{sizes}");
    assert!(world.tool("snapshot d@s").stderr.contains("in use"));
    let refused = world.ask("create two.xml");
    let place = world.files.join("d");
    let wanted = format!("cannot use vdisk '{}': ", place.display());
    assert!(refused.code == Some(1) && refused.stderr.contains(&wanted), "{}", refused.stderr);
    assert!(refused.stderr.contains("is in use"), "{}", refused.stderr);
    assert_eq!(world.ask("domstate one").ok().trim(), "running");
    world.end("one", "d");
    world.boot("two");
    world.end("two", "d");
}

#[test]
fn an_image_may_stand_in_a_vdisks_place() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let world = World::start();
    world.tool("translate -i raw -I boot -x vhd -d plain.vhd").ok();
    for name in ["one", "two"] {
        world.domain(name, "plain.vhd");
    }
    assert_eq!(world.boot("one"), "1");
    let refused = world.ask("create two.xml");
    assert!(refused.stderr.contains("is in use"), "{}", refused.stderr);
    world.ask("destroy one").ok();
    assert_eq!(world.boot("two"), "2");
    world.ask("destroy two").ok();
}

/// Debian's virt-install takes a folder by its element only: as a `path=` it wants a file.
#[test]
fn virt_install_puts_a_guest_on_a_vdisk() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let virt_install = or_skip!(debian_program("virt-install"));
    let world = World::start();
    world.tool("create -s 8m d").ok();
    let folder = world.files.join("d");
    let disk = format!(
        "source.file={},type=file,driver.name=tap,driver.type=vdisk,target.bus=ide",
        folder.display()
    );
    let install = |name: &str| {
        let mut command = Command::new(&virt_install);
        command.args(["--connect", &world.uri(), "--name", name, "--disk", &disk]);
        command.args(["--virt-type", "qemu", "--machine", "pc", "--memory", "32", "--import"]);
        command.args(["--osinfo", "generic", "--network", "none", "--graphics", "none"]);
        command.args(["--controller", "usb,model=none", "--noautoconsole"]);
        run(command.env("HOME", world.files.path()), LIMIT)
    };
    let outcome = install("one");
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(world.ask("domstate one").ok().trim(), "running");
    assert_eq!(world.tool("prop-get -p rwcnt d").ok(), "1\n");
    assert_eq!(install("two").code, Some(1), "it is in use");
    world.end("one", "d");
    world.ask("undefine one").ok();
}

#[test]
fn what_is_no_vdisk_is_named() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let world = World::start();
    fs::create_dir(world.files.join("empty")).expect("a folder");
    world.domain("guest", "empty");
    let refused = world.ask("create guest.xml");
    assert_eq!(refused.code, Some(1));
    let wanted = format!("cannot use vdisk '{}'", world.files.join("empty").display());
    assert!(refused.stderr.contains(&wanted), "{}", refused.stderr);
    assert_eq!(world.ask("list --all --name").ok().trim(), "");
}
