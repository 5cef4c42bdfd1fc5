//! No suite may fall below what it once reached.

#![allow(clippy::print_stdout, reason = "counts and differences are what these tests report")]

use std::path::Path;

use conformance::{Corpus, known_faults, run};
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

macro_rules! ratchets {
    ($($test:ident: $suite:literal $([$($kind:literal: $most:literal),*])?;)*) => { $(
        #[test]
        fn $test() {
            #[allow(unused_mut, unused_assignments)]
            let mut floors: Vec<(Option<&str>, usize)> = vec![(None, 0)];
            $( floors = vec![$((Some($kind), $most)),*]; )?
            at_most($suite, &floors);
        }
    )* };
}

ratchets! {
    backup_xml2xml: "backup-xml2xml";
    checkpoint_xml2xml: "checkpoint-xml2xml";
    cpu: "cpu" ["compare": 0, "baseline": 0];
    domain_capabilities: "domain-capabilities" ["document": 0];
    domain_schema: "domain-schema";
    generic_xml2xml: "generic-xml2xml";
    interface_xml2xml: "interface-xml2xml";
    json: "json";
    network_update: "network-update";
    network_xml2xml: "network-xml2xml";
    networkport_xml2xml: "networkport-xml2xml";
    nodedev_xml2xml: "nodedev-xml2xml";
    nwfilter_xml2xml: "nwfilter-xml2xml";
    nwfilterbinding_xml2xml: "nwfilterbinding-xml2xml";
    secret_xml2xml: "secret-xml2xml";
    snapshot_xml2xml: "snapshot-xml2xml";
    storage_backing_string: "storage-backing-string";
    storagepool_xml2xml: "storagepool-xml2xml";
    storagevol_xml2xml: "storagevol-xml2xml";
    virconf: "virconf";
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
