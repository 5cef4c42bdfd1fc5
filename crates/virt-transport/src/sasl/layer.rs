//! The security layer that an exchange may end in: all that is said after it, sealed in pieces.
//!
//! ```text
//! 4 bytes: how many follow │ a sealed piece
//! ```

use super::SaslError;

/// Limit: one sealed piece, which the exchange tells the other side.
pub(super) const PIECE_BYTES_MAX: usize = 64 << 10;
/// What sealing adds at most, with room to spare.
const SEAL_BYTES_MAX: usize = 256;
const LENGTH_BYTES: usize = 4;

/// What a mechanism makes of a piece.
pub trait Seal: Send {
    fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, SaslError>;
    /// Refuses what the other side did not say, or did not say now.
    fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, SaslError>;
}

/// One side's state.
pub struct Layer {
    seal: Box<dyn Seal>,
    plain_bytes_max: usize,
    /// What came of a piece that is not whole yet.
    came: Vec<u8>,
}

impl Layer {
    /// `piece_bytes_max` is what the other side takes; nothing where that is too little to talk.
    pub fn new(seal: Box<dyn Seal>, piece_bytes_max: usize) -> Option<Self> {
        let plain_bytes_max = piece_bytes_max.min(PIECE_BYTES_MAX).checked_sub(SEAL_BYTES_MAX)?;
        (plain_bytes_max > 0).then(|| Self { seal, plain_bytes_max, came: Vec::new() })
    }

    /// What goes over the socket for these bytes.
    pub fn send(&mut self, plain: &[u8]) -> Result<Vec<u8>, SaslError> {
        let mut raw = Vec::with_capacity(plain.len().saturating_add(SEAL_BYTES_MAX));
        for piece in plain.chunks(self.plain_bytes_max) {
            let sealed = self.seal.seal(piece)?;
            let length = u32::try_from(sealed.len()).map_err(|_| too_long())?;
            raw.extend_from_slice(&length.to_be_bytes());
            raw.extend_from_slice(&sealed);
        }
        Ok(raw)
    }

    /// Takes what came over the socket and gives what it means to `plain`.
    pub fn receive(&mut self, raw: &[u8], mut plain: impl FnMut(&[u8])) -> Result<(), SaslError> {
        self.came.extend_from_slice(raw);
        let mut rest = self.came.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| too_long())?;
            if length > PIECE_BYTES_MAX {
                return Err(too_long());
            }
            let Some((sealed, behind)) = behind.split_at_checked(length) else { break };
            plain(&self.seal.open(sealed)?);
            rest = behind;
        }
        let done = self.came.len() - rest.len();
        self.came.drain(..done);
        if self.came.is_empty() {
            self.came = Vec::new();
        }
        Ok(())
    }
}

fn too_long() -> SaslError {
    SaslError::Exchange("a sealed piece that is too long".to_owned())
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer").field("plain_bytes_max", &self.plain_bytes_max).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns every bit, and numbers the pieces as a mechanism does.
    #[derive(Default)]
    struct Turned {
        sealed: u8,
        opened: u8,
    }

    impl Seal for Turned {
        fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, SaslError> {
            self.sealed = self.sealed.wrapping_add(1);
            Ok([self.sealed].into_iter().chain(plain.iter().map(|byte| !byte)).collect())
        }

        fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, SaslError> {
            self.opened = self.opened.wrapping_add(1);
            match sealed.split_first() {
                Some((number, piece)) if *number == self.opened => {
                    Ok(piece.iter().map(|byte| !byte).collect())
                }
                _ => Err(SaslError::Refused),
            }
        }
    }

    fn layer(piece_bytes_max: usize) -> Layer {
        Layer::new(Box::<Turned>::default(), piece_bytes_max).expect("enough")
    }

    fn open(layer: &mut Layer, raw: &[u8], step: usize) -> Result<Vec<u8>, SaslError> {
        let mut heard = Vec::new();
        for part in raw.chunks(step) {
            layer.receive(part, |plain| heard.extend_from_slice(plain))?;
        }
        Ok(heard)
    }

    #[test]
    fn what_is_said_is_heard_however_it_is_cut() {
        let said: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        for (piece_bytes_max, step) in [(300, 1), (4096, 7), (65536, 65536), (usize::MAX, 1000)] {
            let raw = layer(piece_bytes_max).send(&said).expect("sealed");
            assert!(!raw.windows(8).any(|part| part == &said[..8]));
            assert_eq!(open(&mut layer(4096), &raw, step).ok().as_ref(), Some(&said));
        }
        assert!(Layer::new(Box::<Turned>::default(), SEAL_BYTES_MAX).is_none());
        assert_eq!(layer(4096).send(b"").expect("nothing"), b"");
    }

    #[test]
    fn pieces_too_long_twice_said_or_in_the_clear_are_refused() {
        let raw = layer(4096).send(b"destroy").expect("sealed");
        let twice = [raw.clone(), raw.clone()].concat();
        let long = u32::try_from(PIECE_BYTES_MAX + 1).expect("small").to_be_bytes();
        for wrong in [&twice[..], &long, b"\0\0\0\x08plaintext", &[0xff; 4]] {
            assert!(open(&mut layer(4096), wrong, 3).is_err(), "{wrong:?}");
        }
        // A piece that never ends is waited for, and is no more than its length.
        let mut waits = layer(4096);
        let (head, _) = raw.split_at(raw.len() - 1);
        assert_eq!(open(&mut waits, head, 1).ok(), Some(Vec::new()));
        assert_eq!(waits.came.len(), head.len());
    }
}
