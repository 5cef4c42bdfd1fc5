//! `virt-xm`: for people who come from `xm`.
//!
//! What `xm` shows of a host and its domains is shown as it did. What it does to domains the shell
//! `virsh` does: the table in [`verbs`] says under which name, and a verb that takes the same words is
//! passed on to it.
#![allow(clippy::print_stdout)] // a tool for people: its output is its purpose

mod credit;
mod domains;
mod list;
mod options;
mod terminal;
mod top;
mod verbs;

use std::process::ExitCode;

use virt_error::Error;

use options::Options;

/// What went wrong: our own words, or a driver's.
pub(crate) enum Failure {
    Usage(String),
    Call(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let done = Options::read(words.collect()).and_then(|options| run(&options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("Error: {text}");
            ExitCode::FAILURE
        }
        Err(Failure::Call(error)) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    match options.verb.as_str() {
        "" | "help" | "--help" | "-h" => print!("{}", verbs::help()),
        "info" => info(options)?,
        "list" => list::run(options)?,
        "sched-credit" => credit::run(options)?,
        "log" => print!("{}", driver_xen::facts::log(&options.config)?),
        "top" => top::run(options)?,
        verb => return verbs::pass_on(verb, options),
    }
    Ok(())
}

/// Compat: names in 23 columns, as `xm` printed them.
fn info(options: &Options) -> Result<(), Failure> {
    for (name, value) in driver_xen::facts::host(&options.config)? {
        println!("{name:<23}: {value}");
    }
    Ok(())
}
