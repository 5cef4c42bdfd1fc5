//! Answers for programs: every command that prints facts, against its schema in `docs/schemas`.
//!
//! The cases of `commands.rs` are walked again with `--output json`: a command that says something to a
//! person must answer a program with what its schema promises, and fail as it fails without.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use virt_json::Value;

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

/// Commands that the test driver refuses or has nothing for; their answers are checked on QEMU's.
const REFUSED: &[&str] = &[
    "backup-dumpxml",
    "blockjob",
    "cpu-compare",
    "domjobinfo",
    "domlaunchsecinfo",
    "domxml-from-native",
    "domxml-to-native",
    "get-user-sshkeys",
    "guest-agent-timeout",
    "guestinfo",
    "guestvcpus",
    "hypervisor-cpu-baseline",
    "hypervisor-cpu-compare",
    "managedsave-dumpxml",
    "migrate-compcache",
    "migrate-getmaxdowntime",
    "migrate-getspeed",
    "net-dhcp-leases",
    "net-port-dumpxml",
    "net-port-list",
    "node-memory-tune",
    "nodememstats",
    "nodesevinfo",
    "nwfilter-binding-dumpxml",
    "nwfilter-binding-list",
    "nwfilter-dumpxml",
    "nwfilter-list",
    "pool-capabilities",
    "qemu-agent-command",
    "qemu-monitor-command",
    "qemu-monitor-event",
    "secret-dumpxml",
    "secret-get-value",
    "secret-list",
    "ttyconsole",
];

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn virsh(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_virsh"))
        .current_dir(tests_folder().join("fixtures"))
        .env_clear()
        .envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("HOME", "/nonexistent")])
        .args(["-q", "-c", "test:///default"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("virsh runs")
}

fn schemas() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let files = std::fs::read_dir(folder).expect("there are schemas");
    let schema = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a schema is text");
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, virt_json::parse(&text).expect("a schema is JSON"))
    };
    files.map(|entry| schema(entry.expect("an entry").path())).collect()
}

/// What is wrong with a value, by as much of JSON Schema as ours use.
fn check(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(kind) => kind.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    let (kind, is_whole) = match value {
        Value::Null => ("null", false),
        Value::Bool(_) => ("boolean", false),
        Value::Number(text) => ("number", text.parse::<i128>().is_ok()),
        Value::String(_) => ("string", false),
        Value::Array(_) => ("array", false),
        Value::Object(_) => ("object", false),
    };
    let fits = kinds.contains(&kind) || (is_whole && kinds.contains(&"integer"));
    if !kinds.is_empty() && !fits {
        return Err(format!("{at}: {value} is not {kinds:?}"));
    }
    match value {
        Value::String(text) if schema.get("format").is_some() => {
            let groups: Vec<usize> = text.split('-').map(str::len).collect();
            let digits = text.bytes().all(|b| b == b'-' || matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            match digits && groups == [8, 4, 4, 4, 12] {
                true => Ok(()),
                false => Err(format!("{at}: '{text}' is no UUID")),
            }
        }
        Value::Array(items) => match schema.get("items") {
            Some(each) => items
                .iter()
                .enumerate()
                .try_for_each(|(number, item)| check(item, each, &format!("{at}[{number}]"))),
            None => Ok(()),
        },
        Value::Object(members) => check_members(members, schema, at),
        _ => Ok(()),
    }
}

fn check_members(members: &[(String, Value)], schema: &Value, at: &str) -> Result<(), String> {
    let required = schema.get("required").and_then(Value::as_array).unwrap_or_default();
    let has = |key: &Value| members.iter().any(|(name, _)| Some(name.as_str()) == key.as_str());
    if let Some(missing) = required.iter().find(|key| !has(key)) {
        return Err(format!("{at}: {missing} is missing"));
    }
    members.iter().try_for_each(|(name, value)| {
        let at = format!("{at}.{name}");
        let property = schema.get("properties").and_then(|properties| properties.get(name));
        match property.or_else(|| schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => Err(format!("{at} is not in the schema")),
            Some(schema) => check(value, schema, &at),
            None => Ok(()),
        }
    })
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
fn said_by(before: &str, command: &str) -> (String, String, bool) {
    let line = format!("{before}echo {MARK}; echo --err {MARK}; {command}");
    let Output { stdout, stderr, status } = virsh(&[&line]);
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

#[test]
fn every_command_that_prints_facts_answers_as_its_schema_says() {
    let schemas = schemas();
    let mut silent: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    let mut walked = 0;
    for (before, command) in cases() {
        let (name, rest) = command.split_once(' ').unwrap_or((&command, ""));
        let Some(schema) = schemas.get(name) else { continue };
        let (text, errors, succeeded) = said_by(&before, &command);
        let asked = format!("{name} --output json {rest}");
        let (answer, same_errors, same_end) = said_by(&before, &asked);
        assert_eq!((&same_errors, same_end), (&errors, succeeded), "{before}{asked}");
        if answer.is_empty() {
            let changes = text.is_empty() || !succeeded || says_a_change(&text);
            assert!(changes, "{before}{asked} says nothing, but to a person: {text}");
            continue;
        }
        let is_stream = schema.get("title").and_then(Value::as_str).unwrap_or_default();
        let answers: Vec<&str> = match is_stream.ends_with("each line") {
            true => answer.lines().collect(),
            false => vec![&answer],
        };
        for answer in answers {
            let value = virt_json::parse(answer).expect("the answer is JSON");
            let checked = check(&value, schema, name);
            assert!(checked.is_ok(), "{before}{asked}: {}\n{answer}", checked.unwrap_err());
        }
        silent.remove(name);
        walked += 1;
    }
    assert!(walked > 150, "only {walked} answers were checked");
    silent.remove("save-image-dumpxml"); // It needs a file of its own: the test below.
    assert_eq!(silent, REFUSED.iter().copied().collect(), "commands without a checked answer");
}

/// Whether a text tells what a command did, not what it found.
fn says_a_change(text: &str) -> bool {
    ["updated", "modified", "removed", "set as current", "attached"]
        .iter()
        .any(|word| text.contains(word))
}
