//! `miri`: the unsafe code that Miri can run, under Miri.

use crate::{process, switches, workspace};

/// Hypercalls pass addresses as numbers, and the device that is none is opened.
const FLAGS: &str = "-Zmiri-permissive-provenance -Zmiri-disable-isolation";

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let [] = switches(args, [])?;
    if !is_there() {
        return Err("no Miri here; rustup +nightly component add miri rust-src".to_owned());
    }
    let words = ["+nightly", "miri", "test", "-p", "driver-xen", "--lib", "sys::"];
    let mut command = process::command("cargo", &words);
    command.current_dir(workspace::root()).env("MIRIFLAGS", FLAGS);
    process::run(command.env("CARGO_TARGET_DIR", workspace::target().join("miri")))
}

pub(crate) fn is_there() -> bool {
    process::succeeds(&mut process::command("cargo", &["+nightly", "miri", "--version"]))
}
