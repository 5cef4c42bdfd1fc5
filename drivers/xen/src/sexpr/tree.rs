//! The tree of an S-expression, its reader with limits and positions, and its writer.
//!
//! ```
//! use driver_xen::sexpr::tree::Sexpr;
//! let tree = Sexpr::parse("(domain (name 'a b')(vcpus 2))").unwrap();
//! assert_eq!(tree.value("name"), Some("a b"));
//! assert_eq!(tree.to_string(), "(domain (name 'a b') (vcpus 2))");
//! ```

use std::fmt;

/// Limit: far above what xend sends of a guest, or of a host's guests together.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Limit: xend nests six deep.
pub const DEPTH_MAX: usize = 64;
/// Limit: lists and atoms in one expression.
pub const NODES_MAX: usize = 200_000;

/// An S-expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sexpr {
    Atom(String),
    List(Vec<Sexpr>),
}

const EXPECTING: &str = "expecting an expression";
const UNEXPECTED: &str = "unexpected )";
const UNCLOSED: &str = "list is not closed with )";
const UNTERMINATED: &str = "unterminated string";
const ESCAPE: &str = "unknown escape";

/// What is wrong with an S-expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct SexprError {
    pub line: usize,
    pub column: usize,
    pub what: &'static str,
}

impl SexprError {
    /// The place and what was expected there, for a person who reads along.
    pub fn help(&self) -> String {
        let Self { line, column, what } = self;
        let expected = match *what {
            UNEXPECTED => "this ) closes nothing",
            UNCLOSED => "a list that starts before is not closed with )",
            UNTERMINATED => "the text that starts here is not closed with its quote",
            ESCAPE => "expected one of \\a \\b \\t \\n \\v \\f \\r \\\\ \\' \\\" \\xHH \\OOO",
            EXPECTING => "expected ( and a name",
            _ => "no host sends that much of a guest",
        };
        format!("line {line}, column {column}: {expected}")
    }
}

impl Sexpr {
    /// Reads the first expression.
    ///
    /// Compat: what follows is left alone, because xend of 4.1 and later sends a stray `''` behind.
    pub fn parse(text: &str) -> Result<Self, SexprError> {
        let mut reader = Reader { text, at: 0, nodes: 0 };
        if text.len() > BYTES_MAX {
            return Err(reader.error("expression is too long"));
        }
        reader.skip_blanks();
        reader.expression(0)
    }

    /// The parts of a list; none of an atom.
    pub fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    pub fn atom(&self) -> Option<&str> {
        if let Self::Atom(text) = self { Some(text) } else { None }
    }

    /// What a list begins with.
    pub fn name(&self) -> Option<&str> {
        self.items().first()?.atom()
    }

    /// The lists inside that begin with that name.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Self> {
        self.items().iter().filter(move |item| item.name() == Some(name))
    }

    pub fn get(&self, name: &str) -> Option<&Self> {
        self.items().iter().find(|item| item.name() == Some(name))
    }

    /// The text of `(name text)`; `None` where it is empty too, as xend up to 4.0 prints nothing.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name)?.items().get(1)?.atom().filter(|text| !text.is_empty())
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn error(&self, what: &'static str) -> SexprError {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        SexprError { line, column, what }
    }

    fn skip_blanks(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() => {}
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.bump();
                    }
                    continue;
                }
                _ => return,
            }
            self.bump();
        }
    }

    fn expression(&mut self, depth: usize) -> Result<Sexpr, SexprError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.error("too many expressions"));
        }
        match self.peek() {
            None => Err(self.error(EXPECTING)),
            Some(')') => Err(self.error(UNEXPECTED)),
            Some('(') if depth >= DEPTH_MAX => Err(self.error("nested too deep")),
            Some('(') => self.list(depth),
            Some(quote @ ('\'' | '"')) => self.string(quote).map(Sexpr::Atom),
            Some(_) => Ok(self.word()),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Sexpr, SexprError> {
        self.bump();
        let mut items = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                // Compat: xend's clients never missed the last of all; a half answer is short by more.
                None if depth == 0 => return Ok(Sexpr::List(items)),
                None => return Err(self.error(UNCLOSED)),
                Some(')') => {
                    self.bump();
                    return Ok(Sexpr::List(items));
                }
                Some(_) => items.push(self.expression(depth + 1)?),
            }
        }
    }

    fn word(&mut self) -> Sexpr {
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '#');
        let rest = self.rest();
        // What stands here is no end of a word; a word has one character at least.
        let end = rest.find(ends).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        self.at += end;
        Sexpr::Atom(word.to_owned())
    }

    fn string(&mut self, quote: char) -> Result<String, SexprError> {
        let open = Reader { text: self.text, at: self.at, nodes: 0 };
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                None => return Err(open.error(UNTERMINATED)),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
    }

    /// Python's escapes, as xend prints them.
    fn escape(&mut self) -> Result<char, SexprError> {
        // Limit: where an escape stands is worked out only of a wrong one.
        let start = Reader { text: self.text, at: self.at, nodes: 0 };
        let bad = || start.error(ESCAPE);
        let Some(c) = self.bump() else { return Err(bad()) };
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            '\\' | '\'' | '"' => c,
            'x' => self.code(16, 2).ok_or_else(bad)?,
            '0'..='7' => {
                self.at -= 1;
                self.code(8, 3).ok_or_else(bad)?
            }
            _ => return Err(bad()),
        })
    }

    /// A character by up to so many digits.
    fn code(&mut self, radix: u32, digits_max: usize) -> Option<char> {
        let digits: String =
            self.rest().chars().take(digits_max).take_while(|c| c.is_digit(radix)).collect();
        self.at += digits.len();
        char::from_u32(u32::from_str_radix(&digits, radix).ok()?)
    }
}

impl fmt::Display for Sexpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atom(text) if is_plain(text) => f.write_str(text),
            Self::Atom(text) => f.write_str(&quoted(text)),
            Self::List(items) => {
                f.write_str("(")?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str(")")
            }
        }
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b".,-_:/~@".contains(&c);
    !text.is_empty() && text.bytes().all(plain)
}

/// A text in quotes, with what would end it or start an escape made harmless.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\\' | '\'' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_may_hold_anything() {
        let tree = Sexpr::parse("(a '\\x41\\101\\n\\'' \"it's\" '') ''").expect("parse");
        let texts: Vec<_> = tree.items().iter().map(|item| item.atom().unwrap_or("?")).collect();
        assert_eq!(texts, ["a", "AA\n'", "it's", ""]);
        assert_eq!(Sexpr::parse(&tree.to_string()), Ok(tree));
    }

    #[test]
    fn errors_name_their_place() {
        for (text, expected) in [
            ("", "line 1, column 1: expecting an expression"),
            (")", "line 1, column 1: unexpected )"),
            ("(a\n (b c", "line 2, column 6: list is not closed with )"),
            ("(a\n 'b", "line 2, column 2: unterminated string"),
            ("(a '\\q')", "line 1, column 6: unknown escape"),
            (&"(".repeat(100), "line 1, column 65: nested too deep"),
        ] {
            let error = Sexpr::parse(text).expect_err(text);
            assert_eq!(error.to_string(), expected, "{text:?}");
        }
    }
}
