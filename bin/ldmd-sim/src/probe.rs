//! The manager without connections: bytes in, answers out, for the fuzzer.

use std::time::Duration;

use crate::manager::{Caller, Manager};
use crate::options::{ConsolePorts, Settings};
use crate::stanza::{Piece, Splitter};

/// What a new manager answers to these bytes; nothing after the first that cannot be read.
pub fn answers<'a>(portions: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut settings =
        Settings { has_tls: false, console_ports: ConsolePorts::Chosen, ..Settings::default() };
    settings.live.migrate_delay = Duration::ZERO;
    let manager = Manager::new(settings).expect("the machine is large enough");
    let mailbox = manager.bus.join().expect("a descriptor");
    let caller = Caller { name: "probe", may_write: true, mailbox: &mailbox };
    let mut splitter = Splitter::default();
    let mut found = Vec::new();
    for portion in portions {
        splitter.push(portion);
        while let Some(piece) = splitter.next() {
            let text = match &piece {
                Piece::Stanza(text) => Some(text.as_str()),
                Piece::Broken(_) => None,
                Piece::Header | Piece::End => continue,
            };
            let reply = manager.answer(text, &caller);
            let answer = reply.delivery.writes.concat();
            found.push(String::from_utf8(answer).expect("answers are text"));
            if text.is_none() {
                return found;
            }
        }
    }
    found
}
