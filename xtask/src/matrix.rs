//! `matrix`: which driver answers which call of the seam, read from source; `matrix commands`: which
//! serves which of the shell's commands, from the table that a test of each driver holds true.
//!
//! A method of a family's trait that a driver overrides is answered; one it leaves at the trait's
//! refusal is not. It says what is written, not what works: docs/features.tsv says that.

use std::collections::{BTreeMap, BTreeSet};

use crate::source;
use crate::workspace::{self, File};

/// The families' traits; the seam's other traits are no families of calls.
const SEAM: &str = "crates/virt-driver/src/generated/";

/// A trait of the seam and its methods, in order.
struct Family {
    name: String,
    methods: Vec<String>,
}

/// Driver → family → methods.
type Answers = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let files = workspace::files()?;
    let families = families(&files);
    if families.is_empty() {
        return Err(format!("no trait found below {SEAM}"));
    }
    let answers = answers(&files, &families);
    let only = args.first();
    if only.is_some_and(|name| name == "commands") {
        return print_commands(&text_of(COMMANDS)?);
    }
    if let Some(name) = only.filter(|name| families.iter().all(|family| family.name != **name)) {
        return Err(format!("there is no family '{name}'"));
    }
    for family in families.iter().filter(|family| only.is_none_or(|name| *name == family.name)) {
        print_family(family, &answers, only.is_some());
    }
    if only.is_none() {
        println!("{}", counts(&text_of(COMMANDS)?));
    }
    Ok(())
}

/// Which driver serves which command; the first line has the drivers' names.
const COMMANDS: &str = "docs/served.tsv";

fn text_of(path: &str) -> Result<String, String> {
    let path = workspace::root().join(path);
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// How many commands each driver serves.
fn counts(table: &str) -> String {
    let mut rows = table.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    let drivers = rows.next().unwrap_or_default();
    let rows: Vec<Vec<&str>> = rows.collect();
    let each = drivers.iter().enumerate().skip(1).map(|(at, driver)| {
        let served = rows.iter().filter(|row| row.get(at) == Some(&"yes")).count();
        format!("{driver} {served}")
    });
    format!(
        "{:<16} {:>3} of virsh: {}",
        "commands",
        rows.len(),
        each.collect::<Vec<_>>().join(", ")
    )
}

fn print_commands(table: &str) -> Result<(), String> {
    let mut rows = table.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    let drivers = rows.next().filter(|row| row.len() > 1).ok_or("the table has no drivers")?;
    println!("{:<32}{}", "", drivers[1..].join("  "));
    for row in rows {
        let marks = drivers.iter().zip(&row).skip(1).map(|(driver, word)| {
            let mark = if *word == "yes" { "✓" } else { "" };
            format!("{mark:<width$}", width = driver.len())
        });
        let marks: Vec<String> = marks.collect();
        println!("{:<32}{}", row.first().unwrap_or(&""), marks.join("  ").trim_end());
    }
    println!("{}", counts(table));
    Ok(())
}

/// One line a family with counts or, in full, one line a method with a mark per driver.
fn print_family(family: &Family, answers: &Answers, in_full: bool) {
    let answered = |driver: &str| answers.get(driver).and_then(|found| found.get(&family.name));
    if !in_full {
        let counts: Vec<String> = answers
            .keys()
            .map(|driver| format!("{driver} {}", answered(driver).map_or(0, BTreeSet::len)))
            .collect();
        println!("{:<16} {:>3} calls: {}", family.name, family.methods.len(), counts.join(", "));
        return;
    }
    let drivers: Vec<&str> = answers.keys().map(String::as_str).collect();
    println!("{:<36} {}", family.name, drivers.join("  "));
    for method in &family.methods {
        let marks: Vec<String> = drivers
            .iter()
            .map(|driver| {
                let has = answered(driver).is_some_and(|methods| methods.contains(method));
                format!("{:<width$}", if has { "✓" } else { "" }, width = driver.len())
            })
            .collect();
        println!("  {:<34} {}", method, marks.join("  ").trim_end());
    }
}

fn families(files: &[File]) -> Vec<Family> {
    let mut families = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(SEAM) && file.is_rust()) {
        for (head, methods) in blocks(&file.text, "pub trait ") {
            let end = head.find([':', ' ', '<', '{']).unwrap_or(head.len());
            families.push(Family { name: head[..end].to_owned(), methods });
        }
    }
    families
}

fn answers(files: &[File], families: &[Family]) -> Answers {
    let mut answers = Answers::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some(rest) = file.path.strip_prefix("drivers/") else { continue };
        let Some((driver, inside)) = rest.split_once('/') else { continue };
        let of_driver = answers.entry(driver.to_owned()).or_default();
        if !inside.starts_with("src/") {
            continue;
        }
        for (head, methods) in blocks(&file.text, "impl") {
            let Some((path, _)) = head.split_once(" for ") else { continue };
            let name = path.rsplit([' ', ':']).next().unwrap_or(path);
            if families.iter().any(|family| family.name == name) {
                of_driver.entry(name.to_owned()).or_default().extend(methods);
            }
        }
    }
    answers
}

/// The top-level blocks whose first line starts with `start`: the rest of that line, and the
/// functions inside.
fn blocks(text: &str, start: &str) -> Vec<(String, Vec<String>)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(head) = line.strip_prefix(start) else { continue };
        let block = source::block(&lines, at).join("\n");
        let methods = source::functions(&block).iter().map(|f| f.name.to_owned()).collect();
        found.push((head.trim_end_matches(" {").to_owned(), methods));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_counted_per_driver() {
        let table = "command\ttest\tqemu\nlist\tyes\tyes\nnet-list\tyes\tno\n";
        assert!(counts(table).ends_with("  2 of virsh: test 2, qemu 1"), "{}", counts(table));
    }

    #[test]
    fn overridden_methods_are_found_per_driver() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file(
                "crates/virt-driver/src/generated/domains.rs",
                "pub trait Domains: Send + Sync {\n    fn find(&self) -> u32;\n    fn reset(&self) -> u32 {\n        1\n    }\n}\n",
            ),
            file(
                "drivers/test/src/lib.rs",
                "impl virt_driver::Domains for World {\n    fn find(&self) -> u32 {\n        2\n    }\n}\nimpl Clone for X {\n    fn clone() {}\n}\n",
            ),
        ];
        let families = families(&files);
        assert_eq!(families.len(), 1);
        assert_eq!(families[0].methods, ["find", "reset"]);
        let answers = answers(&files, &families);
        assert_eq!(answers["test"]["Domains"], BTreeSet::from(["find".to_owned()]));
        assert_eq!(answers["test"].len(), 1);
    }
}
