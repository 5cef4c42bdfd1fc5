//! The shell itself: settings, the open connection, output, and running what was typed.

use std::fmt;
use std::io;

use virt_cli::{Ask, Format, Parsed, Session, Table};
pub(crate) use virt_cli::{LEVEL_DEBUG, LEVEL_INFO};
use virt_driver::Connection;
use virt_types::feature;

use crate::escape::Escape;
use crate::failure::{Done, During as _, Failure, fail};
use crate::report::Report;
use crate::{completion, hints, openers, placed, table};

/// What a command is: a function of the shell and the typed options.
pub(crate) type Run = virt_cli::Run<Shell>;

/// What the options before the command say.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The connection asked for; `None` leaves it to the host.
    pub(crate) uri: Option<String>,
    pub(crate) read_only: bool,
    pub(crate) escape: Escape,
    /// Seconds between keepalive messages and how many may be missed, where asked for.
    pub(crate) keepalive: (Option<i32>, Option<i32>),
    /// Answers are for programs, in this form.
    pub(crate) output: Option<Format>,
    pub(crate) session: Session,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uri: None,
            read_only: false,
            escape: Escape::default(),
            keepalive: (None, None),
            output: None,
            session: Session::new("virsh"),
        }
    }
}

pub(crate) struct Shell {
    pub(crate) settings: Settings,
    /// What the command that runs has found, where a program is to read it.
    pub(crate) report: Option<Report>,
    /// An answer for a program was written.
    told: bool,
    connection: Option<Connection>,
    /// The other side went away by itself, and nothing has been opened since.
    lost: bool,
}

impl virt_cli::Shell for Shell {
    fn table() -> &'static Table<Run> {
        &table::TABLE
    }

    fn session(&mut self) -> &mut Session {
        &mut self.settings.session
    }

    fn connect(&mut self) -> Done {
        self.connection().map(drop)
    }

    fn names(&mut self, ask: &Ask) -> Option<Vec<String>> {
        completion::objects(self, ask)
    }

    fn begin(&mut self, parsed: &Parsed<Run>) -> Done {
        self.report = Report::of(parsed, self.settings.output)?;
        Ok(())
    }

    fn explain(&mut self, outcome: &mut Done) -> Vec<String> {
        placed::explain(outcome)
    }

    fn end(&mut self, outcome: &Done) -> bool {
        let Some(report) = self.report.take() else { return false };
        self.tell(&report, outcome);
        true
    }
}

impl Shell {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, report: None, told: false, connection: None, lost: false }
    }

    /// Prints for a person to standard output.
    pub(crate) fn print(&mut self, text: fmt::Arguments<'_>) {
        if self.report.is_none() {
            self.settings.session.print(text);
        }
    }

    /// Prints what only a person wants to read.
    pub(crate) fn print_extra(&mut self, text: fmt::Arguments<'_>) {
        if self.report.is_none() {
            self.settings.session.print_extra(text);
        }
    }

    pub(crate) fn flush(&mut self) {
        self.settings.session.flush();
    }

    /// Writes bytes as they are.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        self.settings.session.write_bytes(bytes);
    }

    pub(crate) fn error(&mut self, line: &str) {
        self.settings.session.error(line);
    }

    pub(crate) fn note(&mut self, level: i32, text: fmt::Arguments<'_>) {
        self.settings.session.note(level, text);
    }

    pub(crate) fn report(&mut self, failure: &Failure) {
        self.settings.session.report(failure);
    }

    /// The connection, opened now if it is not.
    pub(crate) fn connection(&mut self) -> Result<Connection, Failure> {
        if let Some(open) = &self.connection {
            if open.is_alive() {
                return Ok(open.clone());
            }
            self.disconnected();
            return self.reopen().inspect(|_| self.error("Reconnected to the hypervisor"));
        }
        self.reopen()
    }

    fn reopen(&mut self) -> Result<Connection, Failure> {
        let (uri, read_only) = (self.settings.uri.clone(), self.settings.read_only);
        let opened = self.open(uri.as_deref(), read_only)?;
        self.connection = Some(opened.clone());
        self.lost = false;
        Ok(opened)
    }

    /// Says that the other side went away, once.
    pub(crate) fn disconnected(&mut self) {
        if let Some(gone) = self.connection.take() {
            self.lost = true;
            self.error(&format!("Disconnected from {} due to end of file", gone.uri()));
        }
    }

    fn open(&mut self, uri: Option<&str>, read_only: bool) -> Result<Connection, Failure> {
        let failed = match self.lost {
            true => "Failed to reconnect to the hypervisor",
            false => "failed to connect to the hypervisor",
        };
        let opened = openers::open(uri, read_only, self.settings.keepalive);
        let opened = opened.map_err(|error| hints::unreachable(uri, read_only, error));
        let opened = opened.during(|| failed)?;
        let wanted = self.settings.keepalive.0.is_some_and(|interval| interval > 0);
        if wanted && !opened.supports_feature(feature::PROGRAM_KEEPALIVE) {
            self.error("Cannot setup keepalive on connection as requested, disconnecting");
            let refusal = "this function is not supported by the connection driver: \
                           virConnectSetKeepAlive";
            return Err(Failure::new(refusal).during(failed));
        }
        if self.settings.keepalive.0.is_none()
            && !opened.supports_feature(feature::PROGRAM_KEEPALIVE)
        {
            self.note(LEVEL_INFO, format_args!("Failed to setup keepalive on connection"));
        }
        Ok(opened)
    }

    /// Leaves the connection for another; the old one is gone even if this fails.
    pub(crate) fn reconnect(&mut self, uri: Option<&str>, read_only: bool) -> Done {
        (self.connection, self.lost) = (None, false);
        let uri = uri.map(str::to_owned).or_else(|| self.settings.uri.clone());
        let opened = self.open(uri.as_deref(), read_only)?;
        self.settings.uri = uri;
        self.settings.read_only = read_only;
        self.connection = Some(opened);
        Ok(())
    }

    /// Writes an answer for programs; a failure that says nothing may have found something.
    fn tell(&mut self, report: &Report, outcome: &Done) {
        let told = outcome.as_ref().map_or_else(|failure| failure.lines.is_empty(), |()| true);
        if let Some(text) = report.text(!self.told).filter(|_| told) {
            self.told = true;
            self.write_bytes(text.as_bytes());
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
