//! Text to values, with limits on length and depth.

use crate::{JsonError, Value};

/// Limit: the longest text that is read; nothing libvirt keeps as JSON comes near it.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Limit: how deep arrays and objects may lie in one another.
pub const DEPTH_MAX: usize = 64;

/// Reads one value; only blanks may stand around it.
pub fn parse(text: &str) -> Result<Value, JsonError> {
    if text.len() > BYTES_MAX {
        return Err(JsonError::TooLong);
    }
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.peek().is_some() {
        return Err(reader.expected("the end"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, wanted: &'static str) -> JsonError {
        JsonError::Expected { at: self.at, wanted }
    }

    fn take(&mut self, wanted: &'static str) -> Result<(), JsonError> {
        if !self.rest().starts_with(wanted) {
            return Err(self.expected(wanted));
        }
        self.at += wanted.len();
        Ok(())
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError::TooDeep { at: self.at });
        }
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b't') => self.take("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.take("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.take("null").map(|()| Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.expected("a value")),
        }
    }

    /// Whether another item follows; an opening bracket was passed, the closing one is taken here.
    fn follows(&mut self, first: bool, close: &'static str) -> Result<bool, JsonError> {
        self.skip_blanks();
        if self.rest().starts_with(close) {
            self.at += close.len();
            return Ok(false);
        }
        if !first {
            self.take(",")?;
            self.skip_blanks();
        }
        Ok(true)
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.take("[")?;
        let mut values = Vec::new();
        while self.follows(values.is_empty(), "]")? {
            values.push(self.value(depth + 1)?);
        }
        Ok(Value::Array(values))
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.take("{")?;
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut keys = std::collections::HashMap::new();
        while self.follows(members.is_empty(), "}")? {
            let key = self.string()?;
            self.skip_blanks();
            self.take(":")?;
            let value = self.value(depth + 1)?;
            // Of one key that is there twice the last value counts, in the place of the first.
            let at = *keys.entry(key.clone()).or_insert(members.len());
            match members.get_mut(at) {
                Some((_, old)) => *old = value,
                None => members.push((key, value)),
            }
        }
        Ok(Value::Object(members))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = self.rest();
        let count = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if count == 0 {
            return Err(self.expected("a digit"));
        }
        self.at += count;
        Ok(())
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Number(self.text.get(from..self.at).unwrap_or_default().to_owned()))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.take("\"")?;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let end =
                rest.find(['"', '\\']).ok_or_else(|| self.expected("the end of the string"))?;
            let (plain, stop) = rest.split_at(end);
            out.push_str(plain);
            self.at += end + 1;
            if stop.starts_with('"') {
                return Ok(out);
            }
            out.push(self.escape()?);
        }
    }

    /// What a backslash stands for, which was passed.
    fn escape(&mut self) -> Result<char, JsonError> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(c)
    }

    /// `uXXXX`, and a second one where the first is half of a pair.
    fn code_point(&mut self) -> Result<char, JsonError> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            // Half a pair by itself stands for what cannot be shown.
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        if !self.rest().starts_with("\\u") {
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        self.at += 1;
        let second = self.hex4()?;
        let low = second.wrapping_sub(0xdc00);
        let point = 0x10000 + ((first - 0xd800) << 10) + (low & 0x3ff);
        let whole = if low < 0x400 { char::from_u32(point) } else { None };
        Ok(whole.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        self.take("u")?;
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|c| c.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let value = value.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(value)
    }
}
