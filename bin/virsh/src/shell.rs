//! The shell itself: settings, the open connection, output, and running what was typed.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write as _};
use std::time::Instant;

use virt_cli::{Args, Charset, Format, Parsed, command_help};
use virt_driver::Connection;
use virt_types::feature;

use crate::escape::Escape;
use crate::failure::{Done, During as _, Failure, fail};
use crate::report::Report;
use crate::{clock, openers, table};

/// What a command is: a function of the shell and the typed options.
pub(crate) type Run = fn(&mut Shell, &Args) -> Done;

/// What the options before the command say.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The connection asked for; `None` leaves it to the host.
    pub(crate) uri: Option<String>,
    /// It was asked for on the command line, not only by the environment.
    pub(crate) uri_given: bool,
    pub(crate) read_only: bool,
    pub(crate) quiet: bool,
    pub(crate) timing: bool,
    /// Messages of at least this level are shown: 0 everything, 4 errors only.
    pub(crate) debug: i32,
    pub(crate) escape: Escape,
    /// Seconds between keepalive messages and how many may be missed, where asked for.
    pub(crate) keepalive: (Option<i32>, Option<i32>),
    pub(crate) log: Option<File>,
    /// Answers are for programs, in this form.
    pub(crate) output: Option<Format>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uri: None,
            uri_given: false,
            read_only: false,
            quiet: false,
            timing: false,
            debug: LEVEL_ERROR,
            escape: Escape::default(),
            keepalive: (None, None),
            log: None,
            output: None,
        }
    }
}

/// Levels of messages; smaller ones are for those who look for a mistake.
pub(crate) const LEVEL_DEBUG: i32 = 0;
pub(crate) const LEVEL_INFO: i32 = 1;
pub(crate) const LEVEL_ERROR: i32 = 4;

pub(crate) struct Shell {
    pub(crate) settings: Settings,
    pub(crate) interactive: bool,
    pub(crate) quitting: bool,
    /// What the command that runs has found, where a program is to read it.
    pub(crate) report: Option<Report>,
    /// An answer for a program was written.
    told: bool,
    connection: Option<Connection>,
    out: BufWriter<Stdout>,
}

