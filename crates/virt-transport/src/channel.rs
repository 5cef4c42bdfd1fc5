//! A connected way to a daemon: a socket, and what stands between it and the messages.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::fds;

/// A connected socket of any kind. Sending and receiving may happen at the same time; two who send
/// at the same time must take turns.
#[derive(Debug)]
pub struct Channel {
    /// A stream socket of whatever family: only what all of them have is asked of it.
    socket: UnixStream,
    local: bool,
}

impl Channel {
    /// A unix socket to this host: descriptors can be passed.
    pub fn local(socket: UnixStream) -> Self {
        Self { socket, local: true }
    }

    /// Any other stream socket.
    pub fn stream(socket: impl Into<OwnedFd>) -> Self {
        Self { socket: UnixStream::from(socket.into()), local: false }
    }

    /// Reads what is there, without waiting, and gives the bytes to `feed`. 0 means the end.
    pub fn receive(
        &self,
        scratch: &mut [u8],
        passed: &mut Vec<OwnedFd>,
        mut feed: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        let count = fds::receive(self.socket.as_fd(), scratch, passed)?;
        feed(scratch.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Writes a whole message and the descriptors that belong to it.
    pub fn send(&self, message: &[u8], passed: &[OwnedFd]) -> io::Result<()> {
        if !passed.is_empty() && !self.local {
            return Err(io::ErrorKind::Unsupported.into());
        }
        (&self.socket).write_all(message)?;
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

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
