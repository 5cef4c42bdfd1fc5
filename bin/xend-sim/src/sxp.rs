//! S-expressions as xend reads and prints them.

/// Limit: lists in lists.
const DEPTH_MAX: usize = 200;

/// An S-expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sxp {
    Word(String),
    List(Vec<Sxp>),
}

pub(crate) fn word(text: impl ToString) -> Sxp {
    Sxp::Word(text.to_string())
}

/// `(name value)`.
pub(crate) fn pair(name: &str, value: impl ToString) -> Sxp {
    Sxp::List(vec![word(name), word(value)])
}

pub(crate) fn list(items: impl IntoIterator<Item = Sxp>) -> Sxp {
    Sxp::List(items.into_iter().collect())
}

impl Sxp {
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Word(_) => &[],
        }
    }

    pub(crate) fn items_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::List(items) => Some(items),
            Self::Word(_) => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) => Some(text),
            Self::List(_) => None,
        }
    }

    pub(crate) fn head(&self) -> Option<&str> {
        self.items().first()?.text()
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.items().iter().find(|item| item.head() == Some(name))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.child(name)?.items().get(1)?.text()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }

    /// Sets `(name value)`, in its place or at the end.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        let Some(items) = self.items_mut() else { return };
        match items.iter_mut().find(|item| item.head() == Some(name)) {
            Some(found) => *found = pair(name, value),
            None => items.push(pair(name, value)),
        }
    }

    /// Prints it; `empty` is how an empty text looks.
    pub(crate) fn print(&self, empty: &str) -> String {
        let mut out = String::new();
        self.print_into(empty, &mut out);
        out
    }

    fn print_into(&self, empty: &str, out: &mut String) {
        match self {
            Self::Word(text) if text.is_empty() => out.push_str(empty),
            Self::Word(text) => quote(text, out),
            Self::List(items) => {
                out.push('(');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(' ');
                    }
                    item.print_into(empty, out);
                }
                out.push(')');
            }
        }
    }
}

/// Python's own quoting, unless nothing needs it.
fn quote(text: &str, out: &mut String) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/~@".contains(c);
    if text.chars().all(plain) {
        out.push_str(text);
        return;
    }
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c == mark => out.extend(['\\', c]),
            c if (c as u32) < 32 || c as u32 == 127 => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push(mark);
}

/// Reads one expression.
pub(crate) fn parse(text: &str) -> Result<Sxp, String> {
    let mut reader = Reader { rest: text.chars().collect(), at: 0 };
    reader.skip();
    reader.expression(0)
}

struct Reader {
    rest: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn skip(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' {
                while self.next().is_some_and(|c| c != '\n') {}
            } else if c.is_whitespace() {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn expression(&mut self, depth: usize) -> Result<Sxp, String> {
        if depth > DEPTH_MAX {
            return Err("nested too deep".to_owned());
        }
        match self.peek() {
            None => Err("unexpected end of input".to_owned()),
            Some('(') => {
                self.at += 1;
                let mut items = Vec::new();
                loop {
                    self.skip();
                    match self.peek() {
                        Some(')') => {
                            self.at += 1;
                            return Ok(Sxp::List(items));
                        }
                        _ => items.push(self.expression(depth + 1)?),
                    }
                }
            }
            Some(mark @ ('\'' | '"')) => self.string(mark),
            Some(c) if "){}<>[];".contains(c) => {
                Err(format!("invalid character: code {}", c as u32))
            }
            Some(_) => {
                let from = self.at;
                while self.peek().is_some_and(|c| !c.is_whitespace() && !"#(){}<>[];".contains(c)) {
                    self.at += 1;
                }
                Ok(Sxp::Word(self.rest.get(from..self.at).unwrap_or_default().iter().collect()))
            }
        }
    }

    fn string(&mut self, mark: char) -> Result<Sxp, String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err("unexpected end of string".to_owned()),
                Some(c) if c == mark => return Ok(Sxp::Word(text)),
                Some('\\') => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let number = |reader: &mut Self, most: usize, radix: u32| {
            let mut value = 0;
            for _ in 0..most {
                let Some(digit) = reader.peek().and_then(|c| c.to_digit(radix)) else { break };
                value = value * radix + digit;
                reader.at += 1;
            }
            char::from_u32(value).ok_or_else(|| "bad escape".to_owned())
        };
        match self.peek() {
            Some('x') => {
                self.at += 1;
                number(self, 2, 16)
            }
            Some('0'..='7') => number(self, 3, 8),
            _ => match self.next() {
                Some('n') => Ok('\n'),
                Some('t') => Ok('\t'),
                Some('r') => Ok('\r'),
                Some('a') => Ok('\u{7}'),
                Some('b') => Ok('\u{8}'),
                Some('v') => Ok('\u{b}'),
                Some('f') => Ok('\u{c}'),
                Some(c) => Ok(c),
                None => Err("unexpected end of string".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let tree = list([word("vm"), pair("name", "a b'c\n"), list([word("x"), word("0-1")])]);
        assert_eq!(parse(&tree.print("")), Ok(tree.clone()));
        assert_eq!(pair("empty", "").print(""), "(empty )");
        assert_eq!(pair("empty", "").print("''"), "(empty '')");
        assert!(parse("(a").is_err() && parse("'a").is_err() && parse(")").is_err());
        assert_eq!(parse("(a '\\x41\\102' # no\n)").map(|t| t.print("")).as_deref(), Ok("(a AB)"));
    }
}
