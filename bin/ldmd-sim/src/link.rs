//! A client's connection: bytes in and out, plain or encrypted, never waiting without an end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustls::{ServerConfig, ServerConnection};

/// How long a client may leave what it is sent.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// Bytes taken in one read.
const READ_BYTES: usize = 1 << 16;

/// How long a client may take to agree on encryption.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Link {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// What came with the end of the handshake.
    early: Vec<u8>,
}

/// What there is to do.
pub(crate) struct Ready {
    pub(crate) input: bool,
    pub(crate) events: bool,
}

impl Link {
    pub(crate) fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_MAX))?;
        Ok(Self { socket, tls: None, early: Vec::new() })
    }

    /// Encrypts everything from here on.
    pub(crate) fn secure(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        self.socket.set_read_timeout(Some(HANDSHAKE_MAX))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut self.socket)?;
        }
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        self.socket.set_read_timeout(None)?;
        drain(&mut tls, &mut self.early)?;
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// Waits for input, or for `wake`, for at most `limit`; neither is ready when it is over.
    pub(crate) fn wait(&self, wake: BorrowedFd<'_>, limit: Duration) -> io::Result<Ready> {
        if !self.early.is_empty() {
            return Ok(Ready { input: true, events: false });
        }
        let mut fds = [
            PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
        ];
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [input, events] = fds.map(|fd| !fd.revents().is_empty());
        Ok(Ready { input, events })
    }

    /// Takes what came; false at the end. To be called when there is input only.
    pub(crate) fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        if !self.early.is_empty() {
            into.append(&mut self.early);
            return Ok(true);
        }
        let Some(tls) = &mut self.tls else {
            let mut bytes = [0; READ_BYTES];
            let count = self.socket.read(&mut bytes)?;
            into.extend_from_slice(bytes.get(..count).unwrap_or_default());
            return Ok(count > 0);
        };
        if tls.read_tls(&mut self.socket)? == 0 {
            return Ok(false);
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        let goes_on = drain(tls, into)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(goes_on || !into.is_empty())
    }

    /// Sends all of it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.socket.write_all(bytes) };
        tls.writer().write_all(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

/// Takes what is decrypted; false if the client said that nothing more comes.
fn drain(tls: &mut ServerConnection, into: &mut Vec<u8>) -> io::Result<bool> {
    match tls.reader().read_to_end(into) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}
