//! The encrypted conversation with one client: loop and workers share it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use virt_transport::sasl::Layer;
use virt_transport::tls::{Session, WELCOME};

use crate::calls::Server;
use crate::client::{Client, lock};
use crate::entry::Auth;

/// A client's encryption.
pub(crate) enum Secure {
    Tls(Box<Tls>),
    Sasl(Sasl),
}

pub(crate) struct Tls {
    session: Mutex<Session>,
    /// The client has shown a certificate that lets it in.
    welcome: AtomicBool,
}

/// What an exchange by SASL ended in.
pub(crate) struct Sasl {
    layer: Mutex<Layer>,
    /// The answer that ended the exchange has been sent, in the clear: what follows is sealed.
    speaks: AtomicBool,
}

impl Secure {
    pub(crate) fn tls(session: Session) -> Self {
        Self::Tls(Box::new(Tls { session: Mutex::new(session), welcome: AtomicBool::new(false) }))
    }

    pub(crate) fn sasl(layer: Layer) -> Self {
        Self::Sasl(Sasl { layer: Mutex::new(layer), speaks: AtomicBool::new(false) })
    }

    /// What goes over the socket for a message; nothing where it cannot be sealed.
    ///
    /// Order: called with the outbox locked, which keeps what is sealed in order.
    pub(crate) fn seal(&self, plain: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Tls(tls) => Some(lock(&tls.session).send(&plain)),
            Self::Sasl(sasl) if !sasl.speaks.swap(true, Ordering::AcqRel) => Some(plain),
            Self::Sasl(sasl) => lock(&sasl.layer).send(&plain).ok(),
        }
    }

    /// What the conversation itself has to say.
    pub(crate) fn take_output(&self) -> Vec<u8> {
        match self {
            Self::Tls(tls) => lock(&tls.session).take_output(),
            Self::Sasl(_) => Vec::new(),
        }
    }

    /// Takes what came over the socket. The error is why the client is not let in.
    pub(crate) fn open(
        &self,
        server: &Server,
        client: &Client,
        raw: &[u8],
        feed: impl FnMut(&[u8]),
    ) -> Result<(), String> {
        match self {
            Self::Tls(tls) => tls.open(server, client, raw, feed),
            Self::Sasl(sasl) => {
                lock(&sasl.layer).receive(raw, feed).map_err(|error| error.to_string())
            }
        }
    }
}

impl Tls {
    fn open(
        &self,
        server: &Server,
        client: &Client,
        raw: &[u8],
        feed: impl FnMut(&[u8]),
    ) -> Result<(), String> {
        let mut session = lock(&self.session);
        let received = session.receive(raw, feed);
        let judged = if session.is_handshaking() || self.welcome.load(Ordering::Acquire) {
            None
        } else {
            Some(session.verified_peer())
        };
        drop(session);
        // Whatever went wrong, the other side is told.
        client.send_sealed();
        received.map_err(|error| error.to_string())?;
        if let Some(judged) = judged {
            let name = judged.map_err(|error| error.to_string())?;
            self.welcome.store(true, Ordering::Release);
            self.admit(server, client, name)?;
        }
        Ok(())
    }

    /// The handshake is over: whether this one may come in.
    fn admit(&self, server: &Server, client: &Client, name: Option<String>) -> Result<(), String> {
        if let Some(name) = &name
            && !server.settings.entries.admits_certificate(name)
        {
            return Err(format!(
                "Distinguished Name '{name}' is not on the list of allowed clients"
            ));
        }
        if name.is_some() {
            client.session().shown().x509_name = name;
        }
        client.send(vec![WELCOME], Vec::new());
        if client.arrival.auth == Auth::None {
            client.admit(&server.crowd);
        }
        Ok(())
    }
}
