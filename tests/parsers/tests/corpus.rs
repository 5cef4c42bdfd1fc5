//! Feeds every input of `fuzz/corpus` to its target.

use std::fs;
use std::path::Path;

use parsers::TARGETS;

#[test]
fn every_kept_input_is_read_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, check) in TARGETS {
        let folder = corpus.join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut fed = 0;
        for entry in entries {
            let path = entry.expect("the folder is readable").path();
            let bytes = fs::read(&path).expect("the file is readable");
            eprintln!("{}", path.display());
            check(&bytes);
            fed += 1;
        }
        assert!(fed > 0, "{name}: no input is kept");
    }
}

#[test]
fn every_target_has_a_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/src/bin");
    for (name, _) in TARGETS {
        assert!(programs.join(format!("{name}.rs")).is_file(), "{name} cannot be fuzzed");
    }
}
