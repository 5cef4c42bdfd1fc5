//! QMP: however the bytes are portioned, the same messages come out.

use driver_qemu::monitor::{Message, ReadError, Reader};

pub(crate) fn check(bytes: &[u8]) {
    let Some((portions, whole)) = crate::portions(bytes) else { return };
    let at_once = read(std::iter::once(whole));
    assert_eq!(read(portions), at_once, "portions change what is read");
}

fn read<'a>(portions: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Option<ReadError>) {
    let mut reader = Reader::new();
    let mut messages = Vec::new();
    for portion in portions {
        reader.feed(portion);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
