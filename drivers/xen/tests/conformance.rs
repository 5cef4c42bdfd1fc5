//! libvirt's own cases of Xen's native formats: none that came out right once may fail again.
//!
//! `CONFORMANCE_SHOW=PART` prints what differs in failing cases whose name holds PART.

#![allow(clippy::print_stdout, reason = "counts and skips are what these tests report")]

use std::path::{Path, PathBuf};

use driver_xen::capabilities::Capabilities;
use driver_xen::libxl::{self, Environment};
use driver_xen::{Era, Host, Toolstack};
use serde_json::Value;
use virt_model::domain::Domain;
use virt_model::{ParseFlags, PrintFlags};

/// A case's columns by name, and the folder its files are in.
struct Case<'a> {
    folder: &'a Path,
    columns: Vec<(&'a str, &'a str)>,
}

/// What is right about a case, or what differs.
type Verdict = Result<(), String>;

impl Case<'_> {
    fn column(&self, name: &str) -> &str {
        self.columns.iter().find(|(key, _)| *key == name).map_or("-", |(_, value)| value)
    }

    fn text(&self, path: &str) -> String {
        let text = std::fs::read_to_string(self.folder.join(path)).expect(path);
        match self.column("replace_vars") {
            "yes" => text.replace("/LIBXL_FIRMWARE_DIR", "/usr/lib/xen/boot"),
            _ => text,
        }
    }

    /// A file of the column, by the end of its name.
    fn file(&self, column: &str, end: &str) -> String {
        let names = self.column(column).split(' ');
        let path = names.into_iter().find(|path| path.ends_with(end));
        self.text(path.unwrap_or_else(|| panic!("{column} has no {end}")))
    }
}

fn run(suite: &str, at_least: usize, judge: impl Fn(&Case<'_>) -> Verdict) {
    let folder: PathBuf = match test_support::shared(&format!("conformance/{suite}")) {
        Ok(folder) => folder,
        Err(reason) => return test_support::skipped(reason),
    };
    let table = std::fs::read_to_string(folder.join("cases.tsv")).expect("cases.tsv");
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let show = std::env::var("CONFORMANCE_SHOW").ok();
    let (mut passed, mut total) = (0, 0);
    for line in lines {
        let columns = head.iter().copied().zip(line.split('\t')).collect();
        let case = Case { folder: &folder, columns };
        total += 1;
        match judge(&case) {
            Ok(()) => passed += 1,
            Err(difference) => {
                let name = case.column("case");
                println!("failed: {suite}/{name}");
                if show.as_ref().is_some_and(|part| name.contains(part.as_str())) {
                    println!("{difference}");
                }
            }
        }
    }
    println!("{suite} {passed}/{total}");
    assert!(passed >= at_least, "{suite}: {passed} of {total}, {at_least} came out right before");
}

/// Compares texts, the last line's end aside.
fn same(what: &str, got: virt_error::Result<String>, wanted: &str) -> Verdict {
    let got = got.map_err(|error| format!("{what}: {}", error.message()))?;
    if got.trim_end_matches('\n') == wanted.trim_end_matches('\n') {
        return Ok(());
    }
    let mut text = format!("{what} differs\n");
    let (got, wanted): (Vec<_>, Vec<_>) = (got.lines().collect(), wanted.lines().collect());
    for line in &wanted {
        if !got.contains(line) {
            text.push_str(&format!("- {line}\n"));
        }
    }
    for line in &got {
        if !wanted.contains(line) {
            text.push_str(&format!("+ {line}\n"));
        }
    }
    Err(text)
}

/// A host of the last libvirt that knew xend.
fn xend_host() -> Host {
    Host {
        arch: "i686".to_owned(),
        toolstack: Toolstack::Xend { config_format: 4 },
        era: Era::V1_3,
        ..Host::default()
    }
}

fn both_ways(case: &Case<'_>, format: &str) -> Verdict {
    let host = if case.column("origin") == "1.3.1" { xend_host() } else { Host::default() };
    let (cfg, xml) = (case.file("expected", ".cfg"), case.file("expected", ".xml"));
    for mode in case.column("modes").split('+') {
        match mode {
            "xml-to-cfg" => same(mode, host.to_native(format, &xml), &cfg)?,
            "cfg-to-xml" => same(mode, host.from_native(format, &cfg), &xml)?,
            other => panic!("unknown mode {other}"),
        }
    }
    Ok(())
}

/// The corpus folds long lines with backslashes.
fn unfolded(text: &str) -> String {
    text.replace("\\\n", "")
}

fn sexpr_to_xml(case: &Case<'_>) -> Verdict {
    let host = xend_host();
    let printed = host.read("xen-sxpr", &unfolded(&case.file("input", ".sexpr"))).map(|domain| {
        // The corpus was recorded without a host, whose architecture nobody knew.
        let mut domain = domain;
        (domain.os.kind.arch, domain.os.kind.machine) = (None, None);
        host.era.print(&domain, PrintFlags::default())
    });
    same("xml", printed, &case.file("expected", ".xml"))
}

fn xml_to_sexpr(case: &Case<'_>) -> Verdict {
    let printed = xend_host().to_native("xen-sxpr", &case.file("input", ".xml"));
    same("sexpr", printed, &unfolded(&case.file("expected", ".sexpr")))
}

fn capabilities(case: &Case<'_>) -> Verdict {
    let (offered, cpuinfo) = (case.file("input", ".caps"), case.file("input", ".cpuinfo"));
    let arch = case.column("case").split('-').nth(1).unwrap_or_default();
    let printed = Capabilities::read(arch, &offered, &cpuinfo).to_xml();
    same("xml", Ok(printed), &case.file("expected", ".xml"))
}

/// Members that say nothing are the same as none.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().map(|(key, value)| (key, without_empty(value)));
            let empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
            Value::Object(kept.filter(|(_, value)| !empty(value)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        other => other,
    }
}

fn domain_config(case: &Case<'_>) -> Verdict {
    let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
    let xml = case.file("input", ".xml");
    let environment = Environment { shadow_kib: Some(1234), vnc_port: Some(5900) };
    let config = Domain::load(&xml, flags, &Host::default().rules())
        .and_then(|domain| libxl::config(&domain, environment))
        .map_err(|error| error.message().to_owned())?;
    let wanted = serde_json::from_str(&case.file("expected", ".json")).expect("JSON");
    let pretty = |value| serde_json::to_string_pretty(&without_empty(value)).expect("JSON");
    same("json", Ok(pretty(config)), &pretty(wanted))
}

#[test]
fn xen_xm() {
    run("xen-xm", 24, |case| both_ways(case, "xen-xm"));
}

#[test]
fn xen_xl() {
    run("xen-xl", 30, |case| both_ways(case, "xen-xl"));
}

#[test]
fn xen_sexpr2xml() {
    run("xen-sexpr2xml", 32, sexpr_to_xml);
}

#[test]
fn xen_xml2sexpr() {
    run("xen-xml2sexpr", 31, xml_to_sexpr);
}

#[test]
fn xen_caps() {
    run("xen-caps", 10, capabilities);
}

#[test]
fn xen_domconfig() {
    run("xen-domconfig", 11, domain_config);
}
