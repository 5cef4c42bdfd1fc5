//! Sessions recorded with libvirt's virsh, held against ours; what passed once must go on passing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use test_support::{
    Daemon as _, Scratch, Virtd, debian_program, or_skip, our_program, reference_program, run,
    shared,
};

/// All 492 sessions take half a minute; one that hangs has a limit of its own.
const LIMIT: Duration = Duration::from_secs(600);

/// Set to write the counts found instead of comparing them.
const UPDATE: &str = "UPDATE";

/// Runs the recorded sessions, and compares the passed ones of each group with the `kept` file.
fn check(kept: &str, virsh: &Path, further: &[&str]) -> Result<(), String> {
    let runner = shared("conformance/virsh-golden/virsh_golden.py")?;
    let scratch = Scratch::new("golden");
    let report = scratch.join("report.json");
    let mut command = Command::new(debian_program("python3")?);
    command.arg(runner).args(["check", "--diffs", "0", "--retries", "3", "--json"]).arg(&report);
    let outcome = run(command.arg("--virsh").arg(virsh).args(further), LIMIT);
    assert!(report.exists(), "the runner gave no report: {}", outcome.stderr);
    let found = passed(&outcome.stdout);
    eprintln!("{}", outcome.stdout);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(kept);
    if std::env::var_os(UPDATE).is_some() {
        write(&kept, &found);
        return Ok(());
    }
    compare(&read(&kept), &found);
    Ok(())
}

/// The runner's table: `group  passed / all`.
fn passed(table: &str) -> BTreeMap<String, u32> {
    let rows = table.lines().filter_map(|line| {
        let [group, passed, "/", _] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        Some((group.to_owned(), passed.parse().ok()?))
    });
    rows.collect()
}

fn compare(kept: &BTreeMap<String, u32>, found: &BTreeMap<String, u32>) {
    assert!(!found.is_empty(), "the runner's table was not understood");
    let lost: Vec<String> = kept
        .iter()
        .filter(|(group, least)| found.get(*group).is_none_or(|passed| passed < least))
        .map(|(group, least)| format!("{group}: {:?} of {least}", found.get(group)))
        .collect();
    assert!(lost.is_empty(), "sessions that passed before: {}", lost.join(", "));
}

fn read(path: &PathBuf) -> BTreeMap<String, u32> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (group, count) = line.split_once('\t').expect("a line is: group, count");
            (group.to_owned(), count.parse().expect("a count is a number"))
        })
        .collect()
}

fn write(path: &Path, found: &BTreeMap<String, u32>) {
    let mut text = "# group\tsessions that pass, at least; UPDATE=1 writes this file\n".to_owned();
    for (group, count) in found {
        text += &format!("{group}\t{count}\n");
    }
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn our_shell_passes_the_recorded_sessions_it_passed_before() {
    or_skip!(check("golden-shell.tsv", &our_program("virsh"), &[]));
}

#[test]
fn our_daemon_passes_the_recorded_sessions_of_their_shell() {
    let virsh = or_skip!(reference_program("virsh"));
    or_skip!(shared("conformance/virsh-golden"));
    let virtd = Virtd::start();
    let uri = virtd.uri("test", "default");
    let files = format!("test+unix://{{PATH}}?socket={}", virtd.socket().display());
    // Through a daemon all clients share one world: one session at a time.
    let further = ["--uri", &uri, "--file-uri", &files, "--jobs", "1"];
    or_skip!(check("golden-daemon.tsv", &virsh, &further));
}
