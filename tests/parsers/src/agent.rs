//! What agents in guests say: however the bytes are portioned, the same lines come out.

use driver_qemu::agent::{Line, Reader, TooLong};

pub(crate) fn check(bytes: &[u8]) {
    let Some((portions, whole)) = crate::portions(bytes) else { return };
    let at_once = read(std::iter::once(whole));
    assert_eq!(read(portions), at_once, "portions change what is read");
    for line in at_once.0 {
        if let Line::Object(value) = line {
            let again = virt_json::parse(&value.to_string());
            assert_eq!(again.as_ref(), Ok(&value), "what is passed on reads as it was meant");
        }
    }
}

fn read<'a>(portions: impl Iterator<Item = &'a [u8]>) -> (Vec<Line>, Option<TooLong>) {
    let mut reader = Reader::new();
    let mut lines = Vec::new();
    for portion in portions {
        reader.feed(portion);
        loop {
            match reader.next_line() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break,
                Err(error) => return (lines, Some(error)),
            }
        }
    }
    (lines, None)
}
