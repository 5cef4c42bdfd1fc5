//! What a shell prints to, and how its run goes.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Stdout, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::failure::Failure;
use crate::global::Typed;
use crate::grid::{Charset, Grid};
use crate::hints::hints_wanted;

/// Levels of messages; smaller ones are for those who look for a mistake.
pub const LEVEL_DEBUG: i32 = 0;
pub const LEVEL_INFO: i32 = 1;
pub const LEVEL_ERROR: i32 = 4;

/// One run of a shell.
#[derive(Debug)]
pub struct Session {
    /// The shell's name, in its log and in its prompt.
    pub program: &'static str,
    /// Only results are printed.
    pub quiet: bool,
    /// How long each command took is printed.
    pub timing: bool,
    /// Messages of at least this level are shown: 0 everything, 4 errors only.
    pub debug: i32,
    /// The connection was named on the command line: it is opened even if no command needs it.
    pub connects_first: bool,
    /// A person reads along.
    pub interactive: bool,
    /// The person wants to leave.
    pub quitting: bool,
    log: Option<File>,
    out: BufWriter<Stdout>,
}

impl Session {
    pub fn new(program: &'static str) -> Self {
        Self {
            program,
            quiet: false,
            timing: false,
            debug: LEVEL_ERROR,
            connects_first: false,
            interactive: false,
            quitting: false,
            log: None,
            out: BufWriter::new(io::stdout()),
        }
    }

    /// Obeys the option that names a level of messages.
    pub fn set_debug(&mut self, option: &Typed) -> Result<(), String> {
        let value = option.value.as_deref().unwrap_or_default();
        let level: i32 = value
            .parse()
            .map_err(|_| format!("option {} takes a numeric argument", option.spelling))?;
        if (LEVEL_DEBUG..=LEVEL_ERROR).contains(&level) {
            self.debug = level;
        } else {
            complain(format_args!("error: ignoring debug level {level} out of range [0-4]"));
        }
        Ok(())
    }

    /// Keeps errors in a file too.
    pub fn set_log(&mut self, path: &str) -> Result<(), String> {
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let log = log.map_err(|_| "failed to open the log file. check the log file path")?;
        self.log = Some(log);
        Ok(())
    }

    /// Prints to standard output. Compat: a reader that went away is not an error.
    pub fn print(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text);
    }

    /// Prints what only a person wants to read.
    pub fn print_extra(&mut self, text: fmt::Arguments<'_>) {
        if !self.quiet {
            self.print(text);
        }
    }

    pub fn print_grid(&mut self, grid: &Grid) {
        let text = grid.text(!self.quiet);
        self.print(format_args!("{text}"));
    }

    /// A table in the character set of the environment's locale.
    pub fn grid(&self, header: &[&str]) -> Grid {
        Grid::new(charset(), header)
    }

    pub fn flush(&mut self) {
        let _ = self.out.flush();
    }

    /// Writes bytes as they are.
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        let _ = self.out.write_all(bytes);
    }

    pub fn error(&mut self, line: &str) {
        self.flush();
        complain(format_args!("error: {line}"));
        let program = self.program;
        if let Some(log) = &mut self.log {
            let pid = std::process::id();
            let when = jiff::Zoned::now().strftime("%Y.%m.%d %H:%M:%S");
            let _ = writeln!(log, "[{when} {program} {pid}] ERROR {line}");
        }
    }

    /// Prints a note for those who look for a mistake.
    pub fn note(&mut self, level: i32, text: fmt::Arguments<'_>) {
        if level >= self.debug {
            self.flush();
            complain(text);
        }
    }

    pub fn report(&mut self, failure: &Failure) {
        for line in &failure.lines {
            self.error(line);
        }
        if let Some(hint) = failure.hint.as_deref().filter(|_| hints_wanted()) {
            for line in hint.lines() {
                complain(format_args!("hint: {line}"));
            }
        }
    }
}

/// Writes a line to standard error. Compat: a reader that went away is not an error.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The character set of the environment's locale.
pub fn charset() -> Charset {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    named.map_or(Charset::Ascii, |name| Charset::of_locale(&name))
}
