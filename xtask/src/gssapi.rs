//! The daemon and the shell once more, with Kerberos: beside the usual build, which has none.

use crate::{process, setup, workspace};

const ARGS: &[&str] =
    &["build", "-p", "virtd", "-p", "virsh", "--features", "virtd/gssapi,virsh/gssapi"];

/// Builds them where `tests/interop/tests/kerberos.rs` looks for them.
pub(crate) fn build() -> Result<(), String> {
    let mut command = process::cargo(&workspace::root(), ARGS);
    process::run(command.env("CARGO_TARGET_DIR", workspace::target().join("gssapi")))
}

/// Whether there is what such a build and its tests need; what is missing is installed if it can be.
pub(crate) fn is_there() -> bool {
    match setup::for_gssapi() {
        Ok(()) => true,
        Err(message) => {
            println!("no Kerberos here: {message}");
            false
        }
    }
}
