//! `docs/served.tsv`, which driver serves which command: each driver is asked every command, and says that
//! it has no such call exactly where the table says so. `UPDATE=1` writes the
//! table anew, with one thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use interop::{LdomsHost, XendHost, listed, sessions_folder, text_of};
use test_support::{
    Daemon as _, Lkvm, Scratch, Virtd, debian_program, fake_kernel, guests_path, lkvm_domain,
    or_skip, our_program, run_with_input, virsh,
};

const LIMIT: Duration = Duration::from_secs(240);

/// What a shell says of a call that the driver has not.
const REFUSALS: &[&str] =
    &["not supported by the connection driver", "is not supported by the source host"];

/// Commands that do not say why they found nothing, and one that needs the same and does.
const UNSAID: &[(&str, &str)] = &[
    ("domname", "domuuid"),
    ("net-port-delete", "net-port-list"),
    ("net-port-dumpxml", "net-port-list"),
];

/// What is said of objects that are not there: the driver was not asked what was meant.
const LOST: &[&str] =
    &["domain '", "network '", "pool '", "interface '", "vol '", "nwfilter '", "secret '"];

/// Names in the command lines, and what they stand for on one driver.
type Names<'a> = &'a [(&'a str, &'a str)];

/// A driver with a guest that is not running.
struct Side<'a> {
    uri: &'a str,
    names: Names<'a>,
    document: &'a str,
    /// What is done before each command, so that it finds something.
    before: &'a str,
}

/// The guest is there again, whatever the last command did.
const BEFORE: &str = "destroy {DOM}\nmanagedsave-remove {DOM}\nundefine other\ndefine {DOM}.xml";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn table() -> PathBuf {
    here("../../docs/served.tsv")
}

fn commands() -> Vec<String> {
    text_of(&here("served/commands.txt")).lines().map(str::to_owned).collect()
}

/// Types commands, and gives what was said of each: what was printed, and the errors.
fn said(side: &Side<'_>, commands: &[String]) -> BTreeMap<String, [String; 2]> {
    const MARK: &str = "@@";
    let home = Scratch::new("served");
    for file in listed(&sessions_folder().join("files")) {
        home.write(&file.file_name().unwrap_or_default().to_string_lossy(), text_of(&file));
    }
    let filled = |line: &str| {
        side.names.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, value))
    };
    home.write(&filled("{DOM}.xml"), side.document);
    let mut input = String::new();
    for command in commands {
        let name = command.split(' ').next().unwrap_or_default();
        let (before, command) = (filled(side.before), filled(command));
        let mark = |name: &str| format!("echo {MARK}{name}\necho --err {MARK}{name}");
        input += &format!("{before}\n{}\n{command}\n{}\n", mark(name), mark(""));
    }
    let mut shell: Command = virsh(&our_program("virsh"), side.uri, home.path());
    let outcome = run_with_input(shell.env("EDITOR", "true").arg("-q"), &input, LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let home = home.path().to_string_lossy();
    let mut said: BTreeMap<String, [String; 2]> = BTreeMap::new();
    // What is typed is shown again behind what was printed.
    let printed = |line: &str| line.split("virsh # ").next().unwrap_or_default().to_owned();
    let printed = outcome.stdout.lines().map(printed).collect::<Vec<_>>().join("\n");
    for (at, text) in [printed, outcome.stderr].into_iter().enumerate() {
        for part in text.split(MARK).skip(1) {
            let (name, text) = part.split_once('\n').unwrap_or((part, ""));
            if !name.is_empty() {
                said.entry(name.to_owned()).or_default()[at] = text.replace(&*home, "{HOME}");
            }
        }
    }
    said
}

/// Asks a driver every command: whether it has what the command needs.
fn asked(side: &Side<'_>) -> BTreeMap<String, bool> {
    let said = said(side, &commands());
    let mut answers: BTreeMap<String, bool> = said
        .into_iter()
        .map(|(name, [_, text])| {
            let refused = REFUSALS.iter().any(|refusal| text.contains(refusal));
            let lost = LOST.iter().any(|what| text.contains(&format!("failed to get {what}")))
                && !UNSAID.iter().any(|one| one.0 == name);
            assert!(refused || !lost, "{name} did not come to the driver: {text}");
            (name, !refused)
        })
        .collect();
    for (name, other) in UNSAID {
        let same = answers[*other];
        answers.insert((*name).to_owned(), same);
    }
    answers
}

