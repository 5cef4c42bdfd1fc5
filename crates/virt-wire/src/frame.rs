//! Frames: the length word, the header, and a reader that cuts a byte stream into messages.

use virt_xdr::{Reader, Writer, XdrError};

/// Limit: the protocol's largest message, its length word included.
pub const MESSAGE_BYTES_MAX: usize = 33_554_432 + LENGTH_BYTES;
/// The header after the length word.
pub const HEADER_BYTES: usize = 24;
/// Limit: the largest payload that libvirt before 0.9.13 takes, and of one stream message.
pub const LEGACY_PAYLOAD_BYTES_MAX: usize = 262_120;
/// Limit: data in one stream message.
pub const STREAM_DATA_BYTES_MAX: usize = LEGACY_PAYLOAD_BYTES_MAX;
/// Limit: descriptors passed with one message.
pub const MESSAGE_FDS_MAX: usize = 32;

const LENGTH_BYTES: usize = 4;
const MESSAGE_BYTES_MIN: usize = LENGTH_BYTES + HEADER_BYTES;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum MessageType {
    Call = 0,
    Reply = 1,
    /// An event, or any message that nobody answers.
    Message = 2,
    Stream = 3,
    CallWithFds = 4,
    ReplyWithFds = 5,
    StreamHole = 6,
}

/// Whether a message brings a result, an error or more of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum MessageStatus {
    Ok = 0,
    Error = 1,
    Continue = 2,
}

/// The six words before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub program: u32,
    pub version: u32,
    pub procedure: u32,
    pub kind: MessageType,
    /// Chosen by the caller and repeated in the answer; 0 in events.
    pub serial: u32,
    pub status: MessageStatus,
}

impl Header {
    pub fn call(program: u32, version: u32, procedure: u32, serial: u32) -> Self {
        let (kind, status) = (MessageType::Call, MessageStatus::Ok);
        Self { program, version, procedure, kind, serial, status }
    }

    /// The header of the answer to this call.
    #[must_use]
    pub fn reply(self, status: MessageStatus) -> Self {
        Self { kind: MessageType::Reply, status, ..self }
    }

    /// The header of a message on the stream that this call opened.
    #[must_use]
    pub fn stream(self, status: MessageStatus) -> Self {
        Self { kind: MessageType::Stream, status, ..self }
    }

    /// The header of an event.
    pub fn event(program: u32, version: u32, procedure: u32) -> Self {
        let (kind, status) = (MessageType::Message, MessageStatus::Ok);
        Self { program, version, procedure, kind, serial: 0, status }
    }

    pub fn encode(&self, w: &mut Writer) {
        w.u32(self.program);
        w.u32(self.version);
        w.u32(self.procedure);
        w.i32(self.kind as i32);
        w.u32(self.serial);
        w.i32(self.status as i32);
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Self, XdrError> {
        let (program, version, procedure) = (r.u32()?, r.u32()?, r.u32()?);
        let kind = match r.i32()? {
            0 => MessageType::Call,
            1 => MessageType::Reply,
            2 => MessageType::Message,
            3 => MessageType::Stream,
            4 => MessageType::CallWithFds,
            5 => MessageType::ReplyWithFds,
            6 => MessageType::StreamHole,
            other => return Err(r.bad_union(other)),
        };
        let serial = r.u32()?;
        let status = match r.i32()? {
            0 => MessageStatus::Ok,
            1 => MessageStatus::Error,
            2 => MessageStatus::Continue,
            other => return Err(r.bad_union(other)),
        };
        Ok(Self { program, version, procedure, kind, serial, status })
    }

    /// Starts a message: the length word is filled in by [`Header::finish`].
    pub fn start(&self) -> Writer {
        let mut w = Writer::on(Vec::with_capacity(256));
        w.u32(0);
        self.encode(&mut w);
        w
    }

    /// Ends a message begun with [`Header::start`] and gives its bytes.
    pub fn finish(mut w: Writer) -> Result<Vec<u8>, XdrError> {
        let length = w.len();
        match u32::try_from(length) {
            Ok(word) if length <= MESSAGE_BYTES_MAX => {
                w.patch_u32(0, word);
                Ok(w.into_vec())
            }
            _ => {
                Err(XdrError::TooLong { offset: 0, length: length as u64, max: MESSAGE_BYTES_MAX })
            }
        }
    }
}

/// One whole message: its header and its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub header: Header,
    pub payload: Vec<u8>,
}

/// Cuts a stream of bytes into messages.
///
/// Limit: memory grows with the bytes that arrive, never with the length that is claimed.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that were handed out already.
    used: usize,
}

impl FrameReader {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        } else if self.used > 65_536 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(bytes);
        // A single large message must not keep its memory for the rest of the connection.
        if self.buffer.len() < 65_536 && self.buffer.capacity() > 1 << 20 {
            self.buffer.shrink_to(65_536);
        }
    }

    /// Bytes that wait for the rest of their message.
    pub fn pending(&self) -> usize {
        self.buffer.len().saturating_sub(self.used)
    }

    /// Drops up to `count` bytes that are no part of a message: each descriptor that follows one
    /// comes with such a byte. Says how many were there.
    pub fn skip(&mut self, count: usize) -> usize {
        let skipped = count.min(self.pending());
        self.used = self.used.saturating_add(skipped);
        skipped
    }

    /// The next whole message. An error is final: the stream cannot be cut any further.
    pub fn next_message(&mut self) -> Result<Option<Message>, XdrError> {
        self.next_message_below(MESSAGE_BYTES_MAX)
    }

    /// The same for a reader that takes no message above `bytes_max`, its length word included.
    pub fn next_message_below(&mut self, bytes_max: usize) -> Result<Option<Message>, XdrError> {
        let bytes_max = bytes_max.min(MESSAGE_BYTES_MAX);
        let waiting = self.buffer.get(self.used..).unwrap_or_default();
        if waiting.len() < LENGTH_BYTES {
            return Ok(None);
        }
        let length = usize::try_from(Reader::new(waiting).u32()?).unwrap_or(usize::MAX);
        if !(MESSAGE_BYTES_MIN..=bytes_max).contains(&length) {
            return Err(XdrError::TooLong { offset: 0, length: length as u64, max: bytes_max });
        }
        let Some(frame) = waiting.get(LENGTH_BYTES..length) else { return Ok(None) };
        let mut r = Reader::new(frame);
        let header = Header::decode(&mut r)?;
        let payload = r.rest().to_vec();
        self.used = self.used.saturating_add(length);
        Ok(Some(Message { header, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(serial: u32) -> Vec<u8> {
        let mut w = Header::call(7, 1, 2, serial).start();
        w.u32(serial);
        Header::finish(w).unwrap()
    }

    #[test]
    fn messages_are_cut_wherever_the_bytes_are_split() {
        let bytes: Vec<u8> = (1..4).flat_map(ping).collect();
        for step in 1..bytes.len() {
            let mut reader = FrameReader::new();
            let mut serials = Vec::new();
            for part in bytes.chunks(step) {
                reader.feed(part);
                while let Some(message) = reader.next_message().unwrap() {
                    assert_eq!(message.payload.len(), 4);
                    serials.push(message.header.serial);
                }
            }
            assert_eq!(serials, [1, 2, 3], "step {step}");
            assert_eq!(reader.pending(), 0);
        }
    }

    #[test]
    fn absurd_lengths_are_refused_at_once() {
        for length in [0_u32, 4, 27, 33_554_437, u32::MAX] {
            let mut reader = FrameReader::new();
            reader.feed(&length.to_be_bytes());
            assert!(reader.next_message().is_err(), "{length}");
        }
    }
}
