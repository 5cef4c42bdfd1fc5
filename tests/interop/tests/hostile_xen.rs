//! A Xen host whose services and guests say anything: the daemon lives, stays small, and answers others.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use interop::{Own, XendHost};
use test_support::{Daemon as _, Outcome, our_program, run, virsh, wait_until};

const LIMIT: Duration = Duration::from_secs(120);
/// For somebody whom it does not concern: a new process on a busy machine.
const PROMPT: Duration = Duration::from_secs(20);
/// What is asked of the host while it is not to be trusted.
const ASKED: &[&str] = &[
    "list --all",
    "dumpxml sxc18",
    "domstate sxc18",
    "dominfo sxc18",
    "domstats",
    "vcpuinfo sxc18",
    "suspend sxc18",
    "nodeinfo",
];
/// Limit: what the daemon may have taken at any time; it takes some 60 MiB unoptimised.
const RESIDENT_MAX_KIB: u64 = 400 << 10;

const XEND: &[&str] = &[
    "silent",
    "half",
    "cyclic",
    "deep",
    "names",
    "sizes",
    "states",
    "endless",
    "endless-head",
    "drops",
    "long",
    "garbage",
];
const XENSTORED: &[&str] = &[
    "store-silent",
    "store-half",
    "store-long",
    "store-kind",
    "store-others",
    "store-text",
    "store-storm",
];

fn ask(host: &XendHost, line: &str) -> Outcome {
    run(host.virsh(&our_program("virsh")).arg(line), LIMIT)
}

/// Somebody who has nothing to do with Xen is answered.
fn others_are_served(host: &XendHost, fault: &str) {
    let uri = host.virtd().uri("test", "default");
    let began = Instant::now();
    let mut command = virsh(&our_program("virsh"), &uri, host.home().path());
    let said = run(command.args(["list", "--all"]), LIMIT).ok();
    assert!(said.contains("test"), "{fault}: {said}");
    assert!(began.elapsed() < PROMPT, "{fault}: after {:?}", began.elapsed());
}

/// Peak of the daemon's memory.
fn resident_kib(host: &XendHost) -> u64 {
    let path = format!("/proc/{}/status", host.virtd().pid());
    let text = std::fs::read_to_string(path).expect("the daemon lives");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn live_through(profile: &str, faults: &[&str]) {
    let host = XendHost::start(profile);
    let file = host.home().join("sxc18.xml").display().to_string();
    ask(&host, &format!("define {file}")).ok();
    ask(&host, "start sxc18").ok();
    let shell = our_program("virsh");
    let mut listening: Command = host.virsh(&shell);
    listening.args(["event", "--event", "lifecycle", "--loop"]);
    let _listener = Own(quiet(&mut listening));
    for fault in faults {
        host.set(&format!("fault={fault}\n"));
        let asking = ASKED.iter().map(|line| Own(quiet(host.virsh(&shell).arg(line))));
        let asking: Vec<Own> = asking.collect();
        for _ in 0..3 {
            others_are_served(&host, fault);
        }
        drop(asking);
        host.set("");
        let is_well = || {
            let said = ask(&host, "list --all");
            said.code == Some(0) && said.stdout.contains("sxc18")
        };
        assert!(wait_until(LIMIT, is_well), "{fault}: {:?}", ask(&host, "list --all"));
        let xml = ask(&host, "dumpxml sxc18").ok();
        assert!(xml.contains("/srv/sxc18.img"), "{fault}: {xml}");
    }
    let resident_kib = resident_kib(&host);
    eprintln!("{profile}: {} faults, at most {resident_kib} KiB", faults.len());
    assert!(resident_kib < RESIDENT_MAX_KIB, "{resident_kib} KiB");
}

/// A process whose words are nobody's.
fn quiet(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the shell starts")
}

#[test]
fn a_xend_that_says_anything_harms_nobody() {
    live_through("4.1", XEND);
}

#[test]
fn a_xend_without_managed_domains_that_says_anything_harms_nobody() {
    live_through("3.0.2", &["cyclic", "names", "sizes", "states", "endless", "half"]);
}

#[test]
fn a_xenstored_that_says_anything_harms_nobody() {
    live_through("4.1", XENSTORED);
}

/// Writes a node, as a guest does in its own part of the tree.
fn write(store: &mut UnixStream, path: &str, value: &str) {
    let payload = format!("{path}\0{value}");
    let length = u32::try_from(payload.len()).expect("short");
    let mut bytes: Vec<u8> =
        [11, 1, 0, length].iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
    bytes.extend_from_slice(payload.as_bytes());
    store.write_all(&bytes).expect("xenstored reads");
    let mut answer = [0; 19];
    store.read_exact(&mut answer).expect("xenstored answers");
}

#[test]
fn what_a_guest_writes_is_not_believed() {
    let host = XendHost::start("4.1");
    let file = host.home().join("sxc18.xml").display().to_string();
    ask(&host, &format!("define {file}")).ok();
    ask(&host, "start sxc18").ok();
    let id = ask(&host, "domid sxc18").ok().trim().to_owned();
    let mut store = UnixStream::connect(host.home().join("xenstore")).expect("xenstored");
    store.set_read_timeout(Some(LIMIT)).expect("a limit");
    let long = "a".repeat(3000);
    let odd =
        ["", "/etc/passwd", "/dev/../etc/passwd", "-1", "99999999999", "x\n y\u{1b}[2J", &long];
    for value in odd {
        for node in [
            "console/tty",
            "console/vnc-port",
            "memory/target",
            "device/vif/0/backend",
            "device/vbd/51712/backend",
            "cpu/0/availability",
            "data/anything",
        ] {
            write(&mut store, &format!("/local/domain/{id}/{node}"), value);
        }
        let xml = ask(&host, "dumpxml sxc18").ok();
        for part in ["passwd", "99999999999", "\u{1b}", &long] {
            assert!(!xml.contains(part), "{value}: {xml}");
        }
        assert!(!ask(&host, "ttyconsole sxc18").stdout.contains("passwd"));
        assert!(!ask(&host, "vncdisplay sxc18").stdout.contains("99999"));
        assert!(ask(&host, "domblklist sxc18").ok().contains("/srv/sxc18.img"));
        assert!(ask(&host, "list").ok().contains("sxc18"));
    }
    // As fast as it can: nobody waits for it.
    let before = Instant::now();
    for at in 0..5000 {
        write(&mut store, &format!("/local/domain/{id}/data/{}", at % 50), "x");
    }
    others_are_served(&host, "a storm of the guest's own");
    assert!(ask(&host, "list").ok().contains("sxc18"), "after {:?}", before.elapsed());
    ask(&host, "destroy sxc18").ok();
}
