//! Answers for programs: every command that prints facts, against its schema in `docs/schemas`.
//!
//! The cases of `commands.rs` are walked again with `--output json`: a command that says something to a
//! person must answer a program with what its schema promises, and fail as it fails without. What the
//! test driver refuses is asked of a driver made for it, in a daemon of the test's own.

mod answering;
mod schemas;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use answering::Answering;
use schemas::{check, check_answer, schemas};
use test_support::{or_skip, reference_program};
use virt_json::Value;

/// libvirt's shell hangs now and then.
const LIMIT: Duration = Duration::from_secs(60);

/// Lines whose last command has something to answer where the other cases only look at its mistakes.
const MORE: &[(&str, &str)] = &[
    ("", "domblkstat test vda"),
    ("", "domifstat test testnet0"),
    ("", "domblkinfo test vda"),
    ("", "domblkinfo test --all"),
    ("", "cpu-models x86_64"),
    ("", "cpu-baseline cpu.xml"),
    ("snapshot-create-as test one; ", "snapshot-dumpxml test one"),
    ("checkpoint-create-as test one; ", "checkpoint-dumpxml test one"),
    (
        "checkpoint-create-as test one; checkpoint-create-as test two; ",
        "checkpoint-parent test two",
    ),
    ("define throttle.xml; ", "domthrottlegroupinfo throttle limit0"),
    ("destroy test; ", "vcpuinfo test"),
    ("destroy test; ", "list --all --name"),
    ("", "dumpxml test --xpath //disk"),
    ("", "net-list --uuid"),
    ("", "pool-list --details"),
    ("", "doctor versions"),
];

