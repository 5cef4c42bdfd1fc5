//! Running what was typed: lines and words to commands, commands to their functions.

use std::time::Instant;

use crate::args::Args;
use crate::complete::Ask;
use crate::failure::{Done, Failure};
use crate::help::command_help;
use crate::hints::{hints_wanted, meant, no_such_object};
use crate::parse::{Mistake, Parsed, parse_line, parse_words};
use crate::session::{LEVEL_INFO, Session, complain};
use crate::table::{Kind, Table};

/// What a command is: a function of the shell and the typed options.
pub type Run<S> = fn(&mut S, &Args) -> Done;

/// A program that runs commands of a table.
pub trait Shell: Sized + 'static {
    fn table() -> &'static Table<Run<Self>>;

    fn session(&mut self) -> &mut Session;

    /// Opens the connection, if it is not open.
    fn connect(&mut self) -> Done;

    /// The values that are asked for and begin with what was typed; nothing where they cannot be had.
    fn names(&mut self, _ask: &Ask) -> Option<Vec<String>> {
        None
    }

    /// A command is about to run.
    fn begin(&mut self, _parsed: &Parsed<Run<Self>>) -> Done {
        Ok(())
    }

    /// A person reads along: what is told beside the outcome, whose own hint may be bettered.
    fn explain(&mut self, _outcome: &mut Done) -> Vec<String> {
        Vec::new()
    }

    /// A command has run. True when nothing more is to be said.
    fn end(&mut self, _outcome: &Done) -> bool {
        false
    }

    /// Runs what stands behind the program's own options: a line in one word, or a command.
    fn run_once(&mut self, words: &[String]) -> bool {
        match words {
            [line] if line.is_empty() => false,
            [line] => self.run_line(line),
            words => self.run(parse_words(Self::table(), words)),
        }
    }

    /// Runs a line of commands; the outcome is the last one's.
    fn run_line(&mut self, line: &str) -> bool {
        self.session().note(LEVEL_INFO, format_args!("commands: \"{line}\""));
        self.run(parse_line(Self::table(), line))
    }

    fn run(&mut self, parsed: Result<Vec<Parsed<Run<Self>>>, Mistake>) -> bool {
        let commands = match parsed {
            Ok(commands) => commands,
            Err(Mistake { message, unknown }) => {
                let hint = unknown.and_then(|unknown| meant(Self::table(), &unknown));
                self.session().report(&Failure { lines: vec![message], hint });
                return false;
            }
        };
        if self.session().debug <= LEVEL_INFO {
            commands.iter().for_each(|command| note_options(self.session(), &command.args));
        }
        // Compat: a connection that was asked for is opened even if no command needs it.
        if self.session().connects_first
            && !self.session().interactive
            && let Err(failure) = self.connect()
        {
            self.session().report(&failure);
            return false;
        }
        let mut succeeded = true;
        for command in &commands {
            succeeded = self.run_one(command);
            if self.session().quitting {
                break;
            }
        }
        self.session().flush();
        succeeded
    }

    fn run_one(&mut self, parsed: &Parsed<Run<Self>>) -> bool {
        let started = Instant::now();
        let mut outcome = self.obey(parsed);
        let told = if hints_wanted() { self.explain(&mut outcome) } else { Vec::new() };
        if let Err(failure) = &mut outcome {
            if failure.hint.is_none() && hints_wanted() {
                failure.hint = no_such_object(self, &parsed.args, &failure.lines);
            }
            self.session().report(failure);
        }
        if !told.is_empty() {
            self.session().flush();
            told.iter().for_each(|line| complain(format_args!("hint: {line}")));
        }
        let ended = self.end(&outcome);
        let session = self.session();
        if ended || session.quitting {
            return outcome.is_ok();
        }
        if session.timing {
            let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
            session.print(format_args!("\n(Time: {milliseconds:.3} ms)\n\n"));
        } else {
            session.print_extra(format_args!("\n"));
        }
        outcome.is_ok()
    }

    fn obey(&mut self, parsed: &Parsed<Run<Self>>) -> Done {
        if parsed.help {
            self.session().print(format_args!("{}", command_help(parsed.command)));
            return Ok(());
        }
        self.begin(parsed)?;
        if !parsed.command.offline {
            self.connect()?;
        }
        (parsed.command.run)(self, &parsed.args)
    }
}

fn note_options(session: &mut Session, args: &Args) {
    let (command, mut words) = (args.command(), 0);
    for (option, value) in args.typed() {
        let name = option.name;
        match option.kind {
            Kind::Bool => session.note(LEVEL_INFO, format_args!("{command}: {name}(bool)")),
            Kind::Argv => {
                session.note(LEVEL_INFO, format_args!("{command}: {name}(argv: {words}): {value}"));
                words += 1;
            }
            _ => session.note(LEVEL_INFO, format_args!("{command}: {name}(optdata): {value}")),
        }
    }
}
