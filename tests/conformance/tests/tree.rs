//! The `tests` folder of libvirt's sources counts as the corpora do, and without their tables too.

#![allow(clippy::print_stdout, reason = "counts are what these tests report")]

use std::path::{Path, PathBuf};

use conformance::{Corpus, layout, run};
use test_support::{Scratch, or_skip};

fn shared() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    conformance::corpus::shared_folder(here.ancestors().nth(2).unwrap_or(here))
}

/// Puts the files below a folder of a corpus where libvirt has them.
fn lay_out(root: &Path, suite: &str, folder: &Path, below: &str) {
    for entry in std::fs::read_dir(folder.join(below)).expect("a folder of the corpus") {
        let entry = entry.expect("an entry");
        let file = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a type").is_dir() {
            lay_out(root, suite, folder, &format!("{file}/"));
        } else if let Some(home) = layout::home(suite, &file) {
            let home = root.join(home);
            std::fs::create_dir_all(home.parent().expect("a folder")).expect("the folder is ours");
            std::fs::copy(entry.path(), home).expect("the folder is ours");
        }
    }
}

/// A tree of what the corpora hold.
fn tree() -> Result<Scratch, String> {
    let (shared, tree) = (shared(), Scratch::new("libvirt-tests"));
    for name in Corpus::open(&shared, None)?.suites() {
        lay_out(tree.path(), &name, &shared.join(&name), "");
    }
    lay_out(tree.path(), "", &shared.join("fixtures"), "");
    Ok(tree)
}

#[test]
fn a_tree_of_libvirts_counts_as_the_corpora_do() {
    let tree = or_skip!(tree());
    let corpora = or_skip!(Corpus::open(&shared(), None));
    let tree = Corpus::open(tree.path(), Some(shared())).expect("it is a tree of libvirt's");
    let suites = tree.suites();
    assert!(suites.len() > 25, "{suites:?}");
    for name in &suites {
        let wanted = corpora.suite(name).expect("a suite");
        let cases: Vec<String> = wanted.cases.iter().map(|case| case.name.clone()).collect();
        let wanted = run(&wanted, "");
        let mut found = tree.suite(name).expect("a suite");
        // A file that one case only needs may look like a case of its own.
        found.cases.retain(|case| cases.contains(&case.name));
        assert_eq!(run(&found, "").to_string(), wanted.to_string());
    }
}

/// Suites whose cases can all be read without a table.
const GUESSED: &[(&str, usize)] = &[
    ("backup-xml2xml", 7),
    ("checkpoint-xml2xml", 4),
    ("generic-xml2xml", 15),
    ("interface-xml2xml", 9),
    ("network-xml2xml", 30),
    ("networkport-xml2xml", 7),
    ("nodedev-xml2xml", 32),
    ("nwfilter-xml2xml", 13),
    ("nwfilterbinding-xml2xml", 1),
    ("secret-xml2xml", 4),
    ("snapshot-xml2xml", 5),
    ("storagepool-xml2xml", 29),
    ("storagevol-xml2xml", 16),
    ("virconf", 2),
    ("xen-domconfig", 11),
    ("xen-sexpr2xml", 32),
    ("xen-xl", 30),
    ("xen-xml2sexpr", 31),
];

#[test]
fn a_tree_of_libvirts_needs_no_tables() {
    let tree = or_skip!(tree());
    let corpus = Corpus::open(tree.path(), None).expect("it is a tree of libvirt's");
    for (name, least) in GUESSED {
        let report = run(&corpus.suite(name).expect("a suite"), "");
        let (passed, total) = report.total();
        print!("{report}");
        for failure in &report.failures {
            println!("--- {}\n{}", report.name_of(failure), failure.difference);
        }
        assert!(passed == total && total >= *least, "{name}: {passed} of {total}");
    }
}
