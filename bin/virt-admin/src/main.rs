//! The administrator's shell: libvirt's commands, output and exit codes.
//!
//! It speaks the administration program over a daemon's own socket ([`admin`]). What a command does
//! is one function in [`commands`]; what it is called and takes is one entry in [`table`].

mod admin;
mod commands;
mod globals;
mod shell;
mod table;

use std::process::ExitCode;

use virt_cli::Shell as _;

use globals::Start;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let succeeded = match globals::read(&words) {
        Start::Run(shell, rest) if rest.is_empty() => virt_cli::converse(*shell),
        Start::Run(mut shell, rest) => shell.run_once(&rest),
        Start::Done(succeeded) => succeeded,
    };
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
