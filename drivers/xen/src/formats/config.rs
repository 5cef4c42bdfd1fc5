//! A configuration file of `xm` or `xl`: its syntax is libvirt's own, its values are looser.

use virt_conf::{Conf, Value};
use virt_error::{Code, Error, Origin, Result};

use super::hint;

/// Limit: guests' files are a few kilobytes; libvirt's reader stopped at 64 KiB once.
pub const CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// A guest's file, by key.
#[derive(Debug, Default)]
pub(crate) struct Config {
    conf: Conf,
    /// The first key whose value the syntax cannot hold.
    unwritable: Option<String>,
}

impl Config {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.len() > CONFIG_BYTES_MAX {
            let detail = format!("file is larger than {CONFIG_BYTES_MAX} bytes");
            return Err(Error::new(Code::ConfSyntax, Origin::Conf, detail));
        }
        // Compat: what comes from memory is called so in libvirt's message.
        Conf::parse(text).map(|conf| Self { conf, unwritable: None }).map_err(|error| {
            Error::new(Code::ConfSyntax, Origin::Conf, format!("memory conf:{error}"))
                .with_hint(error.help().unwrap_or_default())
        })
    }

    /// What is expected of a key, after the place where it stands.
    pub(crate) fn expected(&self, key: &str, expected: &str) -> String {
        let place = self.conf.settings().rev().find(|(name, ..)| *name == key);
        match place.and_then(|(.., place)| place) {
            Some(place) => format!("{place}, in {key}: expected {expected}"),
            None => format!("{key}: expected {expected}"),
        }
    }

    /// What to write where a key is missing.
    pub(crate) fn missing(&self, key: &str, example: &str) -> String {
        let near = hint::missing(key, self.conf.keys());
        let near = self.conf.settings().find(|(name, ..)| near == Some(*name));
        match near {
            Some((name, _, Some(place))) => {
                format!("{place}, in {name}: did you mean {key}?")
            }
            _ => format!("expected a line: {example}"),
        }
    }

    /// An error with the place of the value that it quotes or whose key it names.
    pub(crate) fn explained(&self, error: Error) -> Error {
        if error.hint().is_some() {
            return error;
        }
        let message = hint::message(&error);
        let mut values = hint::quoted(&message)
            .filter_map(|text| self.conf.settings().find(|(_, value, _)| holds(value, text)));
        let mut keys = hint::words(&message)
            .filter_map(|word| self.conf.settings().rev().find(|(key, ..)| *key == word));
        match values.next().or_else(|| keys.next()) {
            Some((key, _, Some(place))) => {
                error.with_hint(format!("{place}, in {key}: this value cannot be read"))
            }
            _ => error,
        }
    }

    /// A value of the wrong kind, with what would be the right one.
    fn wrong(&self, key: &str, expected: &str) -> Error {
        malformed(key).with_hint(self.expected(key, expected))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.conf.get(key).is_some()
    }

    pub(crate) fn string(&self, key: &str) -> Result<Option<&str>> {
        match self.conf.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a text in quotes")),
        }
    }

    /// A text that says something.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>> {
        Ok(self.string(key)?.filter(|text| !text.is_empty()).map(str::to_owned))
    }

    /// Compat: numbers may be written as strings.
    pub(crate) fn signed(&self, key: &str) -> Result<Option<i64>> {
        let number = match self.conf.get(key) {
            None => return Ok(None),
            Some(Value::Unsigned(number)) => i64::try_from(*number).ok(),
            Some(Value::Signed(number)) => Some(*number),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(Value::List(_)) => None,
        };
        number.map(Some).ok_or_else(|| self.wrong(key, "a number"))
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>> {
        let Some(number) = self.signed(key)? else { return Ok(None) };
        u64::try_from(number).map(Some).map_err(|_| self.wrong(key, "a number of 0 or more"))
    }

    pub(crate) fn number32(&self, key: &str) -> Result<Option<u32>> {
        let Some(number) = self.signed(key)? else { return Ok(None) };
        u32::try_from(number).map(Some).map_err(|_| self.wrong(key, "a number from 0 to 2^32"))
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        Ok(self.signed(key)?.map(|number| number != 0))
    }

    /// The strings of a list; a string alone is a list of one, and what is no string is passed over.
    pub(crate) fn strings(&self, key: &str) -> Result<Vec<&str>> {
        match self.conf.get(key) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::List(values)) => Ok(values.iter().filter_map(string).collect()),
            Some(_) => Err(self.wrong(key, "a list of texts in quotes")),
        }
    }

    /// The strings of a list; `None` where the value is none.
    pub(crate) fn list(&self, key: &str) -> Option<Vec<&str>> {
        match self.conf.get(key) {
            Some(Value::List(values)) => Some(values.iter().filter_map(string).collect()),
            _ => None,
        }
    }

    /// A list of lists of strings.
    pub(crate) fn tables(&self, key: &str) -> Result<Vec<Vec<&str>>> {
        match self.conf.get(key) {
            None => Ok(Vec::new()),
            Some(Value::List(rows)) => rows
                .iter()
                .map(|row| match row {
                    Value::List(values) => Ok(values.iter().filter_map(string).collect()),
                    _ => Err(self.wrong(key, "a list of lists of texts")),
                })
                .collect(),
            Some(_) => Err(self.wrong(key, "a list of lists of texts")),
        }
    }

    pub(crate) fn set(&mut self, key: &str, text: impl Into<String>) {
        self.put(key, Value::String(text.into()));
    }

    pub(crate) fn set_some(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.set(key, text);
        }
    }

    pub(crate) fn set_number(&mut self, key: &str, number: impl Into<i64>) {
        let number = number.into();
        let value = u64::try_from(number).map_or(Value::Signed(number), Value::Unsigned);
        self.conf.set(key, value);
    }

    /// Nothing where the list is empty.
    pub(crate) fn set_list(&mut self, key: &str, texts: Vec<String>) {
        if !texts.is_empty() {
            self.put(key, list(texts));
        }
    }

    pub(crate) fn set_tables(&mut self, key: &str, rows: Vec<Vec<String>>) {
        self.put(key, Value::List(rows.into_iter().map(list).collect()));
    }

    fn put(&mut self, key: &str, value: Value) {
        if !is_writable(&value) {
            self.unwritable.get_or_insert_with(|| key.to_owned());
        }
        self.conf.set(key, value);
    }

    /// The file. A text that would end its own quotes is refused: what follows would be read as keys.
    pub(crate) fn finish(self) -> Result<String> {
        match self.unwritable {
            None => Ok(self.conf.to_string()),
            Some(key) => {
                let detail = format!("value of {key} cannot be written to a configuration file");
                Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail))
            }
        }
    }
}

