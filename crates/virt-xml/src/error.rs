//! What is wrong with a document, and where.

use std::borrow::Cow;
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
    /// The number of that line.
    pub source_line_number: u32,
    /// The open elements around the place, as `domain/devices`; empty outside of all.
    pub inside: String,
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

impl ErrorKind {
    /// What was expected, in plain words.
    fn remedy(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Empty => "expected a document: an element with everything in it",
            Self::NoRoot => "expected an element, which starts with <",
            Self::TrailingContent => "a document is one element, and nothing stands behind its end",
            Self::NotUtf8 => "expected text in UTF-8",
            Self::ForbiddenChar(_) => "XML allows no such control character, not even as a number",
            Self::NoName => "expected an element's name behind <; a < that is text is written &lt;",
            Self::BadAttribute(_) => "expected an attribute as name='value', a blank before it",
            Self::NoValue(name) => return format!("expected {name}='value'").into(),
            Self::DuplicateAttribute(name) => {
                return format!("the attribute {name} stands there once already").into();
            }
            Self::UnclosedMarkup(_) => "expected > behind the name of an end tag",
            Self::MismatchedEnd { expected, found } => {
                return match expected.split_once(" line ") {
                    Some((name, line)) => format!(
                        "expected </{name}>, as <{name}> of line {line} is still open; found </{found}>"
                    ),
                    None => format!("expected </{expected}>, found </{found}>"),
                }
                .into();
            }
            Self::MissingEnd(open) => {
                return match open.split_once(" line ") {
                    Some((name, line)) => {
                        format!("expected </{name}>, as <{name}> of line {line} is still open")
                    }
                    None => format!("expected </{open}>"),
                }
                .into();
            }
            Self::UnclosedTag(open) => return format!("expected > at the end of <{open}").into(),
            Self::BadReference(_) | Self::UnknownEntity(_) => {
                "an & that is text is written &amp;; only amp, lt, gt, apos and quot have names, \
                 others are numbers, as &#233;"
            }
            Self::DocumentType => {
                "no document type is read: leave <!DOCTYPE> out, and write what its entities stand for"
            }
            Self::Syntax(text) => return Self::syntax_remedy(text).into(),
            Self::Limit(what) => return format!("the limit for the {what} is passed").into(),
        })
    }

    fn syntax_remedy(text: &str) -> &'static str {
        const REMEDIES: &[(&str, &str)] = &[
            ("Comment not", "expected --> at the end of the comment"),
            ("Double hyphen", "a comment may not hold two hyphens in a row"),
            ("Unregistered", "expected ]]> at the end of the CDATA section"),
            ("CData", "expected ]]> at the end of the CDATA section"),
            ("Sequence ']]>'", "]]> that is text is written ]]&gt;"),
            ("ParsePI", "expected ?> at the end of the processing instruction"),
            ("XML declaration", "<?xml ...?> stands at the very start, before any blank"),
            ("Unsupported encoding", "only UTF-8 is read"),
            ("xmlParseCharRef", "there is no character with this number"),
        ];
        let found = REMEDIES.iter().find(|(start, _)| text.starts_with(start));
        found.map_or("expected markup of XML 1.0", |(_, remedy)| remedy)
    }
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
    /// The place and what mends it, for a person who reads along.
    pub fn help(&self) -> String {
        let (line, column) = (self.source_line_number, self.column);
        let inside = match &*self.inside {
            "" => String::new(),
            path => format!(", in {path}"),
        };
        format!("line {line}, column {column}{inside}: {}", self.kind.remedy())
    }

    /// The message with the offending line and a caret under the place, in libvirt's frame.
    ///
    /// Compat: `at line N: ...` without a file, `FILE:N: ...` with one.
    pub fn framed(&self, file: Option<&str>) -> String {
        let place = match file {
            Some(file) => format!("{file}:{}", self.line),
            None => format!("at line {}", self.line),
        };
        // Compat: where nothing but line ends was read there is no line to show.
        if self.kind == ErrorKind::Empty
            || self.kind == ErrorKind::NoRoot && self.source_line.is_empty()
        {
            return format!("{place}: {}\n(null)\n^", self.kind);
        }
        let caret = "-".repeat(self.column.saturating_sub(1) as usize);
        format!("{place}: {}\n{}\n{caret}^", self.kind, self.source_line)
    }
}
