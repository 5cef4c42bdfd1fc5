//! Xenstore's messages: what comes out is what went in, however it was cut.

use driver_xen::xenstore::wire::{Decoder, HEAD_BYTES, PAYLOAD_BYTES_MAX, texts};

use crate::portions;

pub(crate) fn check(bytes: &[u8]) {
    let Some((portions, whole)) = portions(bytes) else { return };
    let mut decoder = Decoder::default();
    let mut taken = 0;
    for portion in portions {
        decoder.push(portion);
        loop {
            match decoder.take() {
                Ok(None) => break,
                Err(_) => return,
                Ok(Some(message)) => {
                    assert!(message.payload.len() <= PAYLOAD_BYTES_MAX);
                    let again = message.to_bytes();
                    assert_eq!(whole.get(taken..taken + again.len()), Some(&again[..]));
                    assert!(texts(&message.payload).count() <= message.payload.len());
                    taken += HEAD_BYTES + message.payload.len();
                }
            }
        }
    }
}
