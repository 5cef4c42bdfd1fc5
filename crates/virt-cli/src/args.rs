//! The options of one command as they were typed, and their values as the command wants them.

use std::fmt;
use std::str::FromStr;

use crate::table::{Kind, Opt};

/// Why a value is not what the command asked for: the lines to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    /// What the conversion itself said, shown on a line of its own.
    pub detail: Option<String>,
}

impl Problem {
    fn new(message: String) -> Self {
        Self { message, detail: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The typed options of one command.
///
/// Every accessor names an option of the command's own table; a name that is not there is a mistake
/// in the program and panics.
#[derive(Debug)]
pub struct Args {
    command: &'static str,
    options: &'static [Opt],
    /// Option and value, in the order typed.
    values: Vec<(usize, String)>,
}

impl Args {
    pub(crate) fn new(command: &'static str, options: &'static [Opt]) -> Self {
        Self { command, options, values: Vec::new() }
    }

    pub fn command(&self) -> &'static str {
        self.command
    }

    pub(crate) fn option(&self, at: usize) -> &'static Opt {
        &self.options[at]
    }

    pub(crate) fn push(&mut self, at: usize, value: String) {
        self.values.push((at, value));
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        self.values.iter().any(|(seen, _)| *seen == at)
    }

    /// The option that a typed name means, and the value that the name brings along.
    pub(crate) fn lookup(&self, typed: &str) -> Option<(usize, Option<&'static str>)> {
        let at = self.options.iter().position(|option| option.name == typed)?;
        let Kind::Alias(target) = self.options[at].kind else { return Some((at, None)) };
        let (name, preset) = match target.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (target, None),
        };
        Some((self.options.iter().position(|option| option.name == name)?, preset))
    }

    /// The option that takes the next word without a name.
    pub(crate) fn next_positional(&self) -> Option<usize> {
        let free = |wanted: fn(&Opt) -> bool| {
            self.options.iter().enumerate().position(|(at, option)| {
                wanted(option) && (option.kind == Kind::Argv || !self.has(at))
            })
        };
        free(|option| option.positional).or_else(|| free(|option| option.unwanted_positional))
    }

    pub(crate) fn first_missing(&self) -> Option<&'static Opt> {
        let found = self.options.iter().enumerate().find(|(at, o)| o.required && !self.has(*at));
        found.map(|(_, option)| option)
    }

    /// Options that may still be given: each once, those for several words any number of times.
    pub(crate) fn open_options(&self) -> impl Iterator<Item = &'static Opt> {
        self.options.iter().enumerate().filter_map(|(at, option)| {
            let alias = matches!(option.kind, Kind::Alias(_));
            (!alias && (option.kind == Kind::Argv || !self.has(at))).then_some(option)
        })
    }

    /// Each typed option and its value, in order: what debugging output shows.
    pub fn typed(&self) -> impl Iterator<Item = (&'static Opt, &str)> {
        self.values.iter().map(|(at, value)| (&self.options[*at], value.as_str()))
    }

    /// The option's text as typed, even if it is empty.
    pub fn raw_text(&self, name: &str) -> Option<&str> {
        let at = self.index(name);
        self.values.iter().find(|(seen, _)| *seen == at).map(|(_, value)| value.as_str())
    }

    fn index(&self, name: &str) -> usize {
        match self.options.iter().position(|option| option.name == name) {
            Some(at) => at,
            None => panic!("command '{}' has no option --{name}", self.command),
        }
    }

    /// Whether the option was given.
    pub fn flag(&self, name: &str) -> bool {
        self.raw_text(name).is_some()
    }

    /// Whether the command has such an option at all.
    pub fn knows(&self, name: &str) -> bool {
        self.options.iter().any(|option| option.name == name)
    }

    /// The option's text, if it was given. Empty text is refused unless the table allows it.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.raw_text(name) {
            Some("") if !self.options[self.index(name)].allow_empty => Err(Problem::new(format!(
                "Failed to get option '{name}': Option argument is empty"
            ))),
            value => Ok(value),
        }
    }

    /// The text of an option that the grammar has made sure of.
    pub fn needed(&self, name: &str) -> Result<&str, Problem> {
        Ok(self.text(name)?.unwrap_or_default())
    }

    /// All words given for an option.
    pub fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        let at = self.index(name);
        self.values.iter().filter(move |(seen, _)| *seen == at).map(|(_, value)| value.as_str())
    }

    /// The option's number, if it was given. The type decides the range.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.raw_text(name) else { return Ok(None) };
        // Compat: blanks before a number are taken, as the C library's conversion does.
        match text.trim_start_matches([' ', '\t', '\n']).parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.malformed("Numeric", name, text)),
        }
    }

    /// The same for a number that may be below nothing. Compat: it counts down from the largest.
    pub fn number_or_less(&self, name: &str) -> Result<Option<u64>, Problem> {
        match self.number::<i64>(name) {
            Ok(Some(negative @ ..0)) => Ok(Some(negative.cast_unsigned())),
            _ => self.number::<u64>(name),
        }
    }

    /// The option's number with an optional unit; a bare number counts in `unit` bytes.
    pub fn scaled(&self, name: &str, unit: u64, limit: u64) -> Result<Option<u64>, Problem> {
        let Some(text) = self.raw_text(name) else { return Ok(None) };
        match parse_scaled(text, unit, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(detail) => {
                let detail = (!detail.is_empty()).then_some(detail);
                Err(Problem { detail, ..self.malformed("Scaled numeric", name, text) })
            }
        }
    }

    /// The message for a number that was read but cannot be meant.
    pub fn malformed(&self, what: &str, name: &str, text: &str) -> Problem {
        Problem::new(format!(
            "{what} value '{text}' for <{name}> option is malformed or out of range"
        ))
    }

    /// Refuses two options that cannot stand together.
    pub fn exclusive(&self, one: &str, other: &str) -> Result<(), Problem> {
        match self.flag(one) && self.flag(other) {
            true => Err(exclusive(one, other)),
            false => Ok(()),
        }
    }

    /// Refuses `other` beside `one` where a condition of the command's own stands for `one`.
    pub fn exclusive_when(&self, one: (&str, bool), other: (&str, bool)) -> Result<(), Problem> {
        match one.1 && other.1 {
            true => Err(exclusive(one.0, other.0)),
            false => Ok(()),
        }
    }

    /// Refuses `name` unless one of `others` was given.
    pub fn requires(&self, name: &str, other: &str) -> Result<(), Problem> {
        match self.flag(name) && !self.flag(other) {
            true => Err(Problem::new(format!("Option --{other} is required by option --{name}"))),
            false => Ok(()),
        }
    }

    #[cfg(test)]
    pub(crate) fn describe(&self) -> String {
        self.typed().map(|(option, value)| format!(" {}={value}", option.name)).collect()
    }
}

