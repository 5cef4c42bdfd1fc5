//! Every command of the table, with its output, messages and exit status, on `test:///default`.
//!
//! A case is a line `$ command; command`, what it prints, its messages behind `! ` and its status
//! behind `? ` where that is not 0. `UPDATE=1` writes the cases anew. `FERROVIRT_VIRSH` names another
//! program to run them with, such as the reference: a case it fails is a wrong case (but for help).
//! `FERROVIRT_VIRSH_URI` names another connection, such as a daemon's.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn virsh() -> Command {
    let program = std::env::var_os("FERROVIRT_VIRSH");
    let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_virsh").into()));
    command.env_clear().envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("HOME", "/nonexistent")]);
    command.stdin(Stdio::null());
    command
}

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// libvirt's shell hangs now and then, even where nothing waits: it is ended and tried again.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);
const TRIES: usize = 4;

/// Runs one line of commands and prints it as a case.
fn run(line: &str) -> String {
    let uri = std::env::var("FERROVIRT_VIRSH_URI").unwrap_or_else(|_| "test:///default".into());
    let folder = tests_folder().join("fixtures");
    let once = || {
        let mut command = virsh();
        test_support::run(command.current_dir(&folder).args(["-c", &uri, line]), LIMIT)
    };
    let mut output = once();
    for _ in 1..TRIES {
        if output.code.is_none() {
            output = once();
        }
    }
    let mut case = format!("$ {line}\n");
    case.push_str(&normalised(&output.stdout.replace(&uri, "test:///default")));
    for message in output.stderr.lines() {
        writeln!(case, "! {}", without_function(message)).expect("a String takes it");
    }
    match output.code {
        Some(0) => {}
        status => writeln!(case, "? {status:?}").expect("a String takes it"),
    }
    case
}

