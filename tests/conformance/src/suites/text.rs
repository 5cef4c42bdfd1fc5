//! Texts that are no XML: configuration files, JSON, the backing files that images name.

use virt_conf::Conf;
use virt_model::domain::backing::Backing;
use virt_model::{Out, PrintFlags};

use super::verdict;
use crate::{Case, Check, Suite, Verdict, compare};

pub(super) fn virconf(suite: &Suite, case: &Case) -> Vec<Check> {
    let made = suite
        .input(case, 0)
        .and_then(|text| Conf::parse(&text).map_err(|error| error.to_string()))
        .map(|conf| conf.to_string());
    vec![verdict(suite, case, ".out", made).into()]
}

/// Compat: libvirt's tests join lines that end in a backslash.
fn joined(text: &str) -> String {
    text.replace("\\\n", "")
}

fn printed(kind: &str, text: &str) -> Result<String, String> {
    let value = virt_json::parse(text).map_err(|error| error.to_string())?;
    match kind {
        "deflatten" => value.deflattened().map(|v| v.pretty()).map_err(|error| error.to_string()),
        _ => Ok(value.to_string()),
    }
}

/// A document as the bytes that it was: the table holds those beyond ASCII one by one.
fn bytes_of(text: &str) -> Result<String, String> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    match bytes {
        Some(bytes) => String::from_utf8(bytes).map_err(|error| error.to_string()),
        None => Ok(text.to_owned()),
    }
}

fn json_verdict(suite: &Suite, case: &Case) -> Verdict {
    let kind = case.column("kind");
    if let Some(document) = case.text("document") {
        let made = bytes_of(&document).and_then(|text| printed(kind, &text));
        return match (case.result.as_str(), made) {
            ("ok", Ok(text)) => {
                compare::text(&format!("{}\n", case.text("want").unwrap_or(document)), &text)
            }
            ("ok", Err(message)) => Err(format!("error: {message}\n")),
            (_, Ok(text)) => Err(format!("no error, but {text}\n")),
            (_, Err(_)) => Ok(()),
        };
    }
    let made = printed(kind, &joined(&suite.input(case, 0)?));
    match suite.expected(case, ".json").transpose()? {
        Some(wanted) if case.result == "ok" => compare::text(&joined(&wanted), &made?),
        _ => verdict(suite, case, ".json", made),
    }
}

pub(super) fn json(suite: &Suite, case: &Case) -> Vec<Check> {
    vec![json_verdict(suite, case).into()]
}

fn backing_verdict(case: &Case) -> Verdict {
    let text = case.text("backing").ok_or("there is no backing string")?;
    let made = match Backing::parse(&text) {
        Ok(backing) => backing,
        Err(_) if case.result != "ok" => return Ok(()),
        Err(error) => return Err(format!("error: {}\n", error.message())),
    };
    let mut out = Out::new(PrintFlags::default());
    made.source.write("source", &mut out);
    let wanted = case.text("want").ok_or_else(|| "no error\n".to_owned())?;
    compare::text(&wanted, &out.w.finish())?;
    let ignored = case.column("rc") == "1";
    if made.ignored == ignored { Ok(()) } else { Err(format!("ignored parts: {}\n", made.ignored)) }
}

pub(super) fn backing(_: &Suite, case: &Case) -> Vec<Check> {
    vec![backing_verdict(case).into()]
}
