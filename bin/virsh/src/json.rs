//! JSON read and written again, its members in the order in which they came.

/// Limit: how deep values may lie within one another.
const DEPTH_MAX: usize = 128;

/// A value. Strings and numbers stay as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json<'a> {
    Plain(&'a str),
    List(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

pub(crate) fn parse(text: &str) -> Option<Json<'_>> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.skip();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take(&mut self, mark: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        if depth > DEPTH_MAX {
            return None;
        }
        if self.take('{') {
            return self.members(depth).map(Json::Object);
        }
        if self.take('[') {
            return self.elements(depth).map(Json::List);
        }
        match self.rest.starts_with('"') {
            true => self.string().map(Json::Plain),
            false => self.word().map(Json::Plain),
        }
    }

    fn members(&mut self, depth: usize) -> Option<Vec<(&'a str, Json<'a>)>> {
        let mut members = Vec::new();
        if self.take('}') {
            return Some(members);
        }
        loop {
            self.skip();
            let key = self.string()?;
            self.take(':').then_some(())?;
            members.push((key, self.value(depth + 1)?));
            if self.take('}') {
                return Some(members);
            }
            self.take(',').then_some(())?;
        }
    }

    fn elements(&mut self, depth: usize) -> Option<Vec<Json<'a>>> {
        let mut elements = Vec::new();
        if self.take(']') {
            return Some(elements);
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if self.take(']') {
                return Some(elements);
            }
            self.take(',').then_some(())?;
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let body = self.rest.strip_prefix('"')?;
        let mut escaped = false;
        let end = body.find(|letter| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        })?;
        self.cut(end + 2)
    }

    /// A number or one of the three words.
    fn word(&mut self) -> Option<&'a str> {
        let end = self
            .rest
            .find(|letter: char| !letter.is_ascii_alphanumeric() && !"+-.".contains(letter));
        let word = self.cut(end.unwrap_or(self.rest.len()))?;
        let known = ["true", "false", "null"].contains(&word);
        (known || word.parse::<f64>().is_ok_and(f64::is_finite)).then_some(word)
    }

    fn cut(&mut self, end: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(taken)
    }
}

impl Json<'_> {
    /// A member of an object, by its plain name.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        let wanted = quoted(name);
        members.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value)
    }

    pub(crate) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// One member a line, two spaces a level.
    pub(crate) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    fn write(&self, out: &mut String, indent: Option<usize>) {
        let inner = indent.map(|depth| depth + 1);
        let (open, close, count) = match self {
            Self::Plain(text) => {
                out.push_str(text);
                return;
            }
            Self::List(elements) => ('[', ']', elements.len()),
            Self::Object(members) => ('{', '}', members.len()),
        };
        out.push(open);
        let colon = if indent.is_some() { ": " } else { ":" };
        for at in 0..count {
            if at > 0 {
                out.push(',');
            }
            break_line(out, inner);
            match self {
                Self::Plain(_) => {}
                Self::List(elements) => elements[at].write(out, inner),
                Self::Object(members) => {
                    let (key, value) = &members[at];
                    out.push_str(key);
                    out.push_str(colon);
                    value.write(out, inner);
                }
            }
        }
        // Compat: what is empty is laid out in lines too.
        break_line(out, indent);
        out.push(close);
    }
}

fn break_line(out: &mut String, indent: Option<usize>) {
    if let Some(depth) = indent {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_spelling_stay() {
        let text = r#"{"return": {"b": 1.50, "a": ["x\"y", []]}, "id": "7"}"#;
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.compact(), r#"{"return":{"b":1.50,"a":["x\"y",[]]},"id":"7"}"#);
        let inner = parsed.member("return").unwrap();
        assert_eq!(
            inner.pretty(),
            "{\n  \"b\": 1.50,\n  \"a\": [\n    \"x\\\"y\",\n    [\n    ]\n  ]\n}"
        );
    }

    #[test]
    fn what_is_no_json() {
        for text in ["", "{", "{\"a\"}", "[1,]", "nosuch", "1 2", "{a=b}", "\"", "\"\\"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[".repeat(1 << 20)), None);
    }
}