/// Takes out what differs from run to run: times, and the host's name.
fn normalised(text: &str) -> String {
    let host = hostname();
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.split_once("CPU time:") {
            Some((before, _)) => format!("{before}CPU time: SECONDS"),
            None if line == host => "HOST".to_owned(),
            None if line.starts_with("CPU:  ") => "CPU: N".to_owned(),
            None => line.to_owned(),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The name of an internal function means nothing.
fn without_function(message: &str) -> &str {
    message.split_once(" in function ").map_or(message, |(before, _)| before)
}

fn case_files() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(tests_folder().join("cases")).expect("there are cases");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_case_is_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut failures = String::new();
    for file in case_files() {
        let written = std::fs::read_to_string(&file).expect("cases are text");
        let lines = written.lines().filter_map(|line| line.strip_prefix("$ "));
        let got: String = lines.map(run).collect();
        if update {
            std::fs::write(&file, got).expect("cases can be written");
        } else if got != written {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            writeln!(failures, "{name}:\n{}", difference(&written, &got)).expect("it fits");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// The cases that differ, as written and as they came out.
fn difference(written: &str, got: &str) -> String {
    let cases = |text: &str| -> Vec<String> {
        text.split_inclusive('\n').fold(Vec::new(), |mut cases, line| {
            if line.starts_with("$ ") {
                cases.push(String::new());
            }
            if let Some(case) = cases.last_mut() {
                case.push_str(line);
            }
            cases
        })
    };
    let (written, got) = (cases(written), cases(got));
    let pairs = written.iter().zip(&got).filter(|(one, other)| one != other);
    pairs.map(|(one, other)| format!("--- written\n{one}--- got\n{other}")).collect()
}

/// The names of all commands, from the program's own help.
fn all_commands() -> BTreeSet<String> {
    let output = virsh().arg("help").output().expect("virsh runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let entries = text.lines().filter_map(|line| line.strip_prefix("    "));
    let mut names: BTreeSet<String> =
        entries.filter_map(|entry| entry.split(' ').next()).map(str::to_owned).collect();
    names.extend(["complete", "nodedev-dettach"].map(str::to_owned));
    names
}

#[test]
fn every_command_has_a_case() {
    let mut missing = all_commands();
    assert!(missing.len() > 150, "the help lists commands");
    for file in case_files() {
        let written = std::fs::read_to_string(file).expect("cases are text");
        for line in written.lines().filter_map(|line| line.strip_prefix("$ ")) {
            for command in line.split("; ") {
                missing.remove(command.split(' ').next().unwrap_or_default());
            }
        }
    }
    assert!(missing.is_empty(), "commands without a case: {missing:?}");
}

#[test]
fn quiet_prints_results_only() {
    for (line, want) in [
        ("list", " 1   test   running\n"),
        ("suspend test; domstate test", "paused\n"),
        ("echo a", "a"),
        ("net-list", " default   active   no   yes\n"),
        ("desc test", ""),
    ] {
        let output = virsh().args(["-q", "-c", "test:///default", line]).output();
        let output = output.expect("virsh runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), want, "{line}");
    }
}

#[test]
fn options_before_the_command() {
    for (args, want, status) in [
        (&["-v"][..], "11.3.0\n", 0),
        (&["--version=short"], "11.3.0\n", 0),
        (&["-c", "nosuch:///", "nosuch"], "error: unknown command: 'nosuch'\n", 1),
        (&["-x"], "error: unsupported option '-x'. See --help.\n", 1),
        (&["-k", "x", "echo"], "error: Invalid value for option -k\n", 1),
        (&["-e", "xy", "echo"], "error: Invalid string 'xy' for escape sequence\n", 1),
        (&["-d", "9", "echo a"], "error: ignoring debug level 9 out of range [0-4]\na\n", 0),
        (&["-qd2", "echo", "a;b"], "a;b", 0),
        (&["--", "echo", "--shell", "a;b"], "'a;b'\n", 0),
        (&["", "echo"], "error: unknown command: ''\n", 1),
        (&[""], "", 1),
        (
            &["-q", "-c", "test:///default", "-k", "5", "echo"],
            "error: Cannot setup keepalive on \
            connection as requested, disconnecting\nerror: failed to connect to the hypervisor\n\
            error: this function is not supported by the connection driver: \
            virConnectSetKeepAlive\n",
            1,
        ),
    ] {
        let output = virsh().args(args).output().expect("virsh runs");
        let text = [output.stderr, output.stdout].concat();
        assert_eq!(String::from_utf8_lossy(&text), want, "{args:?}");
        assert_eq!(output.status.code(), Some(status), "{args:?}");
    }
}

/// Scripts see libvirt's text alone; who asks for hints is told where the mistake is.
#[test]
fn hints_are_for_those_who_ask() {
    let folder = std::env::temp_dir().join(format!("virsh-hints-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let document = folder.join("bad.xml");
    let text = "<domain type='test'>\n  <name>a</name>\n  <memroy>1</memroy>\n</domain>\n";
    std::fs::write(&document, text).expect("a file");
    let said = |hints: &str| {
        let output = virsh()
            .env("VIRSH_HINTS", hints)
            .args(["-c", "test:///default", "define", "--validate"])
            .arg(&document)
            .output()
            .expect("virsh runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (with, without) = (said("1"), said("0"));
    assert!(!without.contains("hint: "), "{without}");
    assert!(with.starts_with(without.trim_end()), "{with}");
    let place = format!("hint: {}: line 3, column 3, in domain: ", document.display());
    assert!(with.contains(&place) && with.contains("<memory>"), "{with}");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

/// Nobody asked to hold these against the schema: one is refused, one is taken with what nobody knows.
#[test]
fn hints_name_the_file_and_what_nothing_will_come_of() {
    let folder = std::env::temp_dir().join(format!("virsh-places-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let said = |name: &str, text: &str, hints: &str| {
        std::fs::write(folder.join(name), text).expect("a file");
        let output = virsh()
            .env("VIRSH_HINTS", hints)
            .current_dir(&folder)
            .args(["-c", "test:///default", "define", name])
            .output()
            .expect("virsh runs");
        let text = [output.stderr, output.stdout].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let of = |inside: &str| {
        format!(
            "<domain type='test'>\n  <name>a</name>\n  <memory>1024</memory>\n  \
             <os><type>hvm</type></os>\n{inside}</domain>\n"
        )
    };
    let refused = of("  <on_crash>restrat</on_crash>\n");
    let taken = of("  <on_crahs>restart</on_crahs>\n");
    let cut = "<domain type='test'>\n  <name>a</name>\n";
    let outcomes = [
        said("refused.xml", &refused, "1"),
        said("taken.xml", &taken, "1"),
        said("cut.xml", cut, "1"),
        said("taken.xml", &taken, "0"),
    ];
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    let [refused, taken, cut, silent] = outcomes;
    let hint = "hint: refused.xml: line 5, column 3, in domain/on_crash: Element on_crash holds \
                'restrat' (did you mean 'restart'?)\n";
    assert!(!refused.0 && refused.1.contains(hint), "{refused:?}");
    let hint = "hint: taken.xml: line 5, column 3, in domain: Element domain has extra content: \
                on_crahs (did you mean <on_crash>?)\n";
    assert!(taken.0 && taken.1.starts_with(hint), "{taken:?}");
    let hint = "hint: cut.xml: line 2, column 17, in domain: expected </domain>, as <domain> of \
                line 1 is still open\n";
    assert!(!cut.0 && cut.1.contains(hint), "{cut:?}");
    assert!(silent.0 && !silent.1.contains("hint"), "{silent:?}");
}
