//! The system's daemon gives guests away: to an unprivileged user, with the files they use.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::time::Duration;

use test_support::{
    Daemon as _, Scratch, Virtd, our_program, run, skipped, tiny_domain, tiny_guest_in, virsh,
};

const LIMIT: Duration = Duration::from_secs(60);

/// The user that owns nothing, on every Linux.
const NOBODY: (u32, u32) = (65534, 65534);

/// Somebody else, who need not exist.
const BEFORE: (u32, u32) = (61_001, 61_002);

struct World {
    virtd: Virtd,
    files: Scratch,
}

impl World {
    /// A daemon whose emulators run as nobody; or why there is none.
    fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root's daemon can start emulators as somebody else".into());
        }
        if !Path::new("/usr/bin/qemu-system-x86_64").exists() {
            return Err("no qemu-system-x86_64".into());
        }
        let mut virtd = Virtd::start();
        assert_eq!(virtd.stop(), Some(0));
        let config = "user = \"+65534\"\ngroup = \"+65534\"\nmax_files = 4321\n";
        let path = virtd.base().join("etc/libvirt/qemu.conf");
        fs::write(path, config).map_err(|error| error.to_string())?;
        virtd.restart();
        let files = Scratch::new("owner");
        tiny_guest_in(&files)?;
        fs::write(files.join("disk"), [0; 4096]).map_err(|error| error.to_string())?;
        chown(files.join("disk"), Some(BEFORE.0), Some(BEFORE.1))
            .map_err(|error| error.to_string())?;
        let disk = format!(
            "<disk type='file'><source file='{}'/><target dev='vda' bus='virtio'/></disk></devices>",
            files.join("disk").display()
        );
        let document = tiny_domain("guest", "qemu", &files.join("kernel"));
        files.write("guest.xml", document.replace("</devices>", &disk));
        Ok(Self { virtd, files })
    }

    fn ask(&self, line: &str) -> Result<String, String> {
        let uri = self.virtd.uri("qemu", "system");
        let shell = our_program("virsh");
        let outcome = run(virsh(&shell, &uri, self.files.path()).arg(line), LIMIT);
        if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.stderr) }
    }

    fn create(&self) -> Result<String, String> {
        self.ask(&format!("create {}", self.files.join("guest.xml").display()))
    }

    fn owner(&self, name: &str) -> (u32, u32) {
        let meta = fs::metadata(self.files.join(name)).expect("the file is there");
        (meta.uid(), meta.gid())
    }

    /// A line of a file about the guest's process.
    fn process(&self, file: &str, name: &str) -> String {
        let pid = fs::read_to_string(self.virtd.base().join("run/libvirt/qemu/guest.pid"));
        let path = format!("/proc/{}/{file}", pid.expect("it runs").trim());
        let text = fs::read_to_string(path).expect("it runs");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_guest_is_nobodys_and_its_disk_comes_back() {
    let mut world = match World::start() {
        Ok(world) => world,
        Err(reason) => return skipped(reason),
    };
    let remembers = rustix::fs::setxattr(
        world.files.join("kernel"),
        "trusted.ferrovirt",
        b"1",
        rustix::fs::XattrFlags::empty(),
    );
    world.create().expect("it starts");
    assert_eq!(world.process("status", "Uid:"), "Uid: 65534 65534 65534 65534");
    assert_eq!(world.process("status", "Gid:"), "Gid: 65534 65534 65534 65534");
    assert_eq!(world.process("status", "CapEff:"), "CapEff: 0000000000000000");
    assert!(world.process("limits", "Max open files").starts_with("Max open files 4322 4322"));
    assert_eq!((world.owner("disk"), world.owner("kernel")), (NOBODY, NOBODY));
    let live = world.ask("dumpxml guest").expect("it is there");
    let label = "  <seclabel type='dynamic' model='dac' relabel='yes'>\n    \
                 <label>+65534:+65534</label>\n    <imagelabel>+65534:+65534</imagelabel>\n  \
                 </seclabel>\n";
    assert!(live.contains(label), "{live}");
    let capabilities = world.ask("capabilities").expect("they are told");
    assert!(capabilities.contains("<baselabel type='qemu'>+65534:+65534</baselabel>"));

    // A daemon that dies knows afterwards what to give back.
    world.virtd.kill();
    world.virtd.restart();
    world.ask("destroy guest").expect("it ends");
    assert_eq!(world.owner("kernel"), (0, 0));
    match remembers {
        Ok(()) => assert_eq!(world.owner("disk"), BEFORE),
        Err(_) => skipped("no trusted attributes on the temporary folder: nobody is remembered"),
    }
}

#[test]
fn a_folder_in_the_way_is_named_and_nothing_is_given_away() {
    let world = match World::start() {
        Ok(world) => world,
        Err(reason) => return skipped(reason),
    };
    world.files.set_mode(0o700);
    let error = world.create().expect_err("nobody may not pass");
    let folder = world.files.path().display();
    assert!(
        error.contains(&format!("may not search '{folder}' (mode 0700, owner 0:0)")),
        "{error}"
    );
    assert_eq!((world.owner("disk"), world.owner("kernel")), (BEFORE, (0, 0)));
    world.files.set_mode(0o711);
    world.create().expect("now it may");
    world.ask("destroy guest").expect("it ends");
}

/// The kernel closes a killed daemon's sockets and locks one after the other, and a new one may come
/// between them.
#[test]
fn a_daemon_is_started_again_the_moment_it_is_killed() {
    let mut virtd = Virtd::start();
    for _ in 0..20 {
        virtd.kill_unawaited();
        virtd.restart();
    }
    let answer = run(
        &mut {
            let mut shell =
                virsh(&our_program("virsh"), &virtd.uri("test", "default"), virtd.base());
            shell.arg("list");
            shell
        },
        LIMIT,
    );
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(!virtd.log().contains("Failed to"), "{}", virtd.log());
    assert_eq!(virtd.stop(), Some(0));
}
