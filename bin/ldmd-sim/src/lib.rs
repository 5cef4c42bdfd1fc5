//! A Logical Domains manager without the machine, for training and for tests: the `ldmd-sim` program.
//!
//! It is written from the published interface alone, and shares no code with the driver that it
//! is tested with: only so does their agreement prove something.

mod actions;
mod base64;
mod bus;
mod certificate;
mod console;
mod fault;
mod furnish;
#[cfg(test)]
mod invariants;
mod journal;
mod legacy;
mod link;
mod manager;
mod message;
mod migration;
mod model;
mod options;
mod peer;
pub mod probe;
mod profile;
mod resources;
mod serve;
mod session;
mod size;
mod stanza;
mod store;
mod style;
mod tls;
mod users;

use std::io::Write as _;
use std::process::ExitCode;

use options::Asked;

/// Does what the program's arguments ask for.
pub fn run(args: impl IntoIterator<Item = String>) -> ExitCode {
    let asked = match options::parse(args) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("ldmd-sim: {why}");
            return ExitCode::from(2);
        }
    };
    let text = match asked {
        Asked::Help => options::help(),
        Asked::Version => format!("ldmd-sim {}\n", env!("CARGO_PKG_VERSION")),
        Asked::Run(settings) => {
            return match serve::run(*settings) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    eprintln!("ldmd-sim: {why}");
                    ExitCode::FAILURE
                }
            };
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
