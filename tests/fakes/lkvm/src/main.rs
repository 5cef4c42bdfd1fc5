//! A stand-in for `lkvm`: its options, files, threads, console and socket, with all their hazards.
//!
//! It runs no guest. Its console answers some words, as the tiny guest would. The file that
//! `FAKE_LKVM_FAULTS` names says what goes wrong; it is read anew every time. `FAKE_LKVM_SIGIGN` is
//! the mask of ignored signals it was started with, which a program in Rust cannot see any more.
#![allow(clippy::print_stdout)] // it is a program for terminals

mod console;
mod faults;
mod guest;
mod ipc;
mod list;
mod options;

use std::process::ExitCode;

/// As the tool itself exits: a failure in its own hands, and one in its caller's.
const FATAL: u8 = 128;
const USAGE: u8 = 129;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version" | "--version"] => {
            println!("{}", faults::text("version").unwrap_or_else(|| "kvm tool 3.18.0".into()));
            ExitCode::SUCCESS
        }
        ["list"] => list::print(),
        ["run", "--help"] => {
            eprint!("{}", options::usage());
            ExitCode::from(USAGE)
        }
        ["run", rest @ ..] => match options::read(rest) {
            Ok(options) => guest::run(options),
            Err(message) => {
                eprintln!("  Error: {message}");
                ExitCode::from(USAGE)
            }
        },
        _ => ExitCode::from(USAGE),
    }
}