/// Holds what a driver answered against its column.
fn check(driver: &str, side: &Side<'_>) {
    let answers = asked(side);
    let lines = commands();
    let names = lines.iter().filter_map(|line| line.split(' ').next());
    assert!(names.eq(answers.keys()), "not asked, or too much: {:?}", answers.keys());
    let text = text_of(&table());
    let mut rows: Vec<Vec<String>> =
        text.lines().map(|row| row.split('\t').map(str::to_owned).collect()).collect();
    let at = rows[0].iter().position(|name| name == driver).expect("a column");
    let mut wrong = Vec::new();
    for row in &mut rows[1..] {
        let Some(serves) = answers.get(&row[0]) else { continue };
        let word = if *serves { "yes" } else { "no" };
        if row[at] != word {
            wrong.push(format!("{}: {word}", row[0]));
            row[at] = word.to_owned();
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        let lines: Vec<String> = rows.iter().map(|row| row.join("\t") + "\n").collect();
        return std::fs::write(table(), lines.concat()).expect("the table is ours");
    }
    assert!(wrong.is_empty(), "{driver} says otherwise: {wrong:#?}");
}

/// The table has every command of the shell's that asks a driver, and no other.
#[test]
fn the_table_has_every_command() {
    // These are the shell's own, or want a terminal before they ask.
    const OWN: &[&str] = &[
        "cd",
        "complete",
        "completion",
        "connect",
        "console",
        "doctor",
        "echo",
        "exit",
        "help",
        "pwd",
        "quit",
        "self-test",
    ];
    let home = Scratch::new("served");
    let mut shell = virsh(&our_program("virsh"), "test:///default", home.path());
    let help = run_with_input(shell.arg("help"), "", LIMIT).ok();
    let lines = help.lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let mut wanted: Vec<&str> = names.filter(|name| !OWN.contains(name)).collect();
    wanted.sort_unstable();
    let text = text_of(&table());
    let mut listed: Vec<&str> =
        text.lines().skip(1).filter_map(|row| row.split('\t').next()).collect();
    listed.sort_unstable();
    assert_eq!(listed, wanted);
    let asked = commands();
    let mut asked: Vec<&str> = asked.iter().filter_map(|line| line.split(' ').next()).collect();
    asked.sort_unstable();
    assert_eq!(asked, wanted);
}

const TEST_NAMES: [(&str, &str); 6] = [
    ("{DOM}", "test"),
    ("{DISK}", "vda"),
    ("{FREE}", "vdb"),
    ("{KIND}", "network"),
    ("{NIC}", "aa:bb:cc:dd:ee:ff"),
    ("{FORMAT}", "qemu-argv"),
];
const TEST_BEFORE: &str = "connect test:///default\nvol-create-as default-pool v1 1M\n\
                           snapshot-create-as {DOM} s\ncheckpoint-create-as {DOM} c";

#[test]
fn the_test_driver_serves_what_the_table_says() {
    let (names, before) = (&TEST_NAMES, TEST_BEFORE);
    check("test", &Side { uri: "test:///default", names, document: "", before });
}

/// What the test driver's guest is called by: its name, its id, its UUID.
const CALLED: [&str; 3] = ["test", "1", "6695eb01-f6a4-8304-79aa-97f2502e193f"];

/// What the commands of a guest say when it is called so, with figures and times all alike.
fn said_of(guest: &str) -> BTreeMap<String, [String; 2]> {
    let mut names = TEST_NAMES.to_vec();
    names[0].1 = guest;
    let names: Vec<_> = std::iter::once(("{DOM}.xml", "test.xml")).chain(names).collect();
    let side = Side { uri: "test:///default", names: &names, document: "", before: TEST_BEFORE };
    let mut commands = commands();
    commands.retain(|line| line.contains("{DOM} ") || line.ends_with("{DOM}"));
    let mut said = said(&side, &commands);
    let alike = |letter: char| if letter.is_ascii_hexdigit() { '0' } else { letter };
    for text in said.values_mut().flatten() {
        // Some say whom they failed with as it was called.
        let named = CALLED
            .iter()
            .fold(text.clone(), |text, called| text.replace(&format!("'{called}'"), "'test'"));
        *text = named.chars().map(alike).collect();
    }
    said
}

/// The test driver's guest by its name, its id and its UUID: whichever is given, a command does and says
/// the same, but for those of the list. (libvirt's shell has the same list; it is not asked here, since
/// its own test driver now and then locks itself out in the middle of so long a session.)
#[test]
fn a_guest_is_found_by_id_name_and_uuid() {
    // Some make one of the three of another, and do not know what is their own answer; guests that have
    // yet to start have no id.
    const ID: &str = CALLED[1];
    const UUID: &str = CALLED[2];
    const BUT_FOR: &[(&str, &str)] =
        &[("domid", ID), ("domname", ID), ("start", ID), ("domname", UUID), ("domuuid", UUID)];
    let by_name = said_of(CALLED[0]);
    assert!(by_name.len() > 100, "{:?}", by_name.keys());
    let mut differ = Vec::new();
    for other in [ID, UUID] {
        let by_other = said_of(other);
        let same = |command: &str| by_other.get(command) == by_name.get(command);
        let names = by_name.keys().map(String::as_str);
        differ.extend(names.filter(|name| !same(name)).map(|name| (name, other)));
    }
    assert_eq!(differ, BUT_FOR);
}

/// A guest whose kernel is not there: it is known, and does not start.
const QEMU: &str = "<domain type='qemu'><name>one</name><memory unit='MiB'>32</memory>\
    <os><type arch='x86_64' machine='pc'>hvm</type><kernel>/nonexistent/kernel</kernel></os>\
    <devices><disk type='file'><source file='/nonexistent/disk'/><target dev='vda'/></disk>\
    <interface type='user'><mac address='52:54:00:11:22:33'/></interface></devices></domain>";

/// The names in the documents of a guest that is called so.
fn names_of_one(format: &str) -> [(&str, &str); 6] {
    [
        ("{DOM}", "one"),
        ("{DISK}", "vda"),
        ("{FREE}", "vdb"),
        ("{KIND}", "user"),
        ("{NIC}", "52:54:00:11:22:33"),
        ("{FORMAT}", format),
    ]
}

#[test]
fn the_qemu_driver_serves_what_the_table_says() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let virtd = Virtd::start();
    let names = names_of_one("qemu-argv");
    let uri = virtd.uri("qemu", guests_path());
    check("qemu", &Side { uri: &uri, names: &names, document: QEMU, before: BEFORE });
}

