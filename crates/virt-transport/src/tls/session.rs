//! One encrypted conversation, fed with bytes and asked for bytes: it touches no socket.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::Connection;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;

use virt_error::{Code, Error, Origin};

use super::name;

/// Why a conversation ends.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The other side's certificate is not good.
    #[error("{0}")]
    Peer(String),
    /// The other side gave up.
    #[error("{0}")]
    Alert(String),
    #[error("{0}")]
    Other(String),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        let text = error.to_string();
        match error {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Self::Peer(text)
            }
            rustls::Error::AlertReceived(_) => Self::Alert(text),
            _ => Self::Other(text),
        }
    }
}

impl TlsError {
    /// As the public error of a client whose handshake failed.
    pub(crate) fn into_public(self) -> Error {
        match self {
            // Compat: why is in the hint; the words are the same for every reason.
            Self::Peer(reason) => {
                Error::new(Code::AuthFailed, Origin::Rpc, "Failed to verify peer's certificate")
                    .with_hint(reason)
            }
            Self::Alert(reason) | Self::Other(reason) => {
                let detail = format!("TLS handshake failed {reason}");
                Error::new(Code::GnutlsError, Origin::Rpc, detail)
            }
        }
    }

    /// Whether the other side complained about us.
    pub(crate) fn is_alert(&self) -> bool {
        matches!(self, Self::Alert(_))
    }
}

/// Plaintext is taken out in pieces of this size.
const PIECE_BYTES: usize = 16 << 10;

/// One side's state.
pub struct Session {
    connection: Connection,
    /// Judges the other side once the handshake is over.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Session {
    pub(super) fn new(
        mut connection: Connection,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Self {
        // What is written is taken out at once: nothing piles up in it.
        connection.set_buffer_limit(None);
        Self { connection, verifier }
    }

    /// Takes what came from the socket and gives what it means to `plain`. False after the other
    /// side said that it sends no more. What is to be answered waits in [`Session::take_output`],
    /// even after an error.
    pub fn receive(
        &mut self,
        mut raw: &[u8],
        mut plain: impl FnMut(&[u8]),
    ) -> Result<bool, TlsError> {
        let mut piece = [0; PIECE_BYTES];
        while !raw.is_empty() {
            let failed = |error: std::io::Error| TlsError::Other(error.to_string());
            self.connection.read_tls(&mut raw).map_err(failed)?;
            let state = self.connection.process_new_packets().map_err(TlsError::from)?;
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let count = self.connection.reader().read(&mut piece).map_err(failed)?;
                plain(piece.get(..count).unwrap_or_default());
                left = left.saturating_sub(count.max(1));
            }
            if state.peer_has_closed() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What has to go over the socket for this plaintext, and whatever else is due.
    pub fn send(&mut self, plain: &[u8]) -> Vec<u8> {
        // Writing into memory does not fail.
        let _ = self.connection.writer().write_all(plain);
        self.take_output()
    }

    /// What has to go over the socket.
    pub fn take_output(&mut self) -> Vec<u8> {
        let mut raw = Vec::new();
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut raw).is_err() {
                break;
            }
        }
        raw
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The name in the other side's certificate, which is good; nothing where none is wanted.
    pub fn verified_peer(&self) -> Result<Option<String>, TlsError> {
        let Some(verifier) = &self.verifier else { return Ok(None) };
        let shown = self.connection.peer_certificates().unwrap_or_default();
        let Some((own, others)) = shown.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented.into());
        };
        verifier.verify_client_cert(own, others, UnixTime::now())?;
        let name = name::distinguished(own);
        name.map(Some).ok_or_else(|| TlsError::Peer("its name cannot be read".to_owned()))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("handshaking", &self.is_handshaking()).finish()
    }
}
