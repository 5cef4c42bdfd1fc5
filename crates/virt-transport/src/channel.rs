//! A connected way to a daemon: a socket, and what stands between it and the messages.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use virt_error::{Code, Error, Origin, Result};

use crate::fds;
use crate::sasl::Layer;
use crate::tls::{Session, WELCOME};
use crate::tunnel::{self, Tunnel};
use crate::{Target, Transport};

/// Limit: how long a daemon may take to answer in a handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(60);

const HANDSHAKE_READ_BYTES: usize = 16 << 10;

/// A connected socket of any kind. Sending and receiving may happen at the same time; two who send
/// at the same time must take turns.
#[derive(Debug)]
pub struct Channel {
    /// A stream socket of whatever family: only what all of them have is asked of it.
    socket: UnixStream,
    local: bool,
    tls: Option<Mutex<Session>>,
    /// What an exchange by SASL ended in, where it encrypts.
    layer: OnceLock<Mutex<Layer>>,
    /// The program that carries the bytes, where one does.
    tunnel: Option<Mutex<Tunnel>>,
}

impl Channel {
    /// A unix socket to this host: descriptors can be passed.
    pub fn local(socket: UnixStream) -> Self {
        Self { socket, local: true, tls: None, layer: OnceLock::new(), tunnel: None }
    }

    /// Any other stream socket.
    pub fn stream(socket: impl Into<OwnedFd>) -> Self {
        let socket = UnixStream::from(socket.into());
        Self { socket, local: false, tls: None, layer: OnceLock::new(), tunnel: None }
    }

    /// Through `ssh`, or another program that the URI names.
    pub fn through_program(target: &Target) -> Result<Self> {
        let (tunnel, socket) = match target.transport {
            Transport::Ext => tunnel::ext(target)?,
            _ => tunnel::ssh(target)?,
        };
        Ok(Self { tunnel: Some(Mutex::new(tunnel)), ..Self::stream(socket) })
    }

    /// Why the conversation is over: what the program between complained about, or the error.
    pub fn broken(&self, error: &io::Error, what: &str) -> Error {
        let Some(tunnel) = &self.tunnel else { return Error::io(Origin::Rpc, error, what) };
        let complaint = tunnel.lock().unwrap_or_else(PoisonError::into_inner).complaint();
        // Compat: always as if it had been read, and had been cut off.
        let cut_off = io::Error::from(rustix::io::Errno::CONNRESET);
        Error::io(Origin::Rpc, &cut_off, format_args!("Cannot recv data: {}", complaint.trim_end()))
    }

    /// An encrypted conversation with a daemon that lets us in.
    pub fn secure(socket: TcpStream, mut session: Session) -> Result<Self> {
        let failed = |error: io::Error| Error::io(Origin::Rpc, &error, "TLS handshake failed");
        socket.set_read_timeout(Some(HANDSHAKE_MAX)).map_err(failed)?;
        let mut said = Vec::new();
        let mut raw = [0; HANDSHAKE_READ_BYTES];
        loop {
            (&socket).write_all(&session.take_output()).map_err(failed)?;
            if let (false, Some(&word)) = (session.is_handshaking(), said.first()) {
                if word != WELCOME {
                    return Err(unwelcome());
                }
                break;
            }
            let count = match (&socket).read(&mut raw) {
                Ok(0) if !session.is_handshaking() => return Err(unconfirmed()),
                Err(_) if !session.is_handshaking() => return Err(unconfirmed()),
                read => read.map_err(failed)?,
            };
            let came = raw.get(..count).unwrap_or_default();
            if count == 0 {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Err(error) = session.receive(came, |plain| said.extend_from_slice(plain)) {
                let _ = (&socket).write_all(&session.take_output());
                // What the other side has against us is all the same; what we have against it is not.
                let about_us = !session.is_handshaking() || error.is_alert();
                return Err(if about_us { unconfirmed() } else { error.into_public() });
            }
        }
        socket.set_read_timeout(None).map_err(failed)?;
        Ok(Self { tls: Some(Mutex::new(session)), ..Self::stream(socket) })
    }

    /// From now on all that is sent and received is sealed by SASL. Called while nothing else is.
    pub fn seal(&self, layer: Layer) {
        // One exchange ends in one layer.
        let _ = self.layer.set(Mutex::new(layer));
    }

    /// Reads what is there, without waiting, and gives the bytes to `feed`. 0 means the end.
    pub fn receive(
        &self,
        scratch: &mut [u8],
        passed: &mut Vec<OwnedFd>,
        mut feed: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        let count = fds::receive(self.socket.as_fd(), scratch, passed)?;
        let raw = scratch.get(..count).unwrap_or_default();
        if let Some(layer) = self.layer.get() {
            lock(layer).receive(raw, feed).map_err(io::Error::other)?;
            return Ok(count);
        }
        match &self.tls {
            None => feed(raw),
            Some(tls) => {
                lock(tls).receive(raw, feed).map_err(io::Error::other)?;
            }
        }
        Ok(count)
    }

    /// Writes a whole message and the descriptors that belong to it.
    pub fn send(&self, message: &[u8], passed: &[OwnedFd]) -> io::Result<()> {
        if !passed.is_empty() && !self.local {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // Order: whoever sends has its turn until all is written; so what is sealed first is written
        // first.
        let sealed = match (&self.tls, self.layer.get()) {
            (_, Some(layer)) => Some(lock(layer).send(message).map_err(io::Error::other)?),
            (Some(tls), None) => Some(lock(tls).send(message)),
            (None, None) => None,
        };
        (&self.socket).write_all(sealed.as_deref().unwrap_or(message))?;
        for fd in passed {
            fds::send_fd_waiting(self.socket.as_fd(), fd.as_fd())?;
        }
        Ok(())
    }

    /// Ends the connection both ways.
    pub fn shutdown(&self) {
        // Whoever hung up first does not matter.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Compat: what clients are told when a daemon takes neither their certificate nor their name.
fn unwelcome() -> Error {
    let detail = "server verification (of our certificate or IP address) failed";
    Error::new(Code::Rpc, Origin::Rpc, detail)
}

/// Compat: the same for one that hangs up or complains instead of saying so.
fn unconfirmed() -> Error {
    let gone = io::Error::from(rustix::io::Errno::IO);
    Error::io(Origin::Rpc, &gone, "Unable to read TLS confirmation")
}

fn lock<T>(session: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
