//! Writes XDR values, refusing what the other side would refuse.

use crate::XdrError;

/// A growing message.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    data: Vec<u8>,
}

/// Limit: room made ahead for a list.
const ROOM_BYTES_MAX: usize = 1 << 20;

type Result<T> = std::result::Result<T, XdrError>;

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that continues `data`.
    pub fn on(data: Vec<u8>) -> Self {
        Self { data }
    }

    pub fn into_vec(self) -> Vec<u8> {
        self.data
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.data
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Forgets everything after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.data.truncate(length);
    }

    /// Overwrites the word at `offset`, which must have been written.
    pub fn patch_u32(&mut self, offset: usize, value: u32) {
        self.data[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.data.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.data.extend_from_slice(&value.to_be_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.data.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.data.extend_from_slice(&value.to_be_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.data.extend_from_slice(&value.to_be_bytes());
    }

    pub fn flag(&mut self, value: bool) {
        self.u32(value.into());
    }

    /// Bytes as they are, without length or padding (stream payloads).
    pub fn raw(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    /// Bytes and padding, no length.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        let padding = bytes.len().wrapping_neg() % 4;
        self.data.extend_from_slice(&[0; 3][..padding]);
    }

    /// The count before a list. Makes room for short elements, so that long lists are not copied
    /// again and again as they grow.
    pub fn count(&mut self, count: usize, max: usize) -> Result<()> {
        const ELEMENT_BYTES: usize = 40;
        match u32::try_from(count) {
            Ok(word) if count <= max => {
                self.data.reserve(count.saturating_mul(ELEMENT_BYTES).min(ROOM_BYTES_MAX));
                self.u32(word);
                Ok(())
            }
            _ => Err(too_long(self.len(), count, max)),
        }
    }

    /// Counted bytes and their padding.
    pub fn bytes(&mut self, bytes: &[u8], max: usize) -> Result<()> {
        match u32::try_from(bytes.len()) {
            Ok(word) if bytes.len() <= max => {
                self.u32(word);
                self.fixed(bytes);
                Ok(())
            }
            _ => Err(too_long(self.len(), bytes.len(), max)),
        }
    }

    /// Counted text.
    pub fn string(&mut self, text: &str, max: usize) -> Result<()> {
        // A plain loop: names are short, and setting up a vector search costs more than they do.
        if text.bytes().any(|byte| byte == 0) {
            return Err(XdrError::BadText { offset: self.len() });
        }
        self.bytes(text.as_bytes(), max)
    }

    /// Counted bytes, one word each.
    pub fn octets(&mut self, bytes: &[u8], max: usize) -> Result<()> {
        self.count(bytes.len(), max)?;
        for byte in bytes {
            self.u32((*byte).into());
        }
        Ok(())
    }

    /// Counted text, one word per character. Compat: the final NUL is sent and counted.
    pub fn chars(&mut self, text: &str, max: usize) -> Result<()> {
        self.count(text.len().saturating_add(1), max)?;
        for byte in text.bytes().chain([0]) {
            self.u32(byte.into());
        }
        Ok(())
    }

    /// Text as exactly `count` words, cut or filled with NULs; the last one is always a NUL.
    pub fn chars_fixed(&mut self, text: &str, count: usize) {
        let bytes = text.bytes().take(count.saturating_sub(1));
        for byte in bytes.chain(std::iter::repeat(0)).take(count) {
            self.u32(byte.into());
        }
    }
}

fn too_long(offset: usize, length: usize, max: usize) -> XdrError {
    XdrError::TooLong { offset, length: length as u64, max }
}
