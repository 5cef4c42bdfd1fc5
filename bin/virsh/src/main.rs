//! The shell: libvirt's commands, output and exit codes.
//!
//! `main` reads the options before the command and picks one of three ways: a command in words, a
//! line of commands in one word, or the interactive shell. What a command does is one function in
//! `commands`; what it is called and takes is one entry in `table`.

mod address;
mod clock;
mod commands;
mod completion;
mod console;
mod credentials;
mod document;
mod escape;
mod failure;
mod files;
mod globals;
mod hints;
mod host;
mod interactive;
mod interrupt;
mod json;
mod keys;
mod lookup;
#[cfg(test)]
mod manual;
mod openers;
mod options;
mod placed;
mod progress;
mod rate;
mod report;
mod shell;
mod table;
mod tree;
mod units;
mod xml;
mod xpath;

use std::process::ExitCode;

use virt_cli::Shell as _;

use globals::Start;
use shell::Shell;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (settings, rest) = match globals::read(&words) {
        Start::Run(settings, rest) => (settings, rest),
        Start::Done(succeeded) => return exit_code(succeeded),
    };
    let mut shell = Shell::new(settings);
    if rest.is_empty() {
        return exit_code(virt_cli::converse(shell));
    }
    exit_code(shell.run_once(&rest))
}

fn exit_code(succeeded: bool) -> ExitCode {
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