fn exclusive(one: &str, other: &str) -> Problem {
    Problem::new(format!("Options --{one} and --{other} are mutually exclusive"))
}

/// Reads a size: a number, then nothing, `b`, `byte`, `bytes`, or `k m g t p e` alone (powers of
/// 1024), with `iB` (the same) or with `B` (powers of 1000); letters in either case.
///
/// The error is what a person should read besides "malformed"; empty when there is no more to say.
pub fn parse_scaled(text: &str, unit: u64, limit: u64) -> Result<u64, String> {
    let body = text.trim_start_matches([' ', '\t', '\n']);
    let body = body.strip_prefix('+').unwrap_or(body);
    let digits = body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = body.split_at(digits);
    let number: u64 = number.parse().map_err(|_| String::new())?;
    let scale = unit_of(suffix, unit)
        .ok_or_else(|| format!("invalid argument: unknown suffix '{suffix}'"))?;
    let bytes = number.checked_mul(scale).filter(|bytes| *bytes <= limit);
    bytes.ok_or_else(|| format!("numerical overflow: value too large: {number}{suffix}"))
}

fn unit_of(suffix: &str, default: u64) -> Option<u64> {
    let suffix = suffix.to_ascii_lowercase();
    match suffix.as_str() {
        "" => return Some(default),
        "b" | "byte" | "bytes" => return Some(1),
        _ => {}
    }
    let mut letters = suffix.chars();
    let power = "kmgtpe".find(letters.next()?)? + 1;
    let base: u64 = match letters.as_str() {
        "" | "ib" => 1024,
        "b" => 1000,
        _ => return None,
    };
    base.checked_pow(u32::try_from(power).ok()?)
}

#[cfg(test)]
mod tests {
    use super::parse_scaled;

    #[test]
    fn sizes_with_units() {
        for (text, want) in [
            ("5", 5120),
            (" +5", 5120),
            ("5b", 5),
            ("1bytes", 1),
            ("1k", 1024),
            ("1KiB", 1024),
            ("1KIB", 1024),
            ("1kb", 1000),
            ("2M", 2 << 20),
            ("1EiB", 1 << 60),
        ] {
            assert_eq!(parse_scaled(text, 1024, u64::MAX), Ok(want), "{text}");
        }
    }

    #[test]
    fn sizes_that_are_none() {
        for (text, want) in [
            ("", ""),
            ("abc", ""),
            ("-1", ""),
            ("18446744073709551616", ""),
            ("42WB", "invalid argument: unknown suffix 'WB'"),
            ("1.5G", "invalid argument: unknown suffix '.5G'"),
            ("1ki", "invalid argument: unknown suffix 'ki'"),
            ("10kk", "invalid argument: unknown suffix 'kk'"),
            ("17E", "numerical overflow: value too large: 17E"),
        ] {
            assert_eq!(parse_scaled(text, 1024, u64::MAX), Err(want.to_owned()), "{text}");
        }
    }
}
