//! The command table against the table of the reference's options, where that is at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("FERROVIRT_SHARED").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = named.unwrap_or_else(|| root.join("../shared"));
    let table = folder.join("protocol/virsh_commands.tsv");
    table.exists().then_some(table)
}

fn help(about: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_virsh")).arg("help").args(about).output();
    let output = output.expect("virsh runs");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// A synopsis as parts: `[--config <string>]` is one.
fn parts(synopsis: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let split = synopsis.split(|c: char| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ' ' && depth == 0
    });
    split.collect()
}

#[test]
fn synopses_are_those_of_the_reference() {
    let Some(table) = shared() else {
        eprintln!("skipped: no shared folder with the reference's option table");
        return;
    };
    let text = std::fs::read_to_string(table).expect("the table is text");
    let synopses: BTreeMap<&str, &str> = text
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            Some((*fields.first()?, *fields.get(7)?))
        })
        .collect();
    let listed = help(&[]).join("\n");
    let mut checked = 0;
    for (command, synopsis) in synopses {
        if !listed.lines().any(|line| line.split_whitespace().next() == Some(command)) {
            continue;
        }
        let page = help(&[command]);
        let at = page.iter().position(|line| line == "  SYNOPSIS").expect("a synopsis");
        assert_eq!(parts(page[at + 1].trim()), parts(synopsis), "{command}");
        checked += 1;
    }
    assert!(checked > 150, "only {checked} commands were compared");
}
