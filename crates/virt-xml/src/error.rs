//! What is wrong with a document, and where.

use std::fmt;

/// A document that cannot be read. Lines and columns count from 1; a column counts bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct Error {
    pub kind: ErrorKind,
    pub line: u32,
    pub column: u32,
    /// The text of the line, for showing beside the message.
    ///
    /// Compat: at the end of a document that ends with line ends it is the last line with text, as
    /// libvirt shows it, and the column counts in that line.
    pub source_line: String,
}

/// The kinds of broken documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Empty,
    NoRoot,
    TrailingContent,
    NotUtf8,
    ForbiddenChar(char),
    /// No name where an element's should stand.
    NoName,
    /// An attribute: what was expected in its place.
    BadAttribute(&'static str),
    /// An attribute that has a name only.
    NoValue(String),
    DuplicateAttribute(String),
    UnclosedMarkup(&'static str),
    MismatchedEnd {
        expected: String,
        found: String,
    },
    MissingEnd(String),
    /// A start tag that does not end: its name and line.
    UnclosedTag(String),
    BadReference(&'static str),
    UnknownEntity(String),
    DocumentType,
    Syntax(String),
    /// A limit of [`crate::Limits`] was passed.
    Limit(&'static str),
}

impl fmt::Display for ErrorKind {
    /// Compat: the common cases are worded as users of libvirt know them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Document is empty"),
            Self::NoRoot => f.write_str("Start tag expected, '<' not found"),
            Self::TrailingContent => f.write_str("Extra content at the end of the document"),
            Self::NotUtf8 => f.write_str("Input is not proper UTF-8, indicate encoding !"),
            Self::ForbiddenChar(c) => write!(f, "PCDATA invalid Char value {}", *c as u32),
            Self::NoName => f.write_str("StartTag: invalid element name"),
            Self::BadAttribute(expected) => f.write_str(expected),
            Self::NoValue(name) => {
                write!(f, "Specification mandates value for attribute {name}")
            }
            Self::DuplicateAttribute(name) => write!(f, "Attribute {name} redefined"),
            Self::UnclosedMarkup(what) => f.write_str(what),
            Self::MismatchedEnd { expected, found } => {
                write!(f, "Opening and ending tag mismatch: {expected} and {found}")
            }
            Self::MissingEnd(name) => write!(f, "Premature end of data in tag {name}"),
            Self::UnclosedTag(name) => write!(f, "Couldn't find end of Start Tag {name}"),
            Self::BadReference(what) => f.write_str(what),
            Self::UnknownEntity(name) => write!(f, "Entity '{name}' not defined"),
            Self::DocumentType => f.write_str("document type declarations are not allowed"),
            Self::Syntax(text) => f.write_str(text),
            Self::Limit(what) => write!(f, "document is too large: {what}"),
        }
    }
}

impl Error {
    /// The message with the offending line and a caret under the place, in libvirt's frame.
    ///
    /// Compat: `at line N: ...` without a file, `FILE:N: ...` with one.
    pub fn framed(&self, file: Option<&str>) -> String {
        let place = match file {
            Some(file) => format!("{file}:{}", self.line),
            None => format!("at line {}", self.line),
        };
        if matches!(self.kind, ErrorKind::Empty) {
            return format!("{place}: {}\n(null)\n^", self.kind);
        }
        let caret = "-".repeat(self.column.saturating_sub(1) as usize);
        format!("{place}: {}\n{}\n{caret}^", self.kind, self.source_line)
    }
}