/// What the test driver refuses or has nothing of, asked of the driver that answers it.
const ASKED: &[&str] = &[
    "backup-dumpxml a",
    "blockjob a vda",
    "blockjob a vda --raw",
    "blockjob a vda --bytes",
    "blockjob a vdb",
    "cpu-compare cpu.xml",
    "domjobinfo a",
    "domjobinfo a --rawstats",
    "domjobinfo a --completed --anystats",
    "domjobinfo 'a kind=0'",
    "domjobinfo 'a kind=2'",
    "domjobinfo 'a kind=3'",
    "domjobinfo 'a kind=4' --anystats",
    "domjobinfo 'a -memory_total'",
    "domjobinfo 'a -disk_total'",
    "domjobinfo 'a -data_total'",
    "domjobinfo 'a memory_total=0 -operation'",
    "domjobinfo 'a disk_total=0'",
    "domjobinfo 'a data_total=0 time_remaining=0'",
    "domjobinfo 'a memory_bps=0 disk_bps=0 memory_dirty_rate=0'",
    "domjobinfo 'a -disk_bps -memory_bps -memory_page_size -memory_iteration'",
    "domjobinfo 'a -memory_normal'",
    "domjobinfo 'a -memory_constant'",
    "domjobinfo 'a -compression_cache -compression_pages'",
    "domjobinfo 'a -compression_bytes'",
    "domjobinfo 'a downtime=0 setup_time=0 auto_converge_throttle=7'",
    "domjobinfo 'a disk_temp_total=0 disk_temp_used=0'",
    "domjobinfo 'a -memory_total -memory_processed -memory_remaining'",
    "domjobinfo 'a memory_total=0 memory_processed=0 -memory_remaining'",
    "domjobinfo 'a -disk_total -disk_processed -disk_remaining'",
    "domjobinfo 'a -data_total -data_processed -data_remaining'",
    "domjobinfo 'a kind=5'",
    "domjobinfo 'a kind=9'",
    "domjobinfo 'a operation=0'",
    "domjobinfo 'a kind=3' --completed",
    "domjobinfo 'a kind=3' --anystats",
    "domjobinfo 'a kind=3' --completed --anystats",
    "domjobinfo 'a kind=2 -operation' --completed",
    "domjobinfo 'a compression_cache_misses=7 compression_overflow=8 memory_normal=3'",
    "domjobinfo 'a' --rawstats",
    "domjobinfo 'a operation=99'",
    "domjobinfo 'a -errmsg kind=4' --completed",
    "domjobinfo 'a -errmsg kind=5' --anystats --completed",
    "domjobinfo 'a -time_elapsed -time_elapsed_net -time_remaining'",
    "domjobinfo 'a -disk_temp_total -memory_page_size -memory_iteration'",
    "domjobinfo 'a -downtime -setup_time -memory_normal_bytes -memory_dirty_rate'",
    "domjobinfo 'a memory_page_size=0 memory_iteration=0 memory_postcopy_requests=0 memory_constant=0'",
    "domjobinfo 'a compression_cache=0 compression_bytes=0 compression_pages=0'",
    "domlaunchsecinfo a",
    "domxml-from-native qemu-argv cpu.xml",
    "domxml-to-native qemu-argv --xml domain.xml",
    "domxml-to-native qemu-argv --domain a",
    "get-user-sshkeys a root",
    "guest-agent-timeout a --timeout 5",
    "guestinfo a",
    "guestvcpus a",
    "hypervisor-cpu-baseline cpu.xml",
    "hypervisor-cpu-compare cpu.xml",
    "managedsave-dumpxml a",
    "managedsave-dumpxml a --xpath //name",
    "migrate-compcache a",
    "migrate-getmaxdowntime a",
    "migrate-getspeed a",
    "net-dhcp-leases a",
    "net-port-dumpxml a {UUID}",
    "net-port-list a",
    "net-port-list a --uuid",
    "node-memory-tune",
    "nodememstats",
    "nodesevinfo",
    "nwfilter-binding-dumpxml a",
    "nwfilter-binding-list",
    "nwfilter-dumpxml a",
    "nwfilter-list",
    "pool-capabilities",
    "qemu-agent-command a {}",
    "qemu-monitor-command a query-status",
    "qemu-monitor-command a --hmp info status",
    "qemu-monitor-event a --timeout 20",
    "qemu-monitor-event a --timeout 20 --pretty --timestamp",
    "secret-dumpxml {UUID}",
    "secret-get-value {UUID}",
    "secret-list",
    "ttyconsole a",
];

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn shell(program: &Path, uri: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(tests_folder().join("fixtures"))
        .env_clear()
        .envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("HOME", "/nonexistent")])
        .args(["-c", uri])
        .args(args)
        .stdin(Stdio::null());
    command
}

fn ours() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_virsh"))
}

fn virsh(args: &[&str]) -> Output {
    shell(ours(), "test:///default", &[&["-q"], args].concat()).output().expect("virsh runs")
}

/// Every command of every case, with the commands that come before it on its line.
fn cases() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(tests_folder().join("cases")).expect("there are cases");
    let mut found = Vec::new();
    for file in folder {
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("text");
        for line in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let mut before = String::new();
            for command in line.split("; ") {
                found.push((before.clone(), command.to_owned()));
                before.push_str(&format!("{command}; "));
            }
        }
    }
    found.extend(MORE.iter().map(|(before, command)| ((*before).into(), (*command).into())));
    found.sort();
    found.dedup();
    found
}

const MARK: &str = "@@@";

/// What follows the mark: what one command said, and whether it succeeded.
fn said_by(uri: &str, before: &str, command: &str) -> (String, String, bool) {
    let line = format!("{before}echo {MARK}; echo --err {MARK}; {command}");
    let output = shell(ours(), uri, &["-q", &line]).output();
    let Output { stdout, stderr, status } = output.expect("virsh runs");
    let after = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.split_once(MARK).map(|(_, text)| text.trim_start().to_owned()).unwrap_or_default()
    };
    (after(&stdout), after(&stderr), status.success())
}

#[test]
fn a_saved_image_s_document_is_an_answer() {
    let image = std::env::temp_dir().join(format!("virsh-output-{}", std::process::id()));
    let file = image.display();
    let line = format!("save test {file}; save-image-dumpxml {file} --output json");
    let output = virsh(&[&line]);
    std::fs::remove_file(&image).expect("the image was written");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = virt_json::parse(&text).expect("the answer is JSON");
    assert_eq!(check(&value, &schemas()["save-image-dumpxml"], ""), Ok(()), "{text}");
}

