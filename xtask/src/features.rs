//! `features`: docs/features.tsv counted, and held against the tree and the feature table.
//!
//! One line a feature: id, state (`open`, `partly`, `works`) and the test that proves it, as
//! `PATH::FUNCTION`, or `-` where it is open. A feature counts only with a test that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::source;
use crate::workspace;

const TABLE: &str = "docs/features.tsv";
const STATES: [&str; 3] = ["works", "partly", "open"];

struct Row<'a> {
    id: &'a str,
    state: &'a str,
    test: &'a str,
}

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let root = workspace::root();
    let text = fs::read_to_string(root.join(TABLE)).map_err(|error| format!("{TABLE}: {error}"))?;
    let rows = parse(&text)?;
    let mut problems = Vec::new();
    for row in &rows {
        problems.extend(check(row, &|path| fs::read_to_string(root.join(path)).ok()));
    }
    match workspace::shared().map(|folder| folder.join("design/features.md")) {
        Some(path) if path.is_file() => {
            let wanted = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            problems.extend(compare_ids(&rows, &ids(&wanted)));
        }
        _ => println!("skipped: the ids are not compared, there is no shared folder"),
    }
    let count = |state: &str| rows.iter().filter(|row| row.state == state).count();
    let counted: Vec<String> =
        STATES.iter().map(|state| format!("{} {state}", count(state))).collect();
    println!("{} features: {}", rows.len(), counted.join(", "));
    if let Some(state) = args.first() {
        for row in rows.iter().filter(|row| row.state == state) {
            println!("{}\t{}", row.id, row.test);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n  ")) }
}

fn parse(text: &str) -> Result<Vec<Row<'_>>, String> {
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let [id, state, test] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("{TABLE}:{}: a line is: id, state, test", at + 1));
        };
        rows.push(Row { id, state, test });
    }
    Ok(rows)
}

/// What is wrong with one row; `read` gives a file's text by its path from the root.
fn check(row: &Row<'_>, read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let Row { id, state, test } = row;
    if !STATES.contains(state) {
        return Some(format!("{id}: '{state}' is no state"));
    }
    if *test == "-" {
        return (*state != "open").then(|| format!("{id}: {state}, but no test is named"));
    }
    let Some((path, function)) = test.split_once("::") else {
        return Some(format!("{id}: a test is named as PATH::FUNCTION, not '{test}'"));
    };
    let Some(text) = read(path) else {
        return Some(format!("{id}: there is no file {path}"));
    };
    let found = source::functions(&text).iter().any(|found| found.name == function);
    (!found).then(|| format!("{id}: there is no function {function} in {path}"))
}

/// The ids of the feature table, which is Markdown; a row may name several.
fn ids(text: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut in_rules = false;
    for line in text.lines() {
        if line.starts_with('#') {
            in_rules = line.starts_with("### Maintainer remarks");
        }
        let number = line.split_once(". ").and_then(|(number, _)| number.parse::<u32>().ok());
        if in_rules && let Some(number) = number {
            ids.insert(format!("R-{number:02}"));
        }
        let mut cells = line.split('|').skip(1).map(str::trim);
        let (Some(first), Some(second)) = (cells.next(), cells.next()) else { continue };
        let Some((letter, numbers)) = first.split_once('-') else { continue };
        if letter.len() != 1 || !letter.starts_with(|c: char| c.is_ascii_uppercase()) {
            continue;
        }
        let bounds: Vec<u32> =
            numbers.split('…').filter_map(|number| number.parse().ok()).collect();
        let (Some(from), Some(to)) = (bounds.first(), bounds.last()) else { continue };
        ids.extend((*from..=*to).map(|number| format!("{letter}-{number:02}")));
        // Some rows describe further ids in their second cell: "`domid`, C-15 `dominfo`".
        let further = second.split(", ").filter_map(|part| part.split(' ').next());
        ids.extend(further.filter(|word| is_id(word, letter)).map(str::to_owned));
    }
    ids
}

fn is_id(word: &str, letter: &str) -> bool {
    word.split_once('-').is_some_and(|(start, number)| {
        start == letter && number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn compare_ids(rows: &[Row<'_>], wanted: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = BTreeMap::new();
    for row in rows {
        *seen.entry(row.id).or_insert(0) += 1;
        if !wanted.contains(row.id) {
            problems.push(format!("{}: not in the feature table", row.id));
        }
    }
    problems.extend(seen.iter().filter(|(_, n)| **n > 1).map(|(id, _)| format!("{id}: twice")));
    let missing = wanted.iter().filter(|id| !seen.contains_key(id.as_str()));
    problems.extend(missing.map(|id| format!("{id}: missing in {TABLE}")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_all_forms_of_row() {
        let text = "| id | x |\n| C-14 | `domid`, C-15 `dominfo` | y |\n| K-05…08 | z | |\n\
                    ### Maintainer remarks\n\n1. Never.\n";
        let expected = ["C-14", "C-15", "K-05", "K-06", "K-07", "K-08", "R-01"];
        assert_eq!(ids(text).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_feature_counts_only_with_a_test_that_exists() {
        let read = |path: &str| (path == "a.rs").then(|| "fn it() {\n    x\n}\n".to_owned());
        let row = |state, test| check(&Row { id: "C-01", state, test }, &read);
        assert_eq!(row("works", "a.rs::it"), None);
        assert_eq!(row("open", "-"), None);
        assert!(row("works", "-").is_some());
        assert!(row("works", "a.rs::other").is_some());
        assert!(row("works", "b.rs::it").is_some());
        assert!(row("maybe", "-").is_some());
    }
}
