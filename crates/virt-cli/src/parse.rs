//! The grammar: words in, commands with their typed options out. Touches nothing else.
//!
//! A whole line is parsed before its first command runs, and the first mistake ends it.

use crate::args::Args;
use crate::facts::Facts;
use crate::output::Format;
use crate::table::{Command, Kind, Opt, Table};
use crate::words::{QuotedWords, SplitWords, Token, Words};

/// A command as it was typed.
#[derive(Debug)]
pub struct Parsed<H: 'static> {
    pub command: &'static Command<H>,
    pub args: Args,
    /// `--help` was among the options: its page is wanted, nothing is to run.
    pub help: bool,
    /// The facts it prints are wanted in this form.
    pub output: Option<Format>,
}

/// Why a line was not understood, and the word that the table does not have.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    pub message: String,
    pub unknown: Option<Unknown>,
}

/// A word that the table does not have.
#[derive(Debug, PartialEq, Eq)]
pub enum Unknown {
    Command(String),
    /// The command is one, the option is none of its own.
    Option(&'static str, String),
}

impl<T: Into<String>> From<T> for Mistake {
    fn from(message: T) -> Self {
        Self { message: message.into(), unknown: None }
    }
}

/// Reads a line of commands separated by `;` or line ends.
pub fn parse_line<H>(table: &Table<H>, line: &str) -> Result<Vec<Parsed<H>>, Mistake> {
    parse_all(table, &mut QuotedWords::new(line))
}

/// Reads one command whose words were split by the calling shell.
pub fn parse_words<H>(table: &Table<H>, words: &[String]) -> Result<Vec<Parsed<H>>, Mistake> {
    parse_all(table, &mut SplitWords(words.iter()))
}

fn parse_all<H>(table: &Table<H>, words: &mut dyn Words) -> Result<Vec<Parsed<H>>, Mistake> {
    let mut found = Vec::new();
    loop {
        match words.next_token()? {
            Token::End => return Ok(found),
            Token::EndOfCommand => {}
            // Compat: a command that begins with '#' is skipped, even where quotes hid the '#'.
            Token::Word(name) if name.starts_with('#') => {
                while let Token::Word(_) = words.next_token()? {}
            }
            Token::Word(name) => {
                let Some(command) = table.find(&name) else {
                    let message = format!("unknown command: '{name}'");
                    return Err(Mistake { message, unknown: Some(Unknown::Command(name)) });
                };
                let mut line = Line::new(command.name, command.options, table.facts);
                let more = line.read(words)?;
                line.check_required()?;
                let Line { args, help, output, .. } = line;
                found.push(Parsed { command, args, help, output });
                if !more {
                    return Ok(found);
                }
            }
        }
    }
}

/// The options of one command while they are read.
pub(crate) struct Line {
    pub(crate) args: Args,
    pub(crate) help: bool,
    output: Option<Format>,
    /// What facts commands print.
    facts: &'static str,
    /// After `--`, nothing is an option's name any more.
    only_data: bool,
}

impl Line {
    pub(crate) fn new(command: &'static str, options: &'static [Opt], facts: &'static str) -> Self {
        let args = Args::new(command, options);
        Self { args, help: false, output: None, facts, only_data: false }
    }

    /// Reads to the end of the command; says whether another may follow.
    fn read(&mut self, words: &mut dyn Words) -> Result<bool, Mistake> {
        loop {
            match words.next_token()? {
                Token::End => return Ok(false),
                Token::EndOfCommand => return Ok(true),
                Token::Word(word) => self.take(word, words)?,
            }
        }
    }

    /// Takes one word, and the next one too where it is an option's value.
    pub(crate) fn take(&mut self, word: String, words: &mut dyn Words) -> Result<(), Mistake> {
        if self.only_data {
            return Ok(self.take_data(word)?);
        }
        match word.strip_prefix("--") {
            Some("") => {
                self.only_data = true;
                Ok(())
            }
            Some(option) => match option.split_once('=') {
                Some((name, value)) => self.take_option(name, Some(value), words),
                None => self.take_option(option, None, words),
            },
            None => Ok(self.take_data(word)?),
        }
    }

