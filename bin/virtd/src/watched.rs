//! A descriptor that the loop watches, whatever it is: terminals, listeners, sets of sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::fs::OFlags;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Only readiness is ever asked of the socket that is made of the descriptor.
pub(crate) struct Watched(UnixStream);

impl Watched {
    /// Watches what does not block; called where the loop runs.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        UnixStream::from_std(fd.into()).map(Self)
    }

    /// [`Watched::new`] for what somebody else made; refused where that may block.
    pub(crate) fn clone_of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        if !rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Self::new(fd.try_clone_to_owned()?)
    }

    /// Whether something is there to be read. An error is: reading will say which.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_read_ready(cx).map(drop)
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_write_ready(cx).map(drop)
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Tells the loop that it has to become ready anew.
    pub(crate) fn drained(&self, interest: Interest) {
        let _ = self.0.try_io(interest, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
