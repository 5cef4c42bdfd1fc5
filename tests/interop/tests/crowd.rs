//! A thousand clients at a time: what each costs, and whether others are still answered.
//!
//! How fast they are answered is a matter for a quiet machine: give `python/crowd.py` a load client
//! to run beside the crowd, and compare what it says of both daemons.
#![allow(clippy::print_stdout)] // what was measured is there to be read

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::{Daemon, Reference, Virtd, or_skip, run, system_python};

const LIMIT: Duration = Duration::from_secs(300);
const CLIENTS: &str = "1000";

/// What one idle client of a daemon costs, in KiB.
fn one_kib(python: &Path, daemon: &dyn Daemon, pid: u32) -> f64 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/crowd.py");
    let mut command = Command::new(python);
    command.arg(script).arg(daemon.socket()).arg(pid.to_string()).arg(CLIENTS);
    let told = run(&mut command, LIMIT).ok();
    println!("{told}");
    let (_, value) = told.split_once("\"one_kib\": ").expect("a figure");
    value.split(',').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn a_thousand_idle_clients_cost_a_quarter_of_what_they_cost_libvirtd() {
    let python = or_skip!(system_python());
    // A thread more on a busy machine counts as much as fifty clients: the least of three is what a
    // client costs. Each is measured in a new daemon; an old one has room of those who left.
    let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
    for _ in 0..3 {
        let reference = or_skip!(Reference::start());
        let virtd = Virtd::start();
        theirs = theirs.min(one_kib(&python, &reference, reference.pid()));
        ours = ours.min(one_kib(&python, &virtd, virtd.pid()));
    }
    assert!(ours * 4.0 <= theirs, "{ours} KiB, libvirtd {theirs} KiB");
}
