//! libvirt's own cases for comparing processors and finding baselines.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use test_support::{or_skip, shared};
use virt_cpu::{Answer, Description, Features, Tables, Wish, baseline, compare};
use virt_error::{Origin, Result};

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The features of a host that a document describes.
fn host(description: &Description) -> Features {
    let tables = Tables::x86();
    let model = description.model.as_deref().and_then(|name| tables.model(name));
    let mut features = model.map(|model| model.features.clone()).unwrap_or_default();
    features.extend(description.features.iter().filter_map(|(name, _)| tables.row(name)));
    features
}

fn compared(folder: &Path, inputs: &[&str]) -> Result<Answer> {
    let parse = |at: usize| Description::parse(&read(folder, inputs[at]), Origin::Cpu);
    let (given, wanted) = (parse(0)?, parse(1)?);
    compare("x86_64", given.vendor.as_deref(), &host(&given), &wanted, false)
}

fn baselined(folder: &Path, input: &str, wish: Wish) -> Result<String> {
    let text = read(folder, input);
    let root = virt_xml::parse(&text).expect("the case is XML");
    let cpus: Vec<String> = root.children_named("cpu").map(virt_xml::to_string).collect();
    baseline(&cpus, wish, Origin::Cpu)
}

fn check(folder: &Path, line: &BTreeMap<&str, &str>) -> std::result::Result<(), String> {
    let inputs: Vec<&str> = line["input"].split(' ').collect();
    match line["kind"] {
        "compare" => {
            let answer = match compared(folder, &inputs) {
                Ok(Answer::Identical) => "IDENTICAL".to_owned(),
                Ok(Answer::Superset) => "SUPERSET".to_owned(),
                Ok(Answer::Incompatible(_)) => "INCOMPATIBLE".to_owned(),
                Err(_) => "ERROR".to_owned(),
            };
            let want = line["want"];
            if answer == want { Ok(()) } else { Err(format!("{answer} for {want}")) }
        }
        _ => {
            let flags = line["flags"];
            let wish =
                Wish { expand: flags.contains("EXPAND"), migratable: flags.contains("MIGRATABLE") };
            match (baselined(folder, inputs[0], wish), line["result"]) {
                (Ok(text), "ok") => {
                    let want = read(folder, line["expected"]);
                    if text.trim() == want.trim() {
                        Ok(())
                    } else {
                        Err(format!("{text}\nfor\n{want}"))
                    }
                }
                (Err(_), "error") => Ok(()),
                (got, want) => Err(format!("{got:?} for {want}")),
            }
        }
    }
}

#[test]
fn libvirt_compares_and_finds_baselines_in_the_same_way() {
    let folder = or_skip!(shared("conformance/cpu"));
    let table = read(&folder, "cases.tsv");
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().expect("a head").split('\t').collect();
    let mut failed = Vec::new();
    let mut count = 0;
    for line in lines {
        let line: BTreeMap<&str, &str> = head.iter().copied().zip(line.split('\t')).collect();
        let mine = matches!(line["kind"], "compare" | "baseline") && line["arch"] == "x86_64";
        if !mine {
            continue;
        }
        count += 1;
        if let Err(why) = check(&folder, &line) {
            failed.push(format!("{}: {why}", line["case"]));
        }
    }
    assert!(count > 20, "{count} cases");
    assert!(failed.is_empty(), "{} of {count}:\n{}", failed.len(), failed.join("\n"));
}
