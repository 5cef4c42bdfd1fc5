//! Sessions recorded with libvirt's virsh, held against ours; each that differs has a reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::{
    Daemon as _, Scratch, Virtd, debian_program, or_skip, our_program, reference_program, run,
    shared,
};

/// All 492 sessions take half a minute; one that hangs has a limit of its own.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs the recorded sessions; those that differ must be the ones that are known to.
fn check(side: &str, virsh: &Path, further: &[&str]) -> Result<(), String> {
    let runner = shared("conformance/virsh-golden/virsh_golden.py")?;
    let scratch = Scratch::new("golden");
    let report = scratch.join("report.json");
    let mut command = Command::new(debian_program("python3")?);
    command.arg(runner).args(["check", "--diffs", "100", "--retries", "3", "--json"]).arg(&report);
    let outcome = run(command.arg("--virsh").arg(virsh).args(further), LIMIT);
    assert!(report.exists(), "the runner gave no report: {}", outcome.stderr);
    eprintln!("{}", outcome.stdout);
    let failed: Vec<&str> = outcome
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("FAIL ")?.split(' ').next())
        .collect();
    let known = known(side);
    let new: Vec<_> = failed.iter().filter(|id| !known.contains_key(**id)).collect();
    assert!(new.is_empty(), "sessions that differ: {new:?}");
    let right: Vec<_> = known.keys().filter(|id| !failed.contains(&id.as_str())).collect();
    assert!(right.is_empty(), "in golden-known.tsv, but right: {right:?}");
    assert!(outcome.stdout.contains("\ntotal "), "the runner's table was not understood");
    Ok(())
}

/// The sessions that differ on one side, and why.
fn known(side: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden-known.tsv");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| {
        let fields: Vec<&str> = row.split('\t').collect();
        let [of, id, reason] = fields[..] else { panic!("a row is: side, id, reason: {row}") };
        (of == side).then(|| (id.to_owned(), reason.to_owned()))
    })
    .collect()
}

#[test]
fn our_shell_passes_the_recorded_sessions() {
    or_skip!(check("shell", &our_program("virsh"), &[]));
}

#[test]
fn our_daemon_passes_the_recorded_sessions_of_their_shell() {
    through_the_daemon("daemon", &or_skip!(reference_program("virsh")));
}

#[test]
fn our_daemon_passes_the_recorded_sessions_of_our_shell() {
    through_the_daemon("both", &our_program("virsh"));
}

fn through_the_daemon(side: &str, virsh: &Path) {
    or_skip!(shared("conformance/virsh-golden"));
    let virtd = Virtd::start();
    let uri = virtd.uri("test", "default");
    let files = format!("test+unix://{{PATH}}?socket={}", virtd.socket().display());
    // Through a daemon all clients share one world: one session at a time.
    let further = ["--uri", &uri, "--file-uri", &files, "--jobs", "1"];
    or_skip!(check(side, virsh, &further));
}