    fn take_data(&mut self, word: String) -> Result<(), String> {
        let at = self.args.next_positional().ok_or_else(|| format!("unexpected data '{word}'"))?;
        self.args.push(at, word);
        Ok(())
    }

    fn take_option(
        &mut self,
        typed: &str,
        value: Option<&str>,
        words: &mut dyn Words,
    ) -> Result<(), Mistake> {
        if typed == "help" {
            self.help = true;
            return Ok(());
        }
        let Some((at, preset)) = self.args.lookup(typed) else {
            return self.take_common(typed, value, words);
        };
        let option = self.args.option(at);
        // An option that stands for a value of another keeps its own name.
        let named = if preset.is_some() { typed } else { option.name };
        let misplaced = || format!("invalid '=' after option --{named}");
        if value.is_some() && preset.is_some() {
            return Err(misplaced().into());
        }
        if option.kind != Kind::Argv && self.args.has(at) {
            return Err(format!("option --{} already seen", option.name).into());
        }
        if value.is_some() && !option.takes_value() {
            return Err(misplaced().into());
        }
        let value = match (preset.or(value), option.takes_value()) {
            (Some(value), _) => value.to_owned(),
            (None, false) => String::new(),
            (None, true) => next_value(words, option.name, option.placeholder())?,
        };
        self.args.push(at, value);
        Ok(())
    }

    /// An option that is none of the command's own: the form of its facts, where it prints any.
    fn take_common(
        &mut self,
        typed: &str,
        value: Option<&str>,
        words: &mut dyn Words,
    ) -> Result<(), Mistake> {
        if typed != "output" || Facts::find(self.facts, self.args.command()).is_none() {
            let command = self.args.command();
            let message = unsupported(command, typed);
            return Err(Mistake { message, unknown: Some(Unknown::Option(command, typed.into())) });
        }
        if self.output.is_some() {
            return Err("option --output already seen".into());
        }
        let word = match value {
            Some(value) => value.to_owned(),
            None => next_value(words, typed, "string")?,
        };
        self.output = Some(Format::parse(&word)?);
        Ok(())
    }

    fn check_required(&self) -> Result<(), String> {
        if self.help {
            return Ok(());
        }
        match self.args.first_missing() {
            None => Ok(()),
            Some(option) => {
                let (command, name) = (self.args.command(), option.name);
                Err(match option.positional {
                    true => format!("command '{command}' requires <{name}> option"),
                    false => format!("command '{command}' requires --{name} option"),
                })
            }
        }
    }
}

/// The message for an option that a command does not have.
pub fn unsupported(command: &str, option: &str) -> String {
    format!("command '{command}' doesn't support option --{option}")
}

fn next_value(words: &mut dyn Words, name: &str, kind: &str) -> Result<String, String> {
    match words.next_token()? {
        Token::Word(word) => Ok(word),
        Token::End | Token::EndOfCommand => Err(format!("expected syntax: --{name} <{kind}>")),
    }
}

#[cfg(test)]
mod tests {
    use crate::table::{Command, Group, Opt, Table};

    const OPTIONS: &[Opt] = &[
        Opt::string("domain", "").needed(),
        Opt::number("count", "").needed(),
        Opt::string("mac", "").unwanted(),
        Opt::flag("live", ""),
        Opt::string("mode", ""),
        Opt::alias("shared", "mode=shared"),
        Opt::alias("cnt", "count"),
    ];
    const ECHO: &[Opt] =
        &[Opt::flag("shell", ""), Opt::argv("string", "").at(), Opt::alias("hi", "string=hello")];
    static TABLE: Table<()> = Table {
        groups: &[Group {
            title: "Tests",
            keyword: "test",
            commands: &[&[
                Command::new("set", (), "", "", OPTIONS),
                Command::new("echo", (), "", "", ECHO),
                Command::new("old", (), "", "", &[]).hidden().alias_of("echo"),
            ]],
        }],
        facts: "set record\n  a any\n",
    };

