//! Frames: however the bytes are portioned, the same messages come out, and each is written back
//! as it came.

use virt_wire::{FrameReader, Header, Message};

pub(crate) fn check(bytes: &[u8]) {
    let Some((portions, whole)) = crate::portions(bytes) else { return };
    let at_once = read(std::iter::once(whole));
    assert_eq!(read(portions), at_once, "portions change what is read");
    let mut written = Vec::new();
    for message in &at_once.0 {
        let mut writer = message.header.start();
        writer.raw(&message.payload);
        written.extend(Header::finish(writer).expect("what was read is within the limits"));
    }
    assert!(whole.starts_with(&written), "a message is not written back as it came");
}

/// All whole messages, and whether the stream broke after them.
fn read<'a>(portions: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, bool) {
    let mut reader = FrameReader::new();
    let mut messages = Vec::new();
    for portion in portions {
        reader.feed(portion);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}
