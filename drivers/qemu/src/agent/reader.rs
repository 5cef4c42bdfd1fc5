//! What an agent says, from bytes to answers: a pure reader that can be fed anything in any portions.
//!
//! An agent sends one JSON object a line. It runs inside the guest and may say what it likes: what is too
//! long ends the reading for good; a line that is no answer is one, for whoever reads to judge.

use virt_json::{JsonError, Value};

/// Limit: the longest answer, as with libvirt; files read through the agent are the largest.
const LINE_BYTES_MAX: usize = 10 << 20;

/// Limit: the values in one answer. Each takes many times the room of its text.
const VALUES_MAX: usize = 100_000;

/// Limit: how much of what is no answer is shown.
const SHOWN_CHARS_MAX: usize = 256;

/// The byte that an agent sends before the answer with which two find each other again.
const MARK: u8 = 0xff;

/// One line from an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An object, whatever is in it.
    Object(Value),
    /// Anything else, and what is wrong with it.
    Rubbish(String),
}

/// An agent that sends more than anybody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer is longer than {LINE_BYTES_MAX} bytes")]
pub struct TooLong;

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// Bytes before this one have been handed out.
    start: usize,
    /// No line ends before this one.
    scanned: usize,
    broken: bool,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        self.bytes.drain(..self.start);
        self.scanned = self.scanned.saturating_sub(self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether everything that came has been handed out.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.start
    }

    /// The next whole line that is not empty, if there is one. An error is final.
    pub fn next_line(&mut self) -> Result<Option<Line>, TooLong> {
        while !self.broken {
            let unseen = self.bytes.get(self.scanned..).unwrap_or_default();
            let end = unseen.iter().position(|byte| *byte == b'\n');
            let end = end.map(|at| self.scanned.saturating_add(at));
            let line_end = end.unwrap_or(self.bytes.len());
            if line_end.saturating_sub(self.start) > LINE_BYTES_MAX {
                *self = Self { broken: true, ..Self::default() };
                break;
            }
            let Some(end) = end else {
                self.scanned = line_end;
                return Ok(None);
            };
            let line = parse(self.bytes.get(self.start..end).unwrap_or_default());
            self.start = end.saturating_add(1);
            self.scanned = self.start;
            if line.is_some() {
                return Ok(line);
            }
        }
        Err(TooLong)
    }
}

/// What a line says; nothing where there is none.
fn parse(line: &[u8]) -> Option<Line> {
    // What stands before the mark is the rest of an earlier conversation.
    let line = line.rsplit(|byte| *byte == MARK).next().unwrap_or_default();
    if line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let separators = line.iter().filter(|byte| b",[{".contains(byte)).count();
    if separators > VALUES_MAX {
        return Some(Line::Rubbish("failed to parse JSON: too many values".to_owned()));
    }
    Some(match object(line) {
        Ok(value) => Line::Object(value),
        Err(why) => Line::Rubbish(why),
    })
}

fn object(line: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(line)
        .map_err(|_| "failed to parse JSON: invalid utf-8 string".to_owned())?;
    let value = json(text)?;
    match value.as_object() {
        Some(_) => Ok(value),
        None => {
            let shown: String = text.trim().chars().take(SHOWN_CHARS_MAX).collect();
            Err(format!("Parsed JSON reply '{shown}' isn't an object"))
        }
    }
}

/// Reads a text; what is wrong with it in libvirt's words.
pub(super) fn json(text: &str) -> Result<Value, String> {
    virt_json::parse(text).map_err(|error| {
        let what = match &error {
            JsonError::Expected { at, .. } if *at >= text.trim_end().len() => "continue".to_owned(),
            JsonError::Expected { .. } => "unexpected character".to_owned(),
            other => other.to_string(),
        };
        format!("failed to parse JSON: {what}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], size: usize) -> Vec<Line> {
        let mut reader = Reader::new();
        let mut lines = Vec::new();
        for portion in bytes.chunks(size) {
            reader.feed(portion);
            while let Some(line) = reader.next_line().unwrap() {
                lines.push(line);
            }
        }
        lines
    }

    #[test]
    fn lines_read_the_same_in_any_portions() {
        let said =
            b"rest of \xff{\"return\": 1}\n\r\n{\"return\": {\"b\": 1, \"a\": 2}}\n\xfe\n[1]\n";
        let whole = all(said, said.len());
        let text = |line: &Line| match line {
            Line::Object(value) => value.to_string(),
            Line::Rubbish(why) => why.clone(),
        };
        let texts: Vec<String> = whole.iter().map(text).collect();
        let wanted = [
            r#"{"return":1}"#,
            r#"{"return":{"b":1,"a":2}}"#,
            "failed to parse JSON: invalid utf-8 string",
            "Parsed JSON reply '[1]' isn't an object",
        ];
        assert_eq!(texts, wanted);
        for size in 1..said.len() {
            assert_eq!(all(said, size), whole, "portions of {size}");
        }
    }

    #[test]
    fn what_has_no_end_is_refused_before_it_fills_the_memory() {
        let mut reader = Reader::new();
        let portion = vec![b'x'; 1 << 20];
        let refused = (0..64).any(|_| {
            reader.feed(&portion);
            reader.next_line() == Err(TooLong)
        });
        assert!(refused && reader.bytes.is_empty());
        reader.feed(b"{}\n");
        assert_eq!(reader.next_line(), Err(TooLong), "an error is final");
    }

    #[test]
    fn depth_and_crowds_are_rubbish() {
        let deep = [vec![b'['; 1 << 20], b"\n".to_vec()].concat();
        let crowd = format!("{{\"return\": [{}1]}}\n", "1,".repeat(VALUES_MAX));
        for line in [deep.as_slice(), crowd.as_bytes()] {
            let said = all(line, 1 << 16);
            assert!(matches!(said.as_slice(), [Line::Rubbish(_)]), "{said:?}");
        }
    }
}
