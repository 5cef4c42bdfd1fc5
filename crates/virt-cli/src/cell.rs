//! One fact in both its forms: the words a person reads, and the value a program reads.

use std::fmt::Display;

use virt_json::Value;

/// A fact.
///
/// ```
/// use virt_cli::Cell;
/// let memory = Cell::new("2048 KiB", 2048_u64);
/// assert_eq!(memory.text, "2048 KiB");
/// assert_eq!(memory.value.to_string(), "2048");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub value: Value,
}

impl Cell {
    pub fn new(text: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { text: text.into(), value: value.into() }
    }

    /// A fact that is a text to both.
    pub fn word(word: impl Display) -> Self {
        let text = word.to_string();
        Self { value: Value::from(text.as_str()), text }
    }

    /// A number that a person sees with what stands behind it.
    pub fn counted(number: impl Into<Value>, unit: &str) -> Self {
        let value = number.into();
        Self { text: format!("{value}{unit}"), value }
    }

    /// Nothing is known; the words say so.
    pub fn none(text: &str) -> Self {
        Self { text: text.to_owned(), value: Value::Null }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::word(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::word(text)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Cell {
            fn from(number: $number) -> Self {
                Self::counted(number, "")
            }
        }
    )*};
}

numbers!(u16, u32, u64, i32, i64, usize);
