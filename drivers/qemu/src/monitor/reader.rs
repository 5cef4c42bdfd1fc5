//! QMP from bytes to messages: a pure reader that can be fed anything in any portions.
//!
//! QMP sends one JSON object a line. The reader keeps at most one unfinished line and gives up for
//! good on a line that is too long or no message: what follows could not be trusted.

use serde::Deserialize;
use serde_json::Value;

/// Limit: the longest line QEMU is known to send is `query-qmp-schema` with 200 KiB; statistics of
/// hundreds of disks stay below a few MiB.
const LINE_BYTES_MAX: usize = 32 << 20;

/// One message from QEMU.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    Greeting(Version),
    Reply { id: u64, result: Result<Value, QmpError> },
    Event(Event),
}

/// The version in the greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub micro: u64,
    pub package: String,
}

/// Something that happened in the guest.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
    /// When, in microseconds since 1970; 0 if QEMU did not know.
    pub at_us: u64,
}

/// QEMU's refusal of a command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QmpError {
    #[serde(default)]
    pub class: String,
    #[serde(default)]
    pub desc: String,
}

/// Why the stream of bytes is not QMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("a line is no JSON")]
    NotJson,
    #[error("a JSON value is no QMP message")]
    NotQmp,
}

/// Cuts bytes into messages.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// Bytes before this one have been handed out.
    start: usize,
    /// No line ends before this one.
    scanned: usize,
    broken: Option<ReadError>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<RawGreeting>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    timestamp: Option<RawTime>,
    #[serde(rename = "return")]
    returned: Option<Value>,
    error: Option<QmpError>,
    id: Option<Value>,
}

#[derive(Deserialize)]
struct RawGreeting {
    version: Option<RawVersion>,
}

#[derive(Deserialize)]
struct RawVersion {
    qemu: Option<RawNumbers>,
    #[serde(default)]
    package: String,
}

#[derive(Deserialize)]
struct RawNumbers {
    #[serde(default)]
    major: u64,
    #[serde(default)]
    minor: u64,
    #[serde(default)]
    micro: u64,
}

#[derive(Deserialize)]
struct RawTime {
    #[serde(default)]
    seconds: i64,
    #[serde(default)]
    microseconds: i64,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned = self.scanned.saturating_sub(self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one. An error is final.
    pub fn next_message(&mut self) -> Result<Option<Message>, ReadError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        loop {
            let unseen = self.bytes.get(self.scanned..).unwrap_or_default();
            let Some(at) = unseen.iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.bytes.len();
                if self.bytes.len().saturating_sub(self.start) > LINE_BYTES_MAX {
                    return self.give_up(ReadError::TooLong);
                }
                return Ok(None);
            };
            let end = self.scanned.saturating_add(at);
            let line = self.bytes.get(self.start..end).unwrap_or_default();
            let blank = line.iter().all(u8::is_ascii_whitespace);
            let message = if blank { Ok(None) } else { parse(line).map(Some) };
            self.start = end.saturating_add(1);
            self.scanned = self.start;
            match message {
                Ok(None) => {}
                Ok(message) => return Ok(message),
                Err(error) => return self.give_up(error),
            }
        }
    }

    fn give_up(&mut self, error: ReadError) -> Result<Option<Message>, ReadError> {
        *self = Self { broken: Some(error), ..Self::default() };
        Err(error)
    }
}

fn parse(line: &[u8]) -> Result<Message, ReadError> {
    let line: Line = serde_json::from_slice(line).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ReadError::NotQmp,
        _ => ReadError::NotJson,
    })?;
    // A reply whose id is missing or not ours belongs to no call: id 0 is never given out.
    let id = line.id.as_ref().and_then(Value::as_u64).unwrap_or(0);
    if let Some(error) = line.error {
        return Ok(Message::Reply { id, result: Err(error) });
    }
    if let Some(value) = line.returned {
        return Ok(Message::Reply { id, result: Ok(value) });
    }
    if let Some(name) = line.event {
        let at_us = line.timestamp.map_or(0, |time| {
            let micros = time.seconds.saturating_mul(1_000_000).saturating_add(time.microseconds);
            u64::try_from(micros).unwrap_or(0)
        });
        return Ok(Message::Event(Event { name, data: line.data, at_us }));
    }
    let version = line.greeting.ok_or(ReadError::NotQmp)?.version;
    let (numbers, package) = version.map_or((None, String::new()), |v| (v.qemu, v.package));
    let numbers = numbers.unwrap_or(RawNumbers { major: 0, minor: 0, micro: 0 });
    let RawNumbers { major, minor, micro } = numbers;
    Ok(Message::Greeting(Version { major, minor, micro, package }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = concat!(
        r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"},"#,
        r#" "capabilities": ["oob"]}}"#,
        "\r\n",
        r#"{"return": {}, "id": 1}"#,
        "\r\n\r\n",
        r#"{"timestamp": {"seconds": 2, "microseconds": 5}, "event": "STOP"}"#,
        "\r\n",
        r#"{"id": 2, "error": {"class": "GenericError", "desc": "no"}}"#,
        "\r\n",
    );

    fn all(portions: impl Iterator<Item = u8> + Clone, size: usize) -> Vec<Message> {
        let bytes: Vec<u8> = portions.collect();
        let mut reader = Reader::new();
        let mut messages = Vec::new();
        for portion in bytes.chunks(size) {
            reader.feed(portion);
            while let Some(message) = reader.next_message().unwrap() {
                messages.push(message);
            }
        }
        messages
    }

    #[test]
    fn a_session_reads_the_same_in_any_portions() {
        let whole = all(SESSION.bytes(), SESSION.len());
        let package = "Debian".to_owned();
        assert_eq!(whole[0], Message::Greeting(Version { major: 10, minor: 0, micro: 2, package }));
        assert_eq!(whole[1], Message::Reply { id: 1, result: Ok(serde_json::json!({})) });
        let data = Value::Null;
        assert_eq!(whole[2], Message::Event(Event { name: "STOP".into(), data, at_us: 2_000_005 }));
        assert!(
            matches!(&whole[3], Message::Reply { id: 2, result: Err(error) } if error.desc == "no")
        );
        for size in 1..SESSION.len() {
            assert_eq!(all(SESSION.bytes(), size), whole, "portions of {size}");
        }
    }

    #[test]
    fn what_is_no_qmp_ends_the_reading_for_good() {
        let cases = [
            ("{\n", ReadError::NotJson),
            ("hello\n", ReadError::NotJson),
            ("{}\n", ReadError::NotQmp),
            ("[1]\n", ReadError::NotQmp),
            ("{\"event\": 7}\n", ReadError::NotQmp),
            ("\u{0}\u{1}\n", ReadError::NotJson),
        ];
        for (text, error) in cases {
            let mut reader = Reader::new();
            reader.feed(text.as_bytes());
            assert_eq!(reader.next_message(), Err(error), "{text:?}");
            reader.feed(SESSION.as_bytes());
            assert_eq!(reader.next_message(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut reader = Reader::new();
        let portion = vec![b' '; 1 << 20];
        let refused = (0..64).any(|_| {
            reader.feed(&portion);
            reader.next_message() == Err(ReadError::TooLong)
        });
        assert!(refused);
        assert!(reader.bytes.is_empty());
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut reader = Reader::new();
        reader.feed("{\"return\": ".as_bytes());
        reader.feed(&[b'['; 100_000]);
        reader.feed(b"\n");
        assert_eq!(reader.next_message(), Err(ReadError::NotJson));
    }
}
