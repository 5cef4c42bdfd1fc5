//! Configuration files in libvirt's `key = value` syntax; no meaning of any key.
//!
//! Comments and the order of entries are kept, so that a file can be read, changed and written
//! back. The words of errors are libvirt's, with the line they are about.
//!
//! ```
//! let conf = virt_conf::Conf::parse("max_clients = 20 # few\nlog_filters = \"1:qemu\"\n")?;
//! assert_eq!(conf.unsigned("max_clients")?, Some(20));
//! assert_eq!(conf.string("log_filters")?, Some("1:qemu"));
//! assert_eq!(conf.string("log_outputs")?, None);
//! # Ok::<(), virt_conf::ConfError>(())
//! ```

mod reader;

use std::fmt::{self, Write as _};

/// Limit: the largest file libvirt reads as configuration.
pub const FILE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// A configuration file: its entries in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conf {
    entries: Vec<Entry>,
}

/// Two entries are equal when they say the same, wherever they stood.
#[derive(Clone, Debug)]
struct Entry {
    /// `None` where the line is only a comment.
    setting: Option<(String, Value)>,
    /// With its `#` left off.
    comment: Option<String>,
    /// Where it stood; `None` where it was set, not read.
    place: Option<Place>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.setting == other.setting && self.comment == other.comment
    }
}

/// A place in a file. Lines and columns count from 1; a column counts bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Unsigned, as written.
    Unsigned(u64),
    /// Negative.
    Signed(i64),
    String(String),
    List(Vec<Value>),
}

/// What is wrong with a file or a value. [`ConfError::at`] adds the path, as libvirt does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// `line` is the one that libvirt names; `place` is where the mistake is.
    #[error("{line}: {what}")]
    Syntax { line: usize, what: &'static str, place: Place, expected: &'static str },
    #[error("{}: numeric overflow in conf value", place.line)]
    Overflow { place: Place },
    #[error("expected {wanted} for '{key}' parameter")]
    Kind { key: String, wanted: &'static str },
    #[error("value for '{key}' parameter must be in range {least}:{most}")]
    Range { key: String, least: u64, most: u64 },
    #[error("file is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
}

impl ConfError {
    /// The whole message, with the code's words before it.
    pub fn at(&self, path: &str) -> String {
        match self {
            Self::Syntax { .. } => format!("configuration file syntax error: {path}:{self}"),
            Self::Overflow { .. } => format!("numerical overflow: {path}:{self}"),
            Self::Kind { .. } | Self::Range { .. } | Self::TooLarge => {
                format!("internal error: {path}: {self}")
            }
        }
    }

    /// The place and what was expected there, for a person who reads along.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Syntax { place, expected, .. } => Some(format!("{place}: {expected}")),
            Self::Overflow { place } => Some(format!("{place}: expected a number below 2^64")),
            Self::Kind { .. } | Self::Range { .. } | Self::TooLarge => None,
        }
    }
}

