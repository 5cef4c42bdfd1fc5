//! One life of a guest on every driver, by both shells: what the founding documents' commands print of it.

use std::path::Path;
use std::time::Duration;

use interop::{LdomsHost, Person, XendHost, shells};
use test_support::{
    Daemon as _, Lkvm, Scratch, Virtd, debian_program, fake_kernel, guests_path, lkvm_domain,
    or_skip, our_program, run, tiny_domain, tiny_guest_in, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(120);

/// What a person does who leaves a guest one virtual CPU of several.
const EDITOR: &str = "sed -i 's,>[0-9]*</vcpu>,>1</vcpu>,'";

/// A shell at a connection.
struct Seat<'a> {
    shell: &'a Path,
    uri: &'a str,
    home: &'a Path,
}

impl Seat<'_> {
    /// What is printed of a command that succeeds.
    #[track_caller]
    fn said(&self, args: &[&str]) -> String {
        let mut shell = virsh(self.shell, self.uri, self.home);
        shell.env("EDITOR", EDITOR).arg("-q").args(args);
        let outcome = run(&mut shell, LIMIT);
        assert_eq!(outcome.code, Some(0), "{args:?}: {}", outcome.stderr);
        outcome.stdout.trim().to_owned()
    }

    #[track_caller]
    fn refused(&self, args: &[&str], because: &str) {
        let outcome = run(virsh(self.shell, self.uri, self.home).arg("-q").args(args), LIMIT);
        assert_eq!(outcome.code, Some(1), "{args:?}: {}", outcome.stdout);
        assert!(outcome.stderr.contains(because), "{args:?}: {}", outcome.stderr);
    }

    fn names(&self, which: &[&str]) -> Vec<String> {
        let list = self.said(&[&["list", "--name"], which].concat());
        list.lines().map(str::to_owned).collect()
    }
}

/// The value that `dominfo` gives to a label.
fn fact<'a>(info: &'a str, label: &str) -> &'a str {
    let found = info.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {label} in {info}")).trim()
}

const OFF: &[&str] = &["shut off"];
/// A guest of Xen's with nothing to do is said to be idle.
const ON: &[&str] = &["running", "idle"];

/// Defined, asked about, started, asked about, ended, undefined.
fn lives(seat: &Seat<'_>, name: &str, document: &Path) {
    let is = |states: &[&str]| {
        let came = wait_until(LIMIT, || states.contains(&&*seat.said(&["domstate", name])));
        assert!(came, "{name} is not {states:?}: {}", seat.said(&["domstate", name]));
    };
    let listed = |which: &[&str]| seat.names(which).iter().any(|listed| listed == name);
    seat.said(&["define", &document.to_string_lossy()]);
    is(OFF);
    assert!(!listed(&[]) && listed(&["--inactive"]) && listed(&["--all"]));
    let uuid = seat.said(&["domuuid", name]);
    assert_eq!(seat.said(&["domname", &uuid]), name);
    assert_eq!(seat.said(&["domid", &uuid]), "-");
    let info = seat.said(&["dominfo", name]);
    let facts = ["Id", "Name", "UUID", "State", "Persistent"].map(|label| fact(&info, label));
    assert_eq!(facts, ["-", name, uuid.as_str(), "shut off", "yes"]);
    let maximum = fact(&info, "Max memory").to_owned();
    let printed = seat.said(&["dumpxml", name]);
    assert!(printed.contains(&format!("<uuid>{uuid}</uuid>")), "{printed}");
    // What is printed is what may be defined, and comes out the same.
    let again = seat.home.join("again.xml");
    std::fs::write(&again, &printed).expect("a place for a document");
    seat.said(&["define", "--validate", &again.to_string_lossy()]);
    assert_eq!(seat.said(&["dumpxml", name]), printed);

    assert!(!printed.contains(">1</vcpu>"), "{printed}");
    seat.said(&["edit", name]);
    let printed = seat.said(&["dumpxml", name]);
    assert!(printed.contains(">1</vcpu>"), "{printed}");

    seat.said(&["start", &uuid]);
    is(ON);
    assert!(listed(&[]) && !listed(&["--inactive"]) && listed(&["--all"]));
    let id = seat.said(&["domid", name]);
    assert!(id.parse::<u32>().is_ok(), "{id} is no id");
    assert_eq!(seat.said(&["domname", &id]), name);
    assert_eq!(seat.said(&["domuuid", &id]), uuid);
    let info = seat.said(&["dominfo", &id]);
    let facts = ["Id", "Name", "Max memory"].map(|label| fact(&info, label));
    assert_eq!(facts, [id.as_str(), name, maximum.as_str()]);
    assert!(ON.contains(&fact(&info, "State")), "{info}");
    let count = seat.said(&["vcpuinfo", name]).matches("VCPU:").count();
    assert_eq!(count.to_string(), fact(&info, "CPU(s)"));
    assert_eq!(seat.said(&["dumpxml", "--inactive", name]), printed);
    seat.refused(&["start", name], "already active");

    seat.said(&["destroy", &id]);
    is(OFF);
    seat.refused(&["destroy", name], "not running");
    seat.said(&["undefine", &uuid]);
    assert!(!listed(&["--all"]));
    seat.refused(&["domstate", name], &format!("failed to get domain '{name}'"));
}

/// The same with each shell, as there is one.
fn lives_by_both(uri: &str, name: &str, document: &str) {
    let home = Scratch::new("everywhere");
    let file = home.write("guest.xml", document);
    for shell in shells() {
        lives(&Seat { shell: &shell, uri, home: home.path() }, name, &file);
    }
}

#[test]
fn a_guest_lives_on_the_test_driver() {
    const DOCUMENT: &str = "<domain type='test'><name>one</name><memory>65536</memory>\
        <vcpu>2</vcpu><os><type>hvm</type></os></domain>";
    let virtd = Virtd::start();
    let uri = virtd.uri("test", "default");
    // Its world ends with the last connection.
    let home = Scratch::new("everywhere");
    let mut holder = Person::new(&our_program("virsh"), &uri, home.path(), &[]);
    holder.types("domstate test\r");
    holder.sees("running");
    lives_by_both(&uri, "one", DOCUMENT);
    holder.types("quit\r");
    assert_eq!(holder.leaves().1, Some(0));
}

#[test]
fn a_guest_lives_on_qemu() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let home = Scratch::new("everywhere");
    home.set_mode(0o755);
    let kernel = or_skip!(tiny_guest_in(&home));
    let virtd = Virtd::start();
    let document = tiny_domain("one", "qemu", &kernel).replace("<vcpu>1<", "<vcpu>2<");
    lives_by_both(&virtd.uri("qemu", guests_path()), "one", &document);
}

#[test]
fn a_guest_lives_on_kvmtool() {
    let folder = Scratch::new("kvmtool");
    let lkvm = Lkvm::fake(&folder);
    let document = lkvm_domain("one", &fake_kernel(&folder), "<console type='pty'/>");
    let mut virtd = Virtd::start();
    virtd.stop();
    lkvm.configure(virtd.base());
    virtd.restart();
    lives_by_both(&virtd.uri("kvmtool", guests_path()), "one", &document);
}

#[test]
fn a_guest_lives_on_xen() {
    let host = XendHost::start("4.1");
    lives_by_both(&host.virtd().uri("xen", ""), "sxc18", XendHost::PARAVIRTUAL);
}

#[test]
fn a_guest_lives_on_ldoms() {
    let host = LdomsHost::start();
    lives_by_both(&host.uri(), "web1", LdomsHost::DOCUMENT);
}
