//! `conformance`: builds and runs the runner of `tests/conformance`.
//!
//! It is a program of its own, so that the other tasks need not wait until every driver is built.

use crate::{process, workspace};

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    // The folder of the caller stays: --data may be relative to it.
    let manifest = workspace::root().join("Cargo.toml");
    let manifest = manifest.to_string_lossy().into_owned();
    let mut words = vec!["run", "--quiet", "--manifest-path", &manifest, "-p", "conformance", "--"];
    words.extend(args.iter().map(String::as_str));
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    process::run(&mut process::cargo(&here, &words))
}