/// The other formats, and those who ask for what is not there.
#[test]
fn formats_and_refusals_are_clear() {
    let said = |args: &[&str]| {
        let output = virsh(args);
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), output.status.success())
    };
    let uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f";
    for (args, want) in [
        (&["list", "--output", "name"][..], "test\n".to_owned()),
        (&["--output", "name", "net-list; pool-list"], "default\ndefault-pool\n".to_owned()),
        (
            &["--output=yaml", "domuuid test; list"],
            format!(
                "uuid: \"{uuid}\"\n---\n- id: 1\n  name: test\n  state: running\n  \
                 uuid: \"{uuid}\"\n"
            ),
        ),
        (
            &["list", "--output=table"],
            format!(
                " id   name   state     uuid\n{}\n 1    test   running   {uuid}\n",
                "-".repeat(61)
            ),
        ),
        (&["memtune test --hard-limit 1 --output json"], String::new()),
    ] {
        assert_eq!(said(args), (want, true), "{args:?}");
    }
    for (args, want) in [
        (
            &["start", "test", "--output", "json"][..],
            "command 'start' doesn't support option --output",
        ),
        (&["--output", "json", "start", "test"], "command 'start' doesn't support option --output"),
        (
            &["list", "--output", "xml"],
            "unknown output format 'xml': expected one of json, yaml, table, name",
        ),
        (
            &["--output", "xml", "list"],
            "unknown output format 'xml': expected one of json, yaml, table, name",
        ),
        (&["uri", "--output"], "expected syntax: --output <string>"),
        (&["--output"], "option '--output' requires an argument"),
        (&["dumpxml", "test", "--output", "name"], "command 'dumpxml' has no names to print"),
    ] {
        assert_eq!(said(args), (format!("error: {want}\n"), false), "{args:?}");
    }
}

/// What a command is and what it is asked with.
fn split(command: &str) -> (&str, &str) {
    command.split_once(' ').unwrap_or((command, ""))
}

/// Checks one command's answer; whether there was one.
fn walk(uri: &str, before: &str, command: &str, schema: &Value) -> bool {
    let (name, rest) = split(command);
    let (text, errors, succeeded) = said_by(uri, before, command);
    let asked = format!("{name} --output json {rest}");
    let (answer, same_errors, same_end) = said_by(uri, before, &asked);
    // How far a job is stands there too, for people.
    let failures =
        |text: &str| text.lines().filter(|line| line.contains("error:")).collect::<String>();
    let same = (failures(&same_errors), same_end) == (failures(&errors), succeeded);
    assert!(same, "{before}{asked}: {same_errors}, but to a person: {errors}");
    if answer.is_empty() {
        let changes = text.is_empty() || !succeeded || says_a_change(&text);
        assert!(changes, "{before}{asked} says nothing, but to a person: {text}");
        return false;
    }
    if let Err(fault) = check_answer(&answer, schema, name) {
        panic!("{before}{asked}: {fault}\n{answer}");
    }
    true
}

#[test]
fn every_command_that_prints_facts_answers_as_its_schema_says() {
    let schemas = schemas();
    let mut silent: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    let mut walked = 0;
    for (before, command) in cases() {
        let (name, _) = split(&command);
        let Some(schema) = schemas.get(name) else { continue };
        if walk("test:///default", &before, &command, schema) {
            silent.remove(name);
            walked += 1;
        }
    }
    assert!(walked > 150, "only {walked} answers were checked");
    silent.remove("save-image-dumpxml"); // It needs a file of its own: the test above.
    // Each is asked of the other driver exactly where the test driver has no answer.
    let elsewhere: BTreeSet<&str> = ASKED.iter().map(|command| split(command).0).collect();
    assert_eq!(silent, elsewhere, "commands without a checked answer");
    let answering = Answering::start();
    for command in ASKED {
        let command = command.replace("{UUID}", answering::UUID);
        let answered = walk(answering.uri(), "", &command, &schemas[split(&command).0]);
        assert!(answered, "{command} has no answer");
    }
}