    /// The options of every command, as `name=value` words, or the error.
    fn read(line: &str) -> String {
        match super::parse_line(&TABLE, line) {
            Err(mistake) => format!("! {}", mistake.message),
            Ok(found) => found
                .iter()
                .map(|parsed| {
                    let help = if parsed.help { " help" } else { "" };
                    let output = parsed.output.map(|format| format!(" as {format:?}"));
                    let output = output.unwrap_or_default();
                    format!("{}{}{help}{output}", parsed.command.name, parsed.args.describe())
                })
                .collect::<Vec<_>>()
                .join(" ; "),
        }
    }

    #[test]
    fn every_way_to_give_an_option() {
        for line in [
            "set d 2",
            "set --domain d 2",
            "set --domain=d 2",
            "set d --count 2",
            "set d --count=2",
            "set --domain d --count 2",
            "set --domain=d --count=2",
            "set -- d 2",
        ] {
            assert_eq!(read(line), "set domain=d count=2", "{line}");
        }
        for line in ["set --count 2 d", "set --count=2 --domain d", "set --cnt 2 d"] {
            assert_eq!(read(line), "set count=2 domain=d", "{line}");
        }
        assert_eq!(read("set d 2 m --live"), "set domain=d count=2 mac=m live=");
        assert_eq!(read("set d 2 --shared"), "set domain=d count=2 mode=shared");
        assert_eq!(
            read("echo a --hi --string b c"),
            "echo string=a string=hello string=b string=c"
        );
        assert_eq!(read("echo a -- --shell --"), "echo string=a string=--shell string=--");
        assert_eq!(read("old - -x"), "echo string=- string=-x");
        assert_eq!(read("set --help; echo"), "set help ; echo");
        assert_eq!(read("set d --output json 2"), "set domain=d count=2 as Json");
        assert_eq!(read("set d 2 --output=name"), "set domain=d count=2 as Name");

        assert_eq!(read("'#b' c;; echo"), "echo");
    }

    #[test]
    fn what_the_table_does_not_have_is_told_apart() {
        use super::Unknown::{Command, Option};
        for (line, want) in [
            ("lst", Some(Command("lst".to_owned()))),
            ("set d --cuont 2", Some(Option("set", "cuont".to_owned()))),
            ("set d 2 m x", None),
        ] {
            assert_eq!(super::parse_line(&TABLE, line).unwrap_err().unknown, want, "{line}");
        }
    }

    #[test]
    fn mistakes_are_named_as_the_reference_names_them() {
        for (line, want) in [
            ("nosuch; echo \"", "unknown command: 'nosuch'"),
            ("echo; \"--shell\"", "unknown command: '--shell'"),
            ("set", "command 'set' requires <domain> option"),
            ("set d", "command 'set' requires <count> option"),
            ("set d 2 m x", "unexpected data 'x'"),
            ("set --dom d 2", "command 'set' doesn't support option --dom"),
            ("set d --=x", "command 'set' doesn't support option --"),
            ("set d --domain d 2", "option --domain already seen"),
            ("set d 2 --shared --mode x", "option --mode already seen"),
            ("set d 2 --shared=x", "invalid '=' after option --shared"),
            ("set d 2 --live=yes", "invalid '=' after option --live"),
            ("set --domain", "expected syntax: --domain <string>"),
            ("set --count;", "expected syntax: --count <number>"),
            ("echo --string", "expected syntax: --string <string>"),
            ("echo \"abc", "missing \""),
            ("echo a \\", "dangling \\"),
            ("echo --output json", "command 'echo' doesn't support option --output"),
            ("set d 2 --output", "expected syntax: --output <string>"),
            ("set d 2 --output=name --output name", "option --output already seen"),
            (
                "set d 2 --output xml",
                "unknown output format 'xml': expected one of json, yaml, table, name",
            ),
            ("set --help --nosuch", "command 'set' doesn't support option --nosuch"),
        ] {
            assert_eq!(read(line), format!("! {want}"), "{line}");
        }
    }
}
