//! Messages of xenstore: sixteen bytes of head, and at most a page of what they are about.

use super::StoreError;

/// Limit: the protocol's own. A longer message ends the connection on either side.
pub const PAYLOAD_BYTES_MAX: usize = 4096;
/// The head: kind, request, transaction and length, four bytes each.
pub const HEAD_BYTES: usize = 16;

macro_rules! kinds {
    ($($Name:ident = $number:literal,)*) => {
        /// What a message is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($Name,)* }

        impl Kind {
            pub fn number(self) -> u32 {
                match self { $(Self::$Name => $number,)* }
            }

            pub fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$Name),)* _ => None }
            }
        }
    };
}

kinds! {
    Control = 0,
    Directory = 1,
    Read = 2,
    GetPermissions = 3,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Introduce = 8,
    Release = 9,
    GetDomainPath = 10,
    Write = 11,
    MakeDirectory = 12,
    Remove = 13,
    SetPermissions = 14,
    WatchEvent = 15,
    Error = 16,
    IsDomainIntroduced = 17,
    Resume = 18,
    SetTarget = 19,
    ResetWatches = 21,
    DirectoryPart = 22,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The number of a [`Kind`], known or not.
    pub kind: u32,
    pub request: u32,
    pub transaction: u32,
    pub payload: Vec<u8>,
}

impl Message {
    pub fn new(kind: Kind, request: u32, transaction: u32, payload: Vec<u8>) -> Self {
        Self { kind: kind.number(), request, transaction, payload }
    }

    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind.number()
    }

    /// The bytes on the socket, in the machine's own order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.payload.len());
        for word in [self.kind, self.request, self.transaction, len] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message. After an error there is none any more: nobody knows where it would start.
    pub fn take(&mut self) -> Result<Option<Message>, StoreError> {
        let Some(head) = self.bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let word = |at: usize| {
            let bytes = head.get(at * 4..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
        };
        let (kind, request, transaction, len) = (word(0), word(1), word(2), word(3));
        let payload_bytes = usize::try_from(len).unwrap_or(usize::MAX);
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(StoreError::TooLong(len));
        }
        let Some(payload) = self.bytes.get(HEAD_BYTES..HEAD_BYTES + payload_bytes) else {
            return Ok(None);
        };
        let payload = payload.to_vec();
        self.bytes.drain(..HEAD_BYTES + payload_bytes);
        Ok(Some(Message { kind, request, transaction, payload }))
    }
}

/// The texts of a payload, each ended by a zero byte; the last may go without.
pub fn texts(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let payload = payload.strip_suffix(b"\0").unwrap_or(payload);
    let empty = payload.is_empty();
    payload.split(|byte| *byte == 0).filter(move |_| !empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let messages = [
            Message::new(Kind::Read, 7, 0, b"/local/domain/0/name\0".to_vec()),
            Message::new(Kind::WatchEvent, 0, 0, b"@releaseDomain\0d\0".to_vec()),
            Message { kind: 99, ..Message::default() },
        ];
        let bytes: Vec<u8> = messages.iter().flat_map(Message::to_bytes).collect();
        for step in 1..20 {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in bytes.chunks(step) {
                decoder.push(part);
                while let Some(message) = decoder.take().expect("whole") {
                    found.push(message);
                }
            }
            assert_eq!(found, messages);
        }
    }

    #[test]
    fn a_message_longer_than_a_page_is_refused_before_it_is_there() {
        let mut decoder = Decoder::default();
        let head = [2_u32, 1, 0, 4097].map(u32::to_ne_bytes).concat();
        decoder.push(&head);
        assert_eq!(decoder.take(), Err(StoreError::TooLong(4097)));
    }

    #[test]
    fn payloads_are_split_at_their_zeros() {
        let all = |payload| texts(payload).collect::<Vec<_>>();
        assert_eq!(all(b""), [b""; 0]);
        assert_eq!(all(b"a\0b\0"), [b"a", b"b"]);
        assert_eq!(all(b"a\0b"), [b"a", b"b"]);
        assert_eq!(all(b"a\0\0"), [&b"a"[..], b""]);
    }
}
