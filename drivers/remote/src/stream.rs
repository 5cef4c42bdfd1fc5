//! A daemon's stream as the seam wants it.

use std::os::fd::BorrowedFd;

use virt_client::{ClientStream, Taken};
use virt_driver::{Received, Stream};
use virt_error::Result;

/// A stream over the wire; its descriptor becomes readable when something came.
pub(crate) struct RemoteStream(pub(crate) ClientStream);

impl Stream for RemoteStream {
    fn recv(&self, buffer: &mut [u8]) -> Result<Received> {
        Ok(match self.0.take(buffer)? {
            Taken::Data(count) => Received::Data(count),
            Taken::Hole(length) => Received::Hole(length),
            Taken::Nothing => Received::Pending,
            Taken::End => Received::End,
        })
    }

    fn send(&self, data: &[u8]) -> Result<usize> {
        self.0.send(data)
    }

    fn send_hole(&self, length: u64) -> Result<()> {
        self.0.send_hole(length)
    }

    fn finish(&self) -> Result<()> {
        self.0.finish()
    }

    fn abort(&self) {
        self.0.abort();
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.poll_fd())
    }
}
