//! Helpers of the tests and the demo: private daemons, shells on terminals, small guests.
//!
//! Everything started here is bounded in time, is ended by its own process id, and leaves no file
//! behind. This crate knows no other of the workspace: it drives programs from outside.
#![allow(clippy::print_stdout)] // tests report what they skipped on their output

mod checksum;
mod daemon;
mod guest;
mod inside;
mod lkvm;
mod nobody;
mod normalise;
mod programs;
mod pty;
mod scratch;
mod shell;
mod wait;

pub use checksum::crc32c;
pub use daemon::{Daemon, Reference, Virtd, free_port, guests_path, signal};
pub use rustix::process::Signal;

pub use guest::{
    Initramfs, counting_boot_sector, guest_folder, linux_domain, tiny_domain, tiny_guest,
    tiny_guest_in,
};
pub use inside::{KERNEL_MODULES, LinuxSystem, in_linux_guest, linux_with_agent};
pub use lkvm::{Lkvm, fake_kernel, lkvm_domain};
pub use nobody::as_nobody;
pub use normalise::Normaliser;
pub use programs::{
    debian_program, gssapi_program, our_program, python_with_modules, reference_program, shared,
    system_python, virt_manager,
};
pub use pty::Terminal;
pub use scratch::Scratch;
pub use shell::{Outcome, run, run_merged, run_with_input, virsh};
pub use wait::wait_until;

/// Whether the long forms of the tests were asked for (`cargo xtask test --long`).
pub fn long_run() -> bool {
    std::env::var_os("FERROVIRT_LONG").is_some()
}

/// Reports the running test as skipped; the caller returns. `cargo xtask test` counts these.
pub fn skipped(reason: impl std::fmt::Display) {
    println!("\nskipped: {reason}");
}

/// Unwraps an `Option` or a `Result`, or reports the test as skipped and returns from it.
#[macro_export]
macro_rules! or_skip {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(reason) => {
                $crate::skipped(reason);
                return;
            }
        }
    };
}