impl Shell {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            interactive: false,
            quitting: false,
            report: None,
            told: false,
            connection: None,
            out: BufWriter::new(io::stdout()),
        }
    }

    /// Prints for a person to standard output. Compat: a reader that went away is not an error.
    pub(crate) fn print(&mut self, text: fmt::Arguments<'_>) {
        if self.report.is_none() {
            let _ = self.out.write_fmt(text);
        }
    }

    /// Prints what only a person wants to read.
    pub(crate) fn print_extra(&mut self, text: fmt::Arguments<'_>) {
        if !self.settings.quiet {
            self.print(text);
        }
    }

    pub(crate) fn flush(&mut self) {
        let _ = self.out.flush();
    }

    /// Writes bytes as they are, at once.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        let _ = self.out.write_all(bytes);
    }

    pub(crate) fn error(&mut self, line: &str) {
        self.flush();
        complain(format_args!("error: {line}"));
        if let Some(log) = &mut self.settings.log {
            let (pid, when) = (std::process::id(), clock::log_stamp());
            let _ = writeln!(log, "[{when} virsh {pid}] ERROR {line}");
        }
    }

    /// Prints a note for those who look for a mistake.
    pub(crate) fn note(&mut self, level: i32, text: fmt::Arguments<'_>) {
        if level >= self.settings.debug {
            self.flush();
            complain(text);
        }
    }

    pub(crate) fn report(&mut self, failure: &Failure) {
        for line in &failure.lines {
            self.error(line);
        }
        if let Some(hint) = failure.hint.as_deref().filter(|_| hints_wanted()) {
            for line in hint.lines() {
                complain(format_args!("hint: {line}"));
            }
        }
    }

    /// The connection, opened now if it is not.
    pub(crate) fn connection(&mut self) -> Result<Connection, Failure> {
        if let Some(open) = &self.connection {
            return Ok(open.clone());
        }
        let (uri, read_only) = (self.settings.uri.clone(), self.settings.read_only);
        let opened = self.open(uri.as_deref(), read_only)?;
        self.connection = Some(opened.clone());
        Ok(opened)
    }

    fn open(&mut self, uri: Option<&str>, read_only: bool) -> Result<Connection, Failure> {
        const FAILED: &str = "failed to connect to the hypervisor";
        let opened = openers::open(uri, read_only, self.settings.keepalive).during(|| FAILED)?;
        let wanted = self.settings.keepalive.0.is_some_and(|interval| interval > 0);
        if wanted && !opened.supports_feature(feature::PROGRAM_KEEPALIVE) {
            self.error("Cannot setup keepalive on connection as requested, disconnecting");
            let refusal = "this function is not supported by the connection driver: \
                           virConnectSetKeepAlive";
            return Err(Failure::new(refusal).during(FAILED));
        }
        if !wanted && !opened.supports_feature(feature::PROGRAM_KEEPALIVE) {
            self.note(LEVEL_INFO, format_args!("Failed to setup keepalive on connection"));
        }
        Ok(opened)
    }

    /// Leaves the connection for another; the old one is gone even if this fails.
    pub(crate) fn reconnect(&mut self, uri: Option<&str>, read_only: bool) -> Done {
        self.connection = None;
        let uri = uri.map(str::to_owned).or_else(|| self.settings.uri.clone());
        let opened = self.open(uri.as_deref(), read_only)?;
        self.settings.uri = uri;
        self.settings.read_only = read_only;
        self.connection = Some(opened);
        Ok(())
    }

    /// Runs a line of commands; the outcome is the last one's.
    pub(crate) fn run_line(&mut self, line: &str) -> bool {
        self.note(LEVEL_INFO, format_args!("commands: \"{line}\""));
        self.run(virt_cli::parse_line(&table::TABLE, line))
    }

    /// Runs one command whose words are already apart.
    pub(crate) fn run_words(&mut self, words: &[String]) -> bool {
        self.run(virt_cli::parse_words(&table::TABLE, words))
    }

    fn run(&mut self, parsed: Result<Vec<Parsed<Run>>, String>) -> bool {
        let commands = match parsed {
            Ok(commands) => commands,
            Err(message) => {
                self.error(&message);
                return false;
            }
        };
        if self.settings.debug <= LEVEL_INFO {
            commands.iter().for_each(|command| self.note_options(&command.args));
        }
        // Compat: a connection that was asked for is opened even if no command needs it.
        if self.settings.uri_given
            && !self.interactive
            && let Err(failure) = self.connection()
        {
            self.report(&failure);
            return false;
        }
        let mut succeeded = true;
        for command in &commands {
            succeeded = self.run_one(command);
            if self.quitting {
                break;
            }
        }
        self.flush();
        succeeded
    }

    fn run_one(&mut self, parsed: &Parsed<Run>) -> bool {
        let started = Instant::now();
        let outcome = self.obey(parsed);
        if let Err(failure) = &outcome {
            self.report(failure);
        }
        if let Some(report) = self.report.take() {
            self.tell(&report, &outcome);
            return outcome.is_ok();
        }
        if self.quitting {
            return outcome.is_ok();
        }
        if self.settings.timing {
            let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
            self.print(format_args!("\n(Time: {milliseconds:.3} ms)\n\n"));
        } else {
            self.print_extra(format_args!("\n"));
        }
        outcome.is_ok()
    }

    /// Writes an answer for programs; a failure that says nothing may have found something.
    fn tell(&mut self, report: &Report, outcome: &Done) {
        let told = outcome.as_ref().map_or_else(|failure| failure.lines.is_empty(), |()| true);
        if let Some(text) = report.text(!self.told).filter(|_| told) {
            self.told = true;
            self.write_bytes(text.as_bytes());
        }
    }

    fn obey(&mut self, parsed: &Parsed<Run>) -> Done {
        if parsed.help {
            self.print(format_args!("{}", command_help(parsed.command)));
            return Ok(());
        }
        self.report = Report::of(parsed, self.settings.output)?;
        if !parsed.command.offline {
            self.connection()?;
        }
        (parsed.command.run)(self, &parsed.args)
    }

    fn note_options(&mut self, args: &Args) {
        let (command, mut words) = (args.command(), 0);
        for (option, value) in args.typed() {
            let name = option.name;
            match option.kind {
                virt_cli::Kind::Bool => {
                    self.note(LEVEL_INFO, format_args!("{command}: {name}(bool)"))
                }
                virt_cli::Kind::Argv => {
                    self.note(
                        LEVEL_INFO,
                        format_args!("{command}: {name}(argv: {words}): {value}"),
                    );
                    words += 1;
                }
                _ => self.note(LEVEL_INFO, format_args!("{command}: {name}(optdata): {value}")),
            }
        }
    }

    /// Refuses an interactive console where there is no terminal.
    pub(crate) fn need_terminal(&self) -> Done {
        match rustix::termios::isatty(io::stdin()) {
            true => Ok(()),
            false => fail("Cannot run interactive console without a controlling TTY"),
        }
    }
}

/// Writes a line to standard error. Compat: a reader that went away is not an error.
pub(crate) fn complain(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether a person reads along: scripts see libvirt's text and nothing else.
fn hints_wanted() -> bool {
    match std::env::var_os("VIRSH_HINTS") {
        Some(wish) => wish == "1",
        None => rustix::termios::isatty(io::stderr()),
    }
}

/// The character set of the environment's locale.
pub(crate) fn charset() -> Charset {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    named.map_or(Charset::Ascii, |name| Charset::of_locale(&name))
}

/// Prints without a line's end.
macro_rules! say {
    ($shell:expr, $($text:tt)*) => { $shell.print(format_args!($($text)*)) };
}

/// Prints a line.
macro_rules! sayln {
    ($shell:expr $(,)?) => { $shell.print(format_args!("\n")) };
    ($shell:expr, $text:literal $(, $arg:expr)* $(,)?) => {
        $shell.print(format_args!(concat!($text, "\n") $(, $arg)*))
    };
}

/// Prints a line that only a person wants to read.
macro_rules! extra {
    ($shell:expr, $text:literal $(, $arg:expr)* $(,)?) => {
        $shell.print_extra(format_args!(concat!($text, "\n") $(, $arg)*))
    };
}

pub(crate) use {extra, say, sayln};
