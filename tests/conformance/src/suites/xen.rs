//! Xen's native formats in both directions, its old capabilities, and libxl's JSON.

use driver_xen::capabilities::Capabilities;
use driver_xen::libxl::{self, Environment};
use driver_xen::{Era, Host, Toolstack};
use serde_json::Value;
use virt_error::Result;
use virt_model::domain::Domain;
use virt_model::{ParseFlags, PrintFlags};

use crate::{Case, Check, Suite, Verdict, compare};

/// A file of a column, by the end of its name, with the corpus's variable replaced.
fn file(
    suite: &Suite,
    case: &Case,
    files: &[String],
    end: &str,
) -> std::result::Result<String, String> {
    let file = files.iter().find(|file| file.ends_with(end));
    let text = suite.read(file.ok_or_else(|| format!("there is no {end}"))?)?;
    Ok(match case.column("replace_vars") {
        "yes" => text.replace("/LIBXL_FIRMWARE_DIR", "/usr/lib/xen/boot"),
        _ => text,
    })
}

fn same(made: Result<String>, wanted: &str) -> Verdict {
    let made = made.map_err(|error| format!("error: {}\n", error.message()))?;
    compare::text(&format!("{}\n", wanted.trim_end_matches('\n')), made.trim_end_matches('\n'))
}

/// The corpus folds long lines with backslashes.
fn unfolded(text: &str) -> String {
    text.replace("\\\n", "")
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

fn both_ways(suite: &Suite, case: &Case, format: &str) -> Verdict {
    let host = if case.column("origin") == "1.3.1" { xend_host() } else { Host::default() };
    let files: Vec<String> = case.inputs.iter().chain(&case.expected).cloned().collect();
    let (cfg, xml) = (file(suite, case, &files, ".cfg")?, file(suite, case, &files, ".xml")?);
    // Of a tree of sources only the way to XML is known for every file.
    let modes = Some(case.column("modes")).filter(|modes| !modes.is_empty());
    let modes = modes.unwrap_or("cfg-to-xml");
    if modes.contains("xml-to-cfg") {
        same(host.to_native(format, &xml), &cfg)?;
    }
    if modes.contains("cfg-to-xml") {
        same(host.from_native(format, &cfg), &xml)?;
    }
    Ok(())
}

pub(super) fn xm(suite: &Suite, case: &Case) -> Vec<Check> {
    vec![both_ways(suite, case, "xen-xm").into()]
}

pub(super) fn xl(suite: &Suite, case: &Case) -> Vec<Check> {
    vec![both_ways(suite, case, "xen-xl").into()]
}

pub(super) fn sexpr_to_xml(suite: &Suite, case: &Case) -> Vec<Check> {
    let judge = || {
        let host = xend_host();
        let made = host.read("xen-sxpr", &unfolded(&suite.input(case, 0)?)).map(|mut domain| {
            // The corpus was recorded without a host, whose architecture nobody knew.
            (domain.os.kind.arch, domain.os.kind.machine) = (None, None);
            host.era.print(&domain, PrintFlags::default())
        });
        same(made, &file(suite, case, &case.expected, ".xml")?)
    };
    vec![judge().into()]
}

pub(super) fn xml_to_sexpr(suite: &Suite, case: &Case) -> Vec<Check> {
    let judge = || {
        let made = xend_host().to_native("xen-sxpr", &suite.input(case, 0)?);
        same(made, &unfolded(&file(suite, case, &case.expected, ".sexpr")?))
    };
    vec![judge().into()]
}

pub(super) fn capabilities(suite: &Suite, case: &Case) -> Vec<Check> {
    let judge = || {
        let offered = file(suite, case, &case.inputs, ".caps")?;
        let cpuinfo = file(suite, case, &case.inputs, ".cpuinfo")?;
        let arch = case.name.split('-').nth(1).unwrap_or_default();
        let made = Capabilities::read(arch, &offered, &cpuinfo).to_xml();
        same(Ok(made), &file(suite, case, &case.expected, ".xml")?)
    };
    vec![judge().into()]
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

pub(super) fn domain_config(suite: &Suite, case: &Case) -> Vec<Check> {
    let judge = || {
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let environment = Environment { shadow_kib: Some(1234), vnc_port: Some(5900) };
        let config = Domain::load(&suite.input(case, 0)?, flags, &Host::default().rules())
            .and_then(|domain| libxl::config(&domain, environment))
            .map_err(|error| format!("error: {}\n", error.message()))?;
        let wanted = file(suite, case, &case.expected, ".json")?;
        let wanted: Value = serde_json::from_str(&wanted).map_err(|error| error.to_string())?;
        let pretty = |value| format!("{:#}\n", without_empty(value));
        compare::text(&pretty(wanted), &pretty(config))
    };
    vec![judge().into()]
}
