//! `docs/xen.md` says what is so.

use std::path::Path;

use driver_xen::{Host, Toolstack};

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/xen.md");
    std::fs::read_to_string(path).expect("the guide")
}

/// What stands in backquotes in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let source = include_str!("../src/config.rs");
    let mut keys: Vec<&str> = source
        .split("path(\"")
        .chain(source.split("text(\""))
        .filter_map(|rest| rest.split_once("\")").map(|(key, _)| key))
        .filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert!(keys.len() >= 9, "{keys:?}");
    let guide = guide();
    let rows: Vec<&str> = guide
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| quoted(line).next())
        .collect();
    for key in keys {
        assert!(rows.contains(&key), "{key} is not explained: {rows:?}");
    }
}

#[test]
fn examples_are_taken() {
    let guide = guide();
    let example = guide.split('`').find(|text| text.starts_with("disk = [")).expect("the disk");
    let text = format!("name = 'a'\nmemory = 64\nkernel = '/k'\n{example}\n");
    let host = Host { toolstack: Toolstack::Xend { config_format: 4 }, ..Host::default() };
    let xml = host.from_native("xen-xm", &text).expect("a document");
    let source = guide
        .split('`')
        .find(|text| text.starts_with("<driver name='npiv'"))
        .expect("its document");
    for part in source.split_inclusive('>') {
        let part = part.trim_end_matches("/>");
        assert!(xml.contains(part), "no {part} in {xml}");
    }
}

#[test]
fn what_is_left_to_xens_own_tools_is_named() {
    let guide = guide();
    let (_, rest) = guide.split_once("## What is left to Xen's own tools").expect("the part");
    for tool in
        ["xentrace -D", "xentrace_format", "vport_create", "xl pci-assignable-add", "xl dmesg"]
    {
        assert!(rest.contains(tool), "{tool}");
    }
}
