//! vdiskadm: virtual disks in folders of their own, with snapshots and clones.
//!
//! A vdisk is a folder with a document and images; see `vdisk.rs`. Everything that changes one goes
//! through `journal.rs` (files of one vdisk) or `staging.rs` (whole folders), so that a command
//! that is killed has happened or has not.

mod commands;
mod document;
mod failure;
mod files;
mod holders;
mod journal;
mod lock;
mod moved;
mod nbd;
mod progress;
mod staging;
mod usage;
mod users;
mod vdisk;
mod words;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use failure::{Failure, Result};
use words::Words;

/// Compat: whatever went wrong, scripts see this code.
const FAILED: u8 = 255;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let done = match words.first().map(String::as_str) {
        Some("-u") => as_user(words.get(1).map(String::as_str), words.get(2..).unwrap_or_default()),
        Some(word) if word.starts_with("-u") => {
            as_user(word.get(2..), words.get(1..).unwrap_or_default())
        }
        _ => dispatch(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((failure, page)) => {
            let message = failure.to_string();
            if !message.is_empty() {
                complain(&format!("ERROR: {message}\n"));
            }
            if failure.shows_usage {
                complain(&page);
            }
            ExitCode::from(FAILED)
        }
    }
}

fn complain(text: &str) {
    // There is nobody to tell that nobody listens.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Prints a line.
fn out(line: &str) -> Result<()> {
    let done = std::io::stdout().write_all(format!("{line}\n").as_bytes());
    done.map_err(|error| Failure::new(format!("cannot write: {error}")))
}

/// Starts this program anew as another user, without any other groups.
fn as_user(user: Option<&str>, words: &[String]) -> std::result::Result<(), (Failure, String)> {
    let run = || {
        let user = user.ok_or_else(|| Failure::usage("option -u wants a user"))?;
        let (uid, gid) = users::find(user)?;
        let program = std::env::current_exe()
            .map_err(|error| Failure::new(format!("cannot find this program: {error}")))?;
        // Only comes back when it did not work. Groups go with a user that root gives up for.
        let error = Command::new(program).args(words).uid(uid).gid(gid).exec();
        Err(Failure::new(format!("cannot become '{user}': {error}")))
    };
    run().map_err(|failure| (failure, usage::overview()))
}

fn dispatch(words: &[String]) -> std::result::Result<(), (Failure, String)> {
    let with_overview = |failure| (failure, usage::overview());
    let Some((name, rest)) = words.split_first() else {
        return Err(with_overview(Failure::usage("no subcommand given")));
    };
    let command = usage::find(name)
        .ok_or_else(|| with_overview(Failure::usage(format!("unknown subcommand '{name}'"))))?;
    if name == "help" {
        return help(rest).map_err(with_overview);
    }
    let run = || (command.run)(&Words::parse(rest, command.letters, command.long)?);
    run().map_err(|failure| (failure, usage::page(command)))
}

fn help(words: &[String]) -> Result<()> {
    let text = match words {
        [] => usage::overview(),
        [name] => {
            let command = usage::find(name);
            let unknown = || Failure::usage(format!("unknown subcommand '{name}'"));
            usage::page(command.ok_or_else(unknown)?)
        }
        _ => return Err(Failure::usage("help takes one subcommand")),
    };
    out(text.trim_end_matches('\n'))
}
