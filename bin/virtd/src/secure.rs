//! The encrypted conversation with one client: loop and workers share it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use virt_transport::tls::{Session, WELCOME};

use crate::calls::Server;
use crate::client::{Client, lock};
use crate::entry::Auth;

/// A client's encryption.
pub(crate) struct Secure {
    session: Mutex<Session>,
    /// The client has shown a certificate that lets it in.
    welcome: AtomicBool,
}

impl Secure {
    pub(crate) fn new(session: Session) -> Self {
        Self { session: Mutex::new(session), welcome: AtomicBool::new(false) }
    }

    /// What goes over the socket for these bytes.
    ///
    /// Order: called with the outbox locked, which keeps what is sealed in order.
    pub(crate) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        lock(&self.session).send(plain)
    }

    /// What the conversation itself has to say.
    pub(crate) fn take_output(&self) -> Vec<u8> {
        lock(&self.session).take_output()
    }

    /// Takes what came over the socket. The error is why the client is not let in.
    pub(crate) fn open(
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