/// What people are told of facts that the test driver has not is what libvirt's shell tells them.
#[test]
fn libvirts_shell_says_the_same_of_what_the_test_driver_has_not() {
    let theirs = or_skip!(reference_program("virsh"));
    let answering = Answering::start();
    let mut different = Vec::new();
    for command in ASKED.iter().filter(|command| !command.contains("--timestamp")) {
        for options in [&["-q"][..], &[]] {
            let command = command.replace("{UUID}", answering::UUID);
            let args = [options, &[&command]].concat();
            let [want, got] = [&*theirs, ours()].map(|program| {
                test_support::run(&mut shell(program, answering.uri(), &args), LIMIT)
            });
            if want != got {
                different.push(format!("{args:?}\n{want:?}\n{got:?}"));
            }
        }
    }
    assert!(different.is_empty(), "theirs, ours:\n{}", different.join("\n"));
}

/// Commands that print facts which none of our drivers has, and why: the driver made for it answers alone.
const UNSERVED: &[(&str, &str)] = &[
    ("backup-dumpxml", "no driver makes backups"),
    ("blockjob", "no driver has jobs on disks"),
    ("migrate-compcache", "no driver migrates live by a monitor"),
    ("migrate-getmaxdowntime", "no driver migrates live by a monitor"),
    ("migrate-getspeed", "no driver migrates live by a monitor"),
    ("net-dhcp-leases", "the network driver is the test driver's, which has no ports and leases"),
    ("net-port-dumpxml", "the network driver is the test driver's, which has no ports and leases"),
    ("net-port-list", "the network driver is the test driver's, which has no ports and leases"),
    ("node-memory-tune", "it needs a host that none of them looks at so"),
    ("nodesevinfo", "it needs a host that none of them looks at so"),
    ("nwfilter-binding-dumpxml", "there is no driver of filters yet"),
    ("nwfilter-binding-list", "there is no driver of filters yet"),
    ("nwfilter-dumpxml", "there is no driver of filters yet"),
    ("nwfilter-list", "there is no driver of filters yet"),
    ("pool-capabilities", "there is no driver of storage yet"),
    ("secret-dumpxml", "there is no driver of secrets yet"),
    ("secret-get-value", "there is no driver of secrets yet"),
    ("secret-list", "there is no driver of secrets yet"),
];

/// The list is as the table of what each driver serves, which the drivers hold true themselves.
#[test]
fn facts_that_no_driver_has_are_named_with_the_reason() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/served.tsv");
    let table = std::fs::read_to_string(table).expect("the table is there");
    let schemas = schemas();
    let rows = table.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    let unserved: Vec<&str> = rows
        .filter(|row| schemas.contains_key(row[0]) && row[1..].iter().all(|word| *word == "no"))
        .map(|row| row[0])
        .collect();
    let named: Vec<&str> = UNSERVED.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, unserved);
}

/// Whatever changes something or talks has no facts, and says so.
#[test]
fn every_command_without_facts_refuses_the_option() {
    let schemas = schemas();
    let help = String::from_utf8(virsh(&["help"]).stdout).expect("text");
    let indented = help.lines().filter_map(|line| line.strip_prefix("    "));
    let names = indented.filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| !schemas.contains_key(*name)).collect();
    assert!(names.len() > 120, "only {} commands without facts", names.len());
    for name in names {
        let output = virsh(&[name, "--output", "json"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let want = format!("error: command '{name}' doesn't support option --output\n");
        assert_eq!((said, output.status.success()), (want, false));
    }
}

/// Whether a text tells what a command did, not what it found.
fn says_a_change(text: &str) -> bool {
    ["updated", "modified", "removed", "set as current", "attached"]
        .iter()
        .any(|word| text.contains(word))
}
