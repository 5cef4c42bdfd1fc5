//! What programs and people at terminals get: JSON by its schemas, bars, Ctrl-C, the manual page.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use test_support::{Terminal, debian_program, or_skip, run, wait_until};

use crate::tool::{PROGRAM, Tool};

const LIMIT: Duration = Duration::from_secs(120);

fn docs(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(path)
}

#[test]
fn json_is_as_its_schemas_say() {
    const SCRIPT: &str = "
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.validate(json.loads(sys.argv[2]), schema)
";
    let python = or_skip!(debian_program("python3"));
    let tool = Tool::new();
    tool.ok("create -s 2m -t vmdk:fixed d");
    tool.ok("snapshot d@one");
    tool.ok("snapshot d@two");
    tool.ok("prop-add -p user:colour=green d");
    for line in [
        "list --output json d",
        "verify --output json d",
        "verify --output=json nosuch",
        "prop-get --output json -p all d",
        "prop-get --output json -p max-size d",
        "prop-get --output json -p user:colour d",
    ] {
        let told = tool.run(line).stdout;
        let schema =
            docs("vdiskadm-schemas").join(format!("{}.json", line.split_once(' ').unwrap().0));
        let mut judge = Command::new(&python);
        let outcome = run(judge.args(["-c", SCRIPT]).arg(schema).arg(&told), LIMIT);
        if outcome.stderr.contains("No module named 'jsonschema'") {
            test_support::skipped("python3-jsonschema is not installed (cargo xtask setup)");
            return;
        }
        assert_eq!(outcome.code, Some(0), "{line}: {told}\n{}", outcome.stderr);
    }
    let all = tool.ok("prop-get --output json -p all d");
    for part in ["\"max-size\":2097152,", "\"sparse\":false,", "\"user:colour\":\"green\""] {
        assert!(all.contains(part), "{part}: {all}");
    }
}

/// A raw vdisk whose copy takes some time.
fn large(tool: &Tool) {
    tool.ok("create -s 2g -t raw d");
    let disk = std::fs::OpenOptions::new().write(true).open(tool.path("d/vdisk.raw")).unwrap();
    for at in 0..256 {
        disk.write_all_at(&vec![at as u8 | 1; 1 << 20], at << 23).unwrap();
    }
}

/// The program on a terminal that can interrupt it.
fn at_terminal(tool: &Tool, line: &str) -> Result<Terminal, String> {
    let mut command = Command::new(debian_program("setsid")?);
    command.args(["--ctty", "--wait", PROGRAM]).args(line.split(' '));
    command.current_dir(tool.scratch.path());
    Terminal::start(&mut command).map_err(|error| error.to_string())
}

#[test]
fn a_person_sees_a_bar_and_ends_it_with_a_key() {
    let tool = Tool::new();
    large(&tool);
    let mut terminal = or_skip!(at_terminal(&tool, "export -x vdi -d out d"));
    terminal.wait_for("exporting [", LIMIT).unwrap();
    terminal.wait_for("] 100%", LIMIT).unwrap();
    assert_eq!(terminal.end(LIMIT), Some(0));
    let mut terminal = or_skip!(at_terminal(&tool, "export -q -x vdi -d quiet d"));
    let silent = terminal.wait_for("exporting", LIMIT).unwrap_err();
    assert!(silent.ends_with("before the end, but: "), "{silent}");
    assert_eq!(terminal.end(LIMIT), Some(0));

    let mut terminal = or_skip!(at_terminal(&tool, "export -x vmdk:stream -d stream d"));
    terminal.wait_for("exporting [", LIMIT).unwrap();
    terminal.send("\x03").unwrap();
    terminal.wait_for("ERROR: cancelled", LIMIT).unwrap();
    assert_eq!(terminal.end(LIMIT), Some(255));
    assert!(
        wait_until(LIMIT, || tool.names(".") == ["d", "out", "quiet"]),
        "{:?}",
        tool.names(".")
    );
}

#[test]
fn the_manual_page_has_every_subcommand_and_option() {
    let groff = or_skip!(debian_program("groff"));
    let mut command = Command::new(groff);
    command.args(["-man", "-Tutf8", "-P-cbou", "-ww"]).arg(docs("man/vdiskadm.1"));
    let outcome = run(&mut command, LIMIT);
    assert_eq!(outcome.stderr, "", "groff complains");
    let page = outcome.stdout.replace('\u{2010}', "-");
    let tool = Tool::new();
    let help = tool.ok("help");
    let mut names: Vec<&str> =
        help.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    names.retain(|name| !name.starts_with('['));
    names.extend(["ref-inc", "ref-dec", "serve"]);
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let line = page.lines().find(|line| line.contains(&format!("vdiskadm {name}")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in the page"));
        let usage = tool.ok(&format!("help {name}"));
        let synopsis = usage.lines().nth(1).unwrap_or_default();
        for option in synopsis.split(|c: char| c.is_whitespace() || "[]|".contains(c)) {
            assert!(!option.starts_with('-') || line.contains(option), "{name} {option}: {line}");
        }
    }
    for heading in ["DESCRIPTION", "SUBCOMMANDS", "EXIT STATUS", "FILES", "EXAMPLES", "SEE ALSO"] {
        assert!(page.contains(&format!("\n{heading}\n")), "{heading}");
    }
}
