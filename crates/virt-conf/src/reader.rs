//! Reads `key = value` lines; every error names its line.

use crate::{ConfError, Entry, Value};

/// Limit: a list may hold lists, but only a fool's goes deeper.
const LIST_DEPTH_MAX: usize = 10;

pub(crate) fn read(text: &str) -> Result<Vec<Entry>, ConfError> {
    let mut reader = Reader { rest: text, line: 1 };
    let mut entries = Vec::new();
    loop {
        reader.skip_blanks_and_newlines();
        match reader.peek() {
            None => return Ok(entries),
            Some('#') => {
                let comment = Some(reader.comment());
                entries.push(Entry { setting: None, comment });
            }
            // Compat: a semicolon ends an entry like a newline does.
            Some(';') => reader.bump(),
            Some(_) => entries.push(reader.entry()?),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) {
        let mut chars = self.rest.chars();
        if chars.next() == Some('\n') {
            self.line += 1;
        }
        self.rest = chars.as_str();
    }

    /// Takes the longest start that consists of such characters.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t');
    }

    fn skip_blanks_and_newlines(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
    }

    fn error(&self, what: &'static str) -> ConfError {
        ConfError::Syntax { line: self.line, what }
    }

    fn comment(&mut self) -> String {
        self.bump();
        self.take_while(|c| c != '\n' && c != '\r').to_owned()
    }

    fn entry(&mut self) -> Result<Entry, ConfError> {
        if !self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            return Err(self.error("expecting a name"));
        }
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let key = self.take_while(name).to_owned();
        self.skip_blanks();
        if self.peek() != Some('=') {
            return Err(self.error("expecting an assignment"));
        }
        self.bump();
        self.skip_blanks();
        let value = self.value(0)?;
        self.skip_blanks();
        let comment = match self.peek() {
            Some('#') => Some(self.comment()),
            None | Some('\n' | '\r' | ';') => None,
            Some(_) => return Err(self.error("expecting a separator")),
        };
        Ok(Entry { setting: Some((key, value)), comment })
    }

    fn value(&mut self, depth: usize) -> Result<Value, ConfError> {
        match self.peek() {
            Some('"' | '\'') => self.string().map(Value::String),
            Some('[') if depth < LIST_DEPTH_MAX => self.list(depth),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(),
            _ => Err(self.error("expecting a value")),
        }
    }

    fn number(&mut self) -> Result<Value, ConfError> {
        let negative = self.peek() == Some('-');
        if negative {
            self.bump();
        }
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.error("expecting a value"));
        }
        let overflow = ConfError::Overflow { line: self.line };
        if negative {
            format!("-{digits}").parse().map(Value::Signed).map_err(|_| overflow)
        } else {
            digits.parse().map(Value::Unsigned).map_err(|_| overflow)
        }
    }

    fn string(&mut self) -> Result<String, ConfError> {
        const TRIPLE: &str = "\"\"\"";
        if let Some(rest) = self.rest.strip_prefix(TRIPLE) {
            let Some(end) = rest.find(TRIPLE) else {
                self.line += rest.trim_end_matches('\n').matches('\n').count();
                return Err(self.error("unterminated string"));
            };
            let (text, rest) = rest.split_at(end);
            self.line += text.matches('\n').count();
            self.rest = rest.get(TRIPLE.len()..).unwrap_or_default();
            return Ok(text.to_owned());
        }
        let quote = self.peek();
        self.bump();
        let text = self.take_while(|c| Some(c) != quote && c != '\n' && c != '\r').to_owned();
        if self.peek() != quote {
            return Err(self.error("unterminated string"));
        }
        self.bump();
        Ok(text)
    }

    fn list(&mut self, depth: usize) -> Result<Value, ConfError> {
        self.bump();
        let mut values = Vec::new();
        loop {
            self.skip_list_gaps();
            match self.peek() {
                Some(']') => {
                    self.bump();
                    return Ok(Value::List(values));
                }
                None => return Err(self.error("list is not closed with ]")),
                Some(_) => values.push(self.value(depth + 1)?),
            }
            self.skip_list_gaps();
            match self.peek() {
                Some(',') => self.bump(),
                Some(']') => {}
                None => return Err(self.error("list is not closed with ]")),
                Some(_) => return Err(self.error("expecting a separator in list")),
            }
        }
    }

    fn skip_list_gaps(&mut self) {
        self.skip_blanks_and_newlines();
        while self.peek() == Some('#') {
            self.comment();
            self.skip_blanks_and_newlines();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Conf;

    #[test]
    fn errors_are_libvirts() {
        for (text, expected) in [
            ("1a = 3\n", "1: expecting a name"),
            ("a 3\n", "1: expecting an assignment"),
            ("a = \n", "1: expecting a value"),
            ("a = b\n", "1: expecting a value"),
            ("a = \"x\n", "1: unterminated string"),
            ("a = 'x\n", "1: unterminated string"),
            ("a = \"\"\"x\ny\n", "2: unterminated string"),
            ("a = [\"x\" \"y\"]\n", "1: expecting a separator in list"),
            ("a = [ \"x\",\n \"y\"", "2: list is not closed with ]"),
            ("a = 3 4\n", "1: expecting a separator"),
            ("\n\na = 3x\n", "3: expecting a separator"),
            ("foo\n", "1: expecting an assignment"),
            ("a.b/c = 1\n", "1: expecting an assignment"),
            ("a = 99999999999999999999\n", "1: numeric overflow in conf value"),
        ] {
            let error = Conf::parse(text).expect_err(text);
            assert_eq!(error.to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn accepted_as_libvirt_does() {
        for text in ["", "a = \"x\"#c\n", "a = \"x\"; b = 3\n", "a = [1, 2, ]\n", "a = [\n# c\n]"] {
            Conf::parse(text).expect(text);
        }
        assert!(Conf::parse(&format!("a = {}", "[".repeat(100_000))).is_err());
    }
}