fn is_writable(value: &Value) -> bool {
    match value {
        Value::Unsigned(_) | Value::Signed(_) => true,
        Value::List(values) => values.iter().all(is_writable),
        // Only triple quotes hold both kinds, and then not three in a row or one at the end.
        Value::String(text) => {
            !text.contains("\"\"\"") && !text.ends_with('"') || plain_quotes(text)
        }
    }
}

/// Whether single quotes are enough.
fn plain_quotes(text: &str) -> bool {
    !text.contains(['\'', '\n', '\r'])
}

/// A word inside a comma-separated line.
pub(crate) fn word(key: &str, text: &str) -> Result<()> {
    if text.contains([',', '\n', '\r']) || text.trim() != text || text.is_empty() {
        let detail = format!("value '{text}' of {key} cannot be written to a configuration file");
        return Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail));
    }
    Ok(())
}

/// Whether a text stands in a value.
fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(whole) => whole.contains(text),
        Value::List(values) => values.iter().any(|value| holds(value, text)),
        Value::Unsigned(_) | Value::Signed(_) => false,
    }
}

fn string(value: &Value) -> Option<&str> {
    if let Value::String(text) = value { Some(text) } else { None }
}

fn list(texts: Vec<String>) -> Value {
    Value::List(texts.into_iter().map(Value::String).collect())
}

/// A value of the wrong kind.
pub(crate) fn malformed(key: &str) -> Error {
    Error::internal(Origin::Xen, format!("config value {key} was malformed"))
}

/// The parts of `a=1,b=2`, blanks taken off.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').filter_map(|part| {
        let (key, value) = part.split_once('=')?;
        Some((key.trim(), value.trim()))
    })
}
