//! What an LDoms Manager sends: cut the same however it is portioned, and printed as it was read.

use driver_ldoms::message::{Message, Stanza, StanzaError, StanzaReader};

/// The stream: the same stanzas come out of any portions.
pub(crate) fn stanza(bytes: &[u8]) {
    let Some((portions, whole)) = crate::portions(bytes) else { return };
    let at_once = cut(std::iter::once(whole));
    assert_eq!(cut(portions), at_once, "portions change what is read");
    for stanza in at_once.0 {
        if let Stanza::Element(text) = stanza {
            message(text.as_bytes());
        }
    }
}

fn cut<'a>(portions: impl Iterator<Item = &'a [u8]>) -> (Vec<Stanza>, Option<StanzaError>) {
    let mut reader = StanzaReader::default();
    let mut stanzas = Vec::new();
    for portion in portions {
        reader.push(portion);
        loop {
            match reader.next() {
                Ok(Some(stanza)) => stanzas.push(stanza),
                Ok(None) => break,
                Err(error) => return (stanzas, Some(error)),
            }
        }
    }
    (stanzas, None)
}

/// A document: what is printed is read again, and from then on stays the same.
pub(crate) fn message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(message) = Message::parse(text) else { return };
    let _ = message.verdict();
    let once = again(&message);
    let data = once.commands.iter().flat_map(|command| &command.data).chain(&once.loose);
    // The older form names elements after resources, so a resource can be named like anything.
    if data.clone().all(|data| !data.is_legacy()) {
        assert_eq!(again(&once), once, "printing is not stable");
    }
}

fn again(message: &Message) -> Message {
    let printed = message.print();
    match Message::parse(&printed) {
        Ok(message) => message,
        Err(error) => panic!("what was printed is not read: {error}\n{printed}"),
    }
}
