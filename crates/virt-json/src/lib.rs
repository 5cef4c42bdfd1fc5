//! JSON as libvirt reads and prints it; no I/O, no meaning of any key.
//!
//! Members stay in the order in which they came and numbers are kept as they were written, so that what is
//! read and printed again is the same text. Leases, MAC maps and the `json:` form of backing files need that;
//! QMP, whose messages have types, does not and uses serde.
//!
//! ```
//! let value = virt_json::parse(r#"{ "file.driver": "nbd", "file.port": 10 }"#)?;
//! assert_eq!(value.to_string(), r#"{"file.driver":"nbd","file.port":10}"#);
//! let nested = value.deflattened()?;
//! assert_eq!(nested.pretty(), "{\n  \"file\": {\n    \"driver\": \"nbd\",\n    \"port\": 10\n  }\n}");
//! # Ok::<(), virt_json::JsonError>(())
//! ```

mod convert;
mod flat;
mod print;
mod read;

pub use read::{BYTES_MAX, DEPTH_MAX, parse};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    String(String),
    Array(Vec<Value>),
    /// The members in order; no key twice.
    Object(Vec<(String, Value)>),
}

/// What is wrong with a text, and the byte where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("byte {at}: expected {wanted}")]
    Expected { at: usize, wanted: &'static str },
    #[error("byte {at}: deeper than {DEPTH_MAX} levels")]
    TooDeep { at: usize },
    #[error("longer than {BYTES_MAX} bytes")]
    TooLong,
    #[error("the key '{key}' is there twice")]
    Twice { key: String },
}

impl Value {
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(yes) => Some(*yes),
            _ => None,
        }
    }

    /// A number without fraction, where it fits.
    pub fn as_number<N: std::str::FromStr>(&self) -> Option<N> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A text, or a number as it was written.
    pub fn as_word(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Number(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}
