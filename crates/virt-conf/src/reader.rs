//! Reads `key = value` lines; every error names its line.

use crate::{ConfError, Entry, Place, Value};

/// Limit: a list may hold lists, but only a fool's goes deeper.
const LIST_DEPTH_MAX: usize = 10;

const VALUE_EXPECTED: &str = "expected a number, a text in quotes or a list in [ ]";

pub(crate) fn read(text: &str) -> Result<Vec<Entry>, ConfError> {
    let mut reader = Reader { text, rest: text, line: 1, line_start: 0 };
    let mut entries = Vec::new();
    loop {
        reader.skip_blanks_and_newlines();
        match reader.peek() {
            None => return Ok(entries),
            Some('#') => {
                let place = Some(reader.place());
                let comment = Some(reader.comment());
                entries.push(Entry { setting: None, comment, place });
            }
            // Compat: a semicolon ends an entry like a newline does.
            Some(';') => reader.bump(),
            Some(_) => entries.push(reader.entry()?),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    line: usize,
    /// Where the line starts.
    line_start: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) {
        let mut chars = self.rest.chars();
        let newline = chars.next() == Some('\n');
        self.rest = chars.as_str();
        if newline {
            self.line += 1;
            self.line_start = self.at();
        }
    }

    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    fn place(&self) -> Place {
        Place { line: self.line, column: self.at() - self.line_start + 1 }
    }

    /// Goes past a start of the rest.
    fn pass(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        if let Some(last) = taken.rfind('\n') {
            self.line += taken.matches('\n').count();
            self.line_start = self.at() + last + 1;
        }
        self.rest = rest;
        taken
    }

    /// Takes the longest start that consists of such characters.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.pass(end)
    }

    fn skip_blanks(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t');
    }

    fn skip_blanks_and_newlines(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
    }

    fn error(&self, what: &'static str, expected: &'static str) -> ConfError {
        self.error_from(self.place(), what, expected)
    }

    /// An error about what started somewhere before.
    fn error_from(&self, place: Place, what: &'static str, expected: &'static str) -> ConfError {
        ConfError::Syntax { line: self.line, what, place, expected }
    }

    fn comment(&mut self) -> String {
        self.bump();
        self.take_while(|c| c != '\n' && c != '\r').to_owned()
    }

    fn entry(&mut self) -> Result<Entry, ConfError> {
        if !self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            return Err(
                self.error("expecting a name", "expected a name, which starts with a letter")
            );
        }
        let place = Some(self.place());
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let key = self.take_while(name).to_owned();
        self.skip_blanks();
        if self.peek() != Some('=') {
            return Err(self.error("expecting an assignment", "expected = and a value"));
        }
        self.bump();
        self.skip_blanks();
        let value = self.value(0)?;
        self.skip_blanks();
        let comment = match self.peek() {
            Some('#') => Some(self.comment()),
            None | Some('\n' | '\r' | ';') => None,
            Some(_) => {
                let expected = "expected the end of the line, or a ; before the next setting";
                return Err(self.error("expecting a separator", expected));
            }
        };
        Ok(Entry { setting: Some((key, value)), comment, place })
    }

    fn value(&mut self, depth: usize) -> Result<Value, ConfError> {
        match self.peek() {
            Some('"' | '\'') => self.string().map(Value::String),
            Some('[') if depth < LIST_DEPTH_MAX => self.list(depth),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(),
            Some('[') => {
                Err(self.error("expecting a value", "expected a list less deep in others"))
            }
            _ => Err(self.error("expecting a value", VALUE_EXPECTED)),
        }
    }

    fn number(&mut self) -> Result<Value, ConfError> {
        let place = self.place();
        let negative = self.peek() == Some('-');
        if negative {
            self.bump();
        }
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.error("expecting a value", VALUE_EXPECTED));
        }
        let overflow = ConfError::Overflow { place };
        if negative {
            format!("-{digits}").parse().map(Value::Signed).map_err(|_| overflow)
        } else {
            digits.parse().map(Value::Unsigned).map_err(|_| overflow)
        }
    }

    fn string(&mut self) -> Result<String, ConfError> {
        const TRIPLE: &str = "\"\"\"";
        const UNTERMINATED: &str = "unterminated string";
        let start = self.place();
        if let Some(rest) = self.rest.strip_prefix(TRIPLE) {
            self.pass(TRIPLE.len());
            let Some(end) = rest.find(TRIPLE) else {
                // Compat: line ends behind the last text do not count.
                self.pass(rest.trim_end_matches('\n').len());
                let expected = "the text that starts here is not closed with three quotes";
                return Err(self.error_from(start, UNTERMINATED, expected));
            };
            let text = self.pass(end).to_owned();
            self.pass(TRIPLE.len());
            return Ok(text);
        }
        let quote = self.peek();
        self.bump();
        let text = self.take_while(|c| Some(c) != quote && c != '\n' && c != '\r').to_owned();
        if self.peek() != quote {
            let expected = "the text that starts here is not closed in its line";
            return Err(self.error_from(start, UNTERMINATED, expected));
        }
        self.bump();
        Ok(text)
    }

    fn list(&mut self, depth: usize) -> Result<Value, ConfError> {
        let start = self.place();
        let unclosed = |reader: &Self| {
            let expected = "the list that starts here is not closed with ]";
            Err(reader.error_from(start, "list is not closed with ]", expected))
        };
        self.bump();
        let mut values = Vec::new();
        loop {
            self.skip_list_gaps();
            match self.peek() {
                Some(']') => {
                    self.bump();
                    return Ok(Value::List(values));
                }
                None => return unclosed(self),
                Some(_) => values.push(self.value(depth + 1)?),
            }
            self.skip_list_gaps();
            match self.peek() {
                Some(',') => self.bump(),
                Some(']') => {}
                None => return unclosed(self),
                Some(_) => {
                    return Err(self.error("expecting a separator in list", "expected , or ]"));
                }
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
    fn help_names_the_place() {
        for (text, expected) in [
            ("a = 1\n  b 3\n", "line 2, column 5: expected = and a value"),
            ("a = hvm\n", "line 1, column 5: expected a number, a text in quotes or a list in [ ]"),
            (
                "a = \"\"\"x\ny\n",
                "line 1, column 5: the text that starts here is not closed with three quotes",
            ),
            ("\na = [ 1,\n 2", "line 2, column 5: the list that starts here is not closed with ]"),
            ("a = 1; b = 99999999999999999999", "line 1, column 12: expected a number below 2^64"),
        ] {
            let error = Conf::parse(text).expect_err(text);
            assert_eq!(error.help().as_deref(), Some(expected), "{text:?}");
        }
        let conf = Conf::parse("a = 1\nb = \"\"\"x\ny\"\"\"; c = 2\n").expect("parse");
        let places: Vec<_> = conf.settings().filter_map(|(.., place)| place).collect();
        let places: Vec<_> = places.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["line 1, column 1", "line 2, column 1", "line 3, column 7"]);
    }

    #[test]
    fn accepted_as_libvirt_does() {
        for text in ["", "a = \"x\"#c\n", "a = \"x\"; b = 3\n", "a = [1, 2, ]\n", "a = [\n# c\n]"] {
            Conf::parse(text).expect(text);
        }
        assert!(Conf::parse(&format!("a = {}", "[".repeat(100_000))).is_err());
    }
}
