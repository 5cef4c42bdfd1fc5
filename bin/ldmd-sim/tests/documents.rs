//! The guide names every option and every fault there is, and no others.

use std::collections::BTreeSet;
use std::process::Command;

/// The simulator's part of the guide.
fn guide() -> &'static str {
    let guide = include_str!("../../../docs/ldoms.md");
    guide.split_once("## The simulator").expect("its chapter").1
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ldmd-sim")).args(args).output().expect("it was built");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_option_is_in_the_guide() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    let names: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--")?.split(' ').next())
        .collect();
    assert!(names.len() > 30);
    for name in &names {
        let is_there =
            guide().contains(&format!("`{name}`")) || guide().contains(&format!("`--{name} "));
        assert!(is_there, "{name} is not in the guide");
    }
    for word in guide().split("`--").skip(1).filter_map(|rest| rest.split([' ', '`', '=']).next()) {
        let is_known = names.contains(word) || ["help", "OPTION"].contains(&word);
        assert!(is_known, "the guide names --{word}");
    }
}

#[test]
fn every_fault_is_in_the_guide() {
    let (code, _, why) = run(&["--fault", "x"]);
    assert_eq!(code, Some(2));
    let names = why.trim().rsplit("not ").next().unwrap().split(", ");
    let in_guide: BTreeSet<&str> = guide()
        .split_once("| fault | what happens |")
        .unwrap()
        .1
        .split("\n\n")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), in_guide);
}

#[test]
fn a_wrong_start_has_its_own_exit_status() {
    assert_eq!(run(&["--frobnicate", "x"]).0, Some(2));
    let (code, _, why) = run(&["--listen", "127.0.0.1:0", "--primary-memory", "1T"]);
    assert_eq!(code, Some(1));
    assert!(why.contains("too small"), "{why}");
    assert_eq!(run(&["--version"]).0, Some(0));
}
