//! Domains under the QEMU driver: their documents, and the command lines that start them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use driver_qemu::corpus::Recorded;
use serde_json::Value;
use virt_error::Error;
use virt_model::domain::Domain;
use virt_model::{ParseFlags, PrintFlags};

use super::verdict;
use crate::{Case, Check, Suite, Verdict, compare};

/// The emulator that the corpora were made for, read once.
fn recorded(suite: &Suite) -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        Recorded::read(
            &suite.fixture("qemucaps/caps_10.0.0_x86_64.xml"),
            &suite.fixture("qemufirmware"),
        )
    })
}

fn message(error: Error) -> String {
    error.message().to_owned()
}

fn print(domain: &Domain, inactive: bool) -> String {
    domain.to_xml(PrintFlags { inactive, secure: true, ..PrintFlags::default() })
}

pub(super) fn xmlconf(suite: &Suite, case: &Case) -> Vec<Check> {
    let abi_update = case.column("extra").contains("ABI_UPDATE");
    let flags = ParseFlags { inactive: true, abi_update, ..ParseFlags::default() };
    let recorded = recorded(suite).changed(
        case.column("variant"),
        case.column("extra"),
        case.column("config"),
    );
    let domain = suite.input(case, 0).and_then(|text| recorded.load(&text, flags).map_err(message));
    let shown = || domain.as_ref().map(|domain| print(domain, true)).map_err(Clone::clone);
    let mut checks = Vec::new();
    if case.result == "parse-error" {
        checks.push(Check { kind: Some("xml"), verdict: refusal(suite, case, shown()) });
        return checks;
    }
    if case.expected.iter().any(|file| file.ends_with(".xml")) {
        let parsed = Case { result: "ok".to_owned(), ..case.clone() };
        checks.push(Check { kind: Some("xml"), verdict: verdict(suite, &parsed, ".xml", shown()) });
    }
    let argv = domain
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|domain| recorded.command_line(domain).map_err(message));
    if case.result == "error" {
        checks.push(Check { kind: Some("argv"), verdict: refusal(suite, case, argv) });
    } else if let Some(wanted) = suite.expected(case, ".args") {
        let verdict = wanted.and_then(|wanted| same_options(&wanted, &argv?));
        checks.push(Check { kind: Some("argv"), verdict });
    }
    checks
}

/// A case that must be refused; where the message names a place on the recording machine, in any words.
fn refusal(suite: &Suite, case: &Case, made: Result<String, String>) -> Verdict {
    match suite.expected(case, ".err") {
        Some(Ok(wanted)) if wanted.contains("ABS_SRCDIR") && made.is_err() => Ok(()),
        _ => verdict(suite, case, ".xml", made),
    }
}

/// The options of a command line, one each: what the corpus prints on a line.
fn options(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(|line| line.trim_end_matches(" \\").to_owned())
        .filter(|line| line.starts_with('-') && !is_machines_own(line))
        .collect()
}

/// Lines that name the recording machine's own files and descriptors.
fn is_machines_own(line: &str) -> bool {
    line.contains("master-key.aes") || line.contains("id=charmonitor,")
}

fn same_options(wanted: &str, made: &str) -> Verdict {
    let (wanted, made) = (options(wanted), options(made));
    let missing = wanted.difference(&made).map(|line| format!("-{line}\n"));
    let odd = made.difference(&wanted).map(|line| format!("+{line}\n"));
    let all: String = missing.chain(odd).collect();
    if all.is_empty() { Ok(()) } else { Err(all) }
}

pub(super) fn status(suite: &Suite, case: &Case) -> Vec<Check> {
    let made = suite.input(case, 0).and_then(|text| Recorded::status(&text).map_err(message));
    vec![verdict(suite, case, ".xml", made).into()]
}

pub(super) fn active(suite: &Suite, case: &Case) -> Vec<Check> {
    let judge = || {
        let text = suite.input(case, 0)?;
        let mut domain = recorded(suite).load(&text, ParseFlags::default()).map_err(message)?;
        domain.id.get_or_insert(1337);
        for file in &case.expected {
            compare::text(&suite.read(file)?, &print(&domain, file.contains("-inactive.")))?;
        }
        Ok(())
    };
    vec![judge().into()]
}

/// A firmware's descriptor, read and written again; what only people read of it is left out.
pub(super) fn firmware(suite: &Suite, case: &Case) -> Vec<Check> {
    let judge = || {
        let file = case.column("file");
        let text = suite_text(&suite.fixture("qemufirmware").join(file))?;
        let made = Recorded::firmware(&text);
        if case.result != "ok" {
            return made.map_or(Ok(()), |value| Err(format!("no error, but {value:#}\n")));
        }
        let written = suite.fixture("qemufirmware").join("out").join(file);
        let wanted = if written.is_file() { suite_text(&written)? } else { text };
        let mut wanted: Value = serde_json::from_str(&wanted).map_err(|error| error.to_string())?;
        if let Value::Object(members) = &mut wanted {
            members.retain(|key, _| key != "description" && key != "tags");
        }
        let made = made.ok_or("refused")?;
        compare::text(&format!("{wanted:#}\n"), &format!("{made:#}\n"))
    };
    vec![judge().into()]
}

fn suite_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
