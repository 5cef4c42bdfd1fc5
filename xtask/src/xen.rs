//! `xen`: a guest's life on a real Xen, of the release that is named.

use std::process::Command;

use crate::{process, workspace};

/// The release that every test run has.
pub(crate) const USUAL: &str = "4.17";

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let (mut release, mut long, mut only_prepare) = (USUAL, false, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--release" => release = args.next().ok_or("--release needs a value")?,
            "--long" => long = true,
            "--prepare" => only_prepare = true,
            other => return Err(format!("unknown argument '{other}'")),
        }
    }
    prepare(release)?;
    if only_prepare {
        return Ok(());
    }
    let root = workspace::root();
    let programs = ["build", "-p", "virtd", "-p", "virsh"];
    process::run(&mut process::cargo(&root, &programs))?;
    let mut command = process::cargo(&root, &["nextest", "run", "-p", "real-xen", "--no-capture"]);
    command.env("FERROVIRT_BIN_DIR", workspace::target().join("debug"));
    command.env("FERROVIRT_XEN", release);
    if long {
        command.env("FERROVIRT_LONG", "1");
    }
    process::run(&mut command)
}

/// Fetches and unpacks a release's packages, where that has not been done.
pub(crate) fn prepare(release: &str) -> Result<(), String> {
    let script = workspace::root().join("tests/xen/prepare");
    process::run(Command::new(script).arg(release))
}