impl Conf {
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(ConfError::TooLarge);
        }
        reader::read(text).map(|entries| Self { entries })
    }

    /// The value of a key. Of several the last counts.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let settings = self.entries.iter().rev().filter_map(|entry| entry.setting.as_ref());
        settings.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The keys in order, with their values and where they stand; what was set, not read, stands nowhere.
    pub fn settings(&self) -> impl DoubleEndedIterator<Item = (&str, &Value, Option<Place>)> {
        self.entries.iter().filter_map(|entry| {
            let (key, value) = entry.setting.as_ref()?;
            Some((key.as_str(), value, entry.place))
        })
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| entry.setting.as_ref()).map(|(key, _)| key.as_str())
    }

    /// Sets a key: in place where it stands, else at the end.
    pub fn set(&mut self, key: &str, value: Value) {
        let standing = self.entries.iter_mut().rev().filter_map(|entry| entry.setting.as_mut());
        match standing.into_iter().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => {
                let setting = Some((key.to_owned(), value));
                self.entries.push(Entry { setting, comment: None, place: None });
            }
        }
    }

    pub fn string(&self, key: &str) -> Result<Option<&str>, ConfError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(kind(key, "a string")),
        }
    }

    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, ConfError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(number)) => Ok(Some(*number)),
            Some(_) => Err(kind(key, "an unsigned integer")),
        }
    }

    /// [`Conf::unsigned`] that must fit into 32 bits.
    pub fn unsigned32(&self, key: &str) -> Result<Option<u32>, ConfError> {
        let Some(number) = self.unsigned(key)? else { return Ok(None) };
        let most = u64::from(u32::MAX);
        match u32::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(ConfError::Range { key: key.to_owned(), least: 0, most }),
        }
    }

    pub fn signed(&self, key: &str) -> Result<Option<i64>, ConfError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Signed(number)) => Ok(Some(*number)),
            Some(Value::Unsigned(number)) => match i64::try_from(*number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(kind(key, "an integer")),
            },
            Some(_) => Err(kind(key, "an integer")),
        }
    }

    /// Compat: a truth value is written 0 or 1 and nothing else.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, ConfError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(0)) => Ok(Some(false)),
            Some(Value::Unsigned(1)) => Ok(Some(true)),
            Some(Value::Unsigned(_)) => {
                Err(ConfError::Range { key: key.to_owned(), least: 0, most: 1 })
            }
            Some(_) => Err(kind(key, "a boolean")),
        }
    }

    /// A list of strings; a string alone is a list of one.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&str>>, ConfError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text])),
            Some(Value::List(values)) => {
                let texts = values.iter().map(|value| match value {
                    Value::String(text) => Ok(text.as_str()),
                    _ => Err(kind(key, "a string list")),
                });
                texts.collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(kind(key, "a string list")),
        }
    }
}

fn kind(key: &str, wanted: &'static str) -> ConfError {
    ConfError::Kind { key: key.to_owned(), wanted }
}

impl fmt::Display for Conf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            if let Some((key, value)) = &entry.setting {
                write!(f, "{key} = {value}")?;
            }
            match (&entry.setting, &entry.comment) {
                (Some(_), Some(comment)) => write!(f, " #{comment}")?,
                (None, Some(comment)) => write!(f, "#{comment}")?,
                (_, None) => {}
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Signed(number) => write!(f, "{number}"),
            Self::String(text)
                if text.contains(['\n', '\r']) || text.contains('"') && text.contains('\'') =>
            {
                write!(f, "\"\"\"{text}\"\"\"")
            }
            Self::String(text) if text.contains('"') => write!(f, "'{text}'"),
            Self::String(text) => write!(f, "\"{text}\""),
            Self::List(values) => {
                f.write_str("[ ")?;
                for (at, value) in values.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str(" ]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_kinds() {
        let text =
            "a = 1\nb = -2\nc = 'x\"y'\nd = [ \"p\", 'q', ]\ne = \"\"\"two\nlines\"\"\"\na = 3";
        let conf = Conf::parse(text).expect("parse");
        assert_eq!(conf.unsigned("a"), Ok(Some(3)));
        assert_eq!(conf.signed("b"), Ok(Some(-2)));
        assert_eq!(conf.string("c"), Ok(Some("x\"y")));
        assert_eq!(conf.strings("d"), Ok(Some(vec!["p", "q"])));
        assert_eq!(conf.strings("c"), Ok(Some(vec!["x\"y"])));
        assert_eq!(conf.string("e"), Ok(Some("two\nlines")));
        assert_eq!(
            conf.unsigned("b").map_err(|error| error.at("/etc/x.conf")),
            Err("internal error: /etc/x.conf: expected an unsigned integer for 'b' parameter"
                .to_owned())
        );
        assert_eq!(Conf::parse(&conf.to_string()), Ok(conf));
    }

    #[test]
    fn a_setting_is_changed_in_place() {
        let mut conf = Conf::parse("# top\na = 1 # one\nb = 2\n").expect("parse");
        conf.set("a", Value::Unsigned(7));
        conf.set("c", Value::String("new".to_owned()));
        assert_eq!(conf.to_string(), "# top\na = 7 # one\nb = 2\nc = \"new\"\n");
    }
}
