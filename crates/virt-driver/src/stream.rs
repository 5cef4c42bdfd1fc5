//! Streams: bytes that flow after a call, such as a console or a volume's content.
//!
//! The driver gives one end; whoever made the call owns the pump. Nothing is pushed: the pump asks
//! for data only when its other side can take it, and that is the whole flow control. A stream that
//! can wait has a descriptor to poll; one without never waits longer than a disk does.

use std::os::fd::BorrowedFd;

use virt_error::Result;

/// One end of a stream. All methods may be called from several threads.
pub trait Stream: Send + Sync {
    /// Reads what is there. Never waits when [`Stream::poll_fd`] gives a descriptor.
    fn recv(&self, buffer: &mut [u8]) -> Result<Received>;

    /// Writes some of `data` and says how much; 0 means that it must be tried again later.
    fn send(&self, data: &[u8]) -> Result<usize>;

    /// Writes a hole of `length` bytes, where the stream can have holes.
    fn send_hole(&self, _length: u64) -> Result<()> {
        crate::unsupported()
    }

    /// Ends the stream: everything sent must have arrived, or this is an error.
    fn finish(&self) -> Result<()>;

    /// Gives the stream up.
    fn abort(&self);

    /// What to poll while [`Received::Pending`] or a `send` of 0 bytes holds things up.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Leaves word to be called when the stream changes and its descriptor does not show it.
    fn on_change(&self, _wake: Box<dyn Fn() + Send + Sync>) {}
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes are in the buffer; never 0.
    Data(usize),
    /// So many zero bytes follow.
    Hole(u64),
    /// No data yet.
    Pending,
    End,
}
