//! Processors: compared, and brought to what several have in common.

use virt_cpu::{Answer, Description, Features, Tables, Wish, baseline, compare};
use virt_error::{Origin, Result};

use super::verdict;
use crate::{Case, Check, Suite, Verdict};

/// The features of a host that a document describes.
fn host(description: &Description) -> Features {
    let tables = Tables::x86();
    let model = description.model.as_deref().and_then(|name| tables.model(name));
    let mut features = model.map(|model| model.features.clone()).unwrap_or_default();
    features.extend(description.features.iter().filter_map(|(name, _)| tables.row(name)));
    features
}

fn compared(given: &str, wanted: &str) -> Result<Answer> {
    let given = Description::parse(given, Origin::Cpu)?;
    let wanted = Description::parse(wanted, Origin::Cpu)?;
    compare("x86_64", given.vendor.as_deref(), &host(&given), &wanted, false)
}

fn comparison(suite: &Suite, case: &Case) -> Verdict {
    let answer = match compared(&suite.input(case, 0)?, &suite.input(case, 1)?) {
        Ok(Answer::Identical) => "IDENTICAL",
        Ok(Answer::Superset) => "SUPERSET",
        Ok(Answer::Incompatible(_)) => "INCOMPATIBLE",
        Err(_) => "ERROR",
    };
    same_word(answer, case.column("want"))
}

fn common(suite: &Suite, case: &Case) -> Verdict {
    let text = suite.input(case, 0)?;
    let root = virt_xml::parse(&text).map_err(|error| error.to_string())?;
    let cpus: Vec<String> = root.children_named("cpu").map(virt_xml::to_string).collect();
    let flags = case.column("flags");
    let wish = Wish { expand: flags.contains("EXPAND"), migratable: flags.contains("MIGRATABLE") };
    let made = baseline(&cpus, wish, Origin::Cpu).map_err(|error| error.message().to_owned());
    verdict(suite, case, ".xml", made)
}

/// Whether a host has a feature; one that nobody knows is a failure.
fn has_feature(suite: &Suite, case: &Case) -> Verdict {
    let made = || {
        let described = Description::parse(&suite.input(case, 0)?, Origin::Cpu).ok();
        let row = Tables::x86().row(case.column("cpu"));
        Ok::<_, String>(match (described, row) {
            (Some(described), Some(row)) if host(&described).contains(&row) => "YES",
            (Some(_), Some(_)) => "NO",
            _ => "FAIL",
        })
    };
    same_word(made()?, case.column("want"))
}

fn same_word(made: &str, wanted: &str) -> Verdict {
    if made == wanted { Ok(()) } else { Err(format!("-{wanted}\n+{made}\n")) }
}

/// The kinds of cases.
const KINDS: &[&str] =
    &["compare", "baseline", "update", "guestcpu", "hascpufeature", "cpuid", "cpuid-baseline"];

pub(super) fn judge(suite: &Suite, case: &Case) -> Vec<Check> {
    let kind = KINDS.iter().copied().find(|kind| *kind == case.column("kind"));
    let verdict = match kind {
        _ if case.column("arch") != "x86_64" => Err("of another architecture than x86".to_owned()),
        Some("compare") => comparison(suite, case),
        Some("baseline") => common(suite, case),
        Some("hascpufeature") => has_feature(suite, case),
        _ => Err("open".to_owned()),
    };
    vec![Check { kind, verdict }]
}