#[test]
fn the_kvmtool_driver_serves_what_the_table_says() {
    let folder = Scratch::new("kvmtool");
    let lkvm = Lkvm::fake(&folder);
    let devices = "<disk type='file'><source file='/nonexistent/disk'/><target dev='vda'/></disk>\
        <interface type='user'><mac address='52:54:00:11:22:33'/></interface><console type='pty'/>";
    let document = lkvm_domain("one", &fake_kernel(&folder), devices);
    let mut virtd = Virtd::start();
    virtd.stop();
    lkvm.configure(virtd.base());
    virtd.restart();
    let names = names_of_one("kvmtool-argv");
    let uri = virtd.uri("kvmtool", guests_path());
    check("kvmtool", &Side { uri: &uri, names: &names, document: &document, before: BEFORE });
}

#[test]
fn the_xen_driver_serves_what_the_table_says() {
    let host = XendHost::start("4.1");
    let names = [
        ("{DOM}", "sxc18"),
        ("{DISK}", "xvda"),
        ("{FREE}", "xvdb"),
        ("{KIND}", "bridge"),
        ("{NIC}", "00:16:3e:1b:2c:3d"),
        ("{FORMAT}", "xen-xm"),
    ];
    let uri = host.virtd().uri("xen", "");
    let (document, before) = (XendHost::PARAVIRTUAL, BEFORE);
    check("xen", &Side { uri: &uri, names: &names, document, before });
}

#[test]
fn the_ldoms_driver_serves_what_the_table_says() {
    let host = LdomsHost::start();
    let names = [
        ("{DOM}", "web1"),
        ("{DISK}", "vd0"),
        ("{FREE}", "vd1"),
        ("{KIND}", "bridge"),
        ("{NIC}", "00:14:4f:fc:00:01"),
        ("{FORMAT}", "ldoms"),
    ];
    let uri = host.uri();
    let (document, before) = (LdomsHost::DOCUMENT, BEFORE);
    check("ldoms", &Side { uri: &uri, names: &names, document, before });
}
