//! No suite may fall below what it once reached.

#![allow(clippy::print_stdout, reason = "counts and differences are what these tests report")]

use std::path::Path;

use conformance::suites::judge;
use conformance::{Corpus, known_faults, open_suites, run};
use test_support::or_skip;

/// Runs a suite; of each kind of check at most so many cases may fail.
fn at_most(suite: &str, floors: &[(Option<&str>, usize)]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkout = here.ancestors().nth(2).unwrap_or(here);
    let corpus = or_skip!(Corpus::shared(checkout));
    let suite = or_skip!(corpus.suite(suite));
    let report = run(&suite, "");
    let (_, total) = report.total();
    print!("{report}");
    assert!(total > 0, "nothing was compared");
    for (kind, most) in floors {
        let failed = report.failed(*kind);
        if failed > *most {
            for failure in report.failures.iter().filter(|f| f.kind == *kind && f.reason.is_none())
            {
                println!("--- {}\n{}", report.name_of(failure), failure.difference);
            }
            panic!("{failed} cases fail, {most} may");
        }
    }
}

/// Every case is right.
const ALL: &[(Option<&str>, usize)] = &[(None, 0)];

#[test]
fn backup_xml2xml() {
    at_most("backup-xml2xml", ALL);
}

#[test]
fn checkpoint_xml2xml() {
    at_most("checkpoint-xml2xml", ALL);
}

#[test]
fn cpu() {
    at_most("cpu", &[(Some("compare"), 0), (Some("baseline"), 0), (Some("hascpufeature"), 0)]);
}

#[test]
fn domain_capabilities() {
    at_most("domain-capabilities", &[(Some("document"), 0)]);
}

#[test]
fn domain_schema() {
    at_most("domain-schema", ALL);
}

#[test]
fn generic_xml2xml() {
    at_most("generic-xml2xml", ALL);
}

#[test]
fn hostcpu_sample() {
    at_most("hostcpu-sample", ALL);
}

#[test]
fn interface_xml2xml() {
    at_most("interface-xml2xml", ALL);
}

#[test]
fn json() {
    at_most("json", ALL);
}

#[test]
fn network_update() {
    at_most("network-update", ALL);
}

#[test]
fn network_xml2xml() {
    at_most("network-xml2xml", ALL);
}

#[test]
fn networkport_xml2xml() {
    at_most("networkport-xml2xml", ALL);
}

#[test]
fn nodedev_xml2xml() {
    at_most("nodedev-xml2xml", ALL);
}

#[test]
fn nwfilter_xml2xml() {
    at_most("nwfilter-xml2xml", ALL);
}

#[test]
fn nwfilterbinding_xml2xml() {
    at_most("nwfilterbinding-xml2xml", ALL);
}

#[test]
fn qemu_active_xml() {
    at_most("qemu-active-xml", ALL);
}

#[test]
fn qemu_firmware() {
    at_most("qemu-firmware", ALL);
}

#[test]
fn qemu_status() {
    at_most("qemu-status", &[(None, 1)]);
}

#[test]
fn qemu_xmlconf() {
    at_most("qemu-xmlconf", &[(Some("xml"), 0), (Some("argv"), 419)]);
}

#[test]
fn secret_xml2xml() {
    at_most("secret-xml2xml", ALL);
}

#[test]
fn snapshot_xml2xml() {
    at_most("snapshot-xml2xml", ALL);
}

#[test]
fn storage_backing_string() {
    at_most("storage-backing-string", ALL);
}

#[test]
fn storagepool_xml2xml() {
    at_most("storagepool-xml2xml", ALL);
}

#[test]
fn storagevol_xml2xml() {
    at_most("storagevol-xml2xml", ALL);
}

#[test]
fn virconf() {
    at_most("virconf", ALL);
}

#[test]
fn virsh_selftest() {
    at_most("virsh-selftest", ALL);
}

#[test]
fn xen_caps() {
    at_most("xen-caps", ALL);
}

#[test]
fn xen_domconfig() {
    at_most("xen-domconfig", ALL);
}

#[test]
fn xen_sexpr2xml() {
    at_most("xen-sexpr2xml", ALL);
}

#[test]
fn xen_xl() {
    at_most("xen-xl", ALL);
}

#[test]
fn xen_xm() {
    at_most("xen-xm", ALL);
}

#[test]
fn xen_xml2sexpr() {
    at_most("xen-xml2sexpr", ALL);
}

/// The list of libvirt's faults holds only cases that are there and that fail.
#[test]
fn what_is_listed_as_libvirts_fault_does_fail() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkout = here.ancestors().nth(2).unwrap_or(here);
    let corpus = or_skip!(Corpus::shared(checkout));
    for fault in known_faults() {
        assert!(!fault.reason.is_empty(), "{}/{} has no reason", fault.suite, fault.case);
        let suite = corpus.suite(fault.suite).expect("a suite that is there");
        if suite.cases.iter().any(|case| case.name == fault.case) {
            let report = run(&suite, fault.case);
            let fails = report.failures.iter().any(|failure| failure.case == fault.case);
            assert!(fails, "{}/{} is right", fault.suite, fault.case);
        }
    }
}

/// Every suite is judged or listed as open with what is lacking, never both; so is each kind of check.
#[test]
fn what_nothing_judges_is_listed_as_open() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkout = here.ancestors().nth(2).unwrap_or(here);
    let corpus = or_skip!(Corpus::shared(checkout));
    let open: Vec<(&str, &str)> = open_suites().collect();
    for (name, why) in &open {
        let (suite, kind) = name.split_once(':').map_or((*name, None), |(s, k)| (s, Some(k)));
        assert!(!why.is_empty(), "{name} has no reason");
        assert!(corpus.suites().iter().any(|known| known == suite), "there is no suite {suite}");
        assert!(kind.is_some() || judge(suite).is_none(), "{suite} is judged");
    }
    for suite in corpus.suites() {
        let listed = open.iter().any(|(name, _)| *name == suite);
        assert!(listed || judge(&suite).is_some(), "nothing judges {suite}, and it is not listed");
    }
    let cpu = run(&corpus.suite("cpu").expect("processors"), "");
    for failure in &cpu.failures {
        assert!(cpu.open(failure.kind).is_some(), "{} fails", cpu.name_of(failure));
    }
}
