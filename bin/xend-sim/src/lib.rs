//! A Xen host of xend's time without the machine, for training and for tests: the `xend-sim` program.
//!
//! It is written from what is known of the releases alone, and shares no code with the driver that it
//! is tested with: only so does their agreement prove something. `serve.rs` takes connections,
//! `http.rs` reads requests, `actions/` are xend's operations, `machine.rs` is the hypervisor and what
//! runs on it, `store/` is xenstored, `relocate.rs` is how guests come from other hosts.

mod actions;
mod config;
mod describe;
mod faults;
mod form;
mod guest;
mod http;
mod image;
mod machine;
mod managed;
mod options;
mod profile;
mod relocate;
mod rule;
mod serve;
mod store;
mod sxp;
mod xend;

use std::io::Write as _;
use std::process::ExitCode;

use options::Asked;

/// Does what the program's arguments ask for.
pub fn run(args: impl IntoIterator<Item = String>) -> ExitCode {
    let text = match options::parse(args) {
        Ok(Asked::Help) => options::HELP.to_owned(),
        Ok(Asked::Version) => format!("xend-sim {}\n", env!("CARGO_PKG_VERSION")),
        Ok(Asked::Run(settings)) => match serve::run(*settings) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(why) => return fail(&why, 1),
        },
        Err(why) => return fail(&why, 2),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(why: &str, code: u8) -> ExitCode {
    eprintln!("xend-sim: {why}");
    ExitCode::from(code)
}
