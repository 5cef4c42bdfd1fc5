//! What a client is still to be sent: written at once where its socket takes it, else kept.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::SendFlags;

/// Limit: streams are read on only while less than this waits for the client. It is less than makes
/// the daemon read no more calls: a client that is slow to read streams can still call.
pub(crate) const STREAM_BACKLOG_BYTES_MAX: usize = 1 << 20;
/// Limit: messages are joined to one write up to this size.
const JOINED_BYTES_MAX: usize = 64 << 10;
/// What a descriptor counts for: there are fewer of them than bytes.
const FD_COST_BYTES: usize = 16 << 10;

/// Messages in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What goes first. Mostly it is all there is, and then nothing is left of it.
    first: Bytes,
    /// What comes behind it: mostly nothing, and then no room is taken for it.
    behind: Option<Box<Behind>>,
    cost: usize,
    /// Nothing is written before all of a batch is queued.
    held: bool,
    /// Something was written since [`Outbox::take_moved`].
    moved: bool,
}

#[derive(Debug, Default)]
struct Behind(VecDeque<Item>);

#[derive(Debug, Default)]
struct Bytes {
    bytes: Vec<u8>,
    sent: usize,
}

#[derive(Debug)]
enum Item {
    Bytes(Bytes),
    /// Compat: each descriptor follows its message with one zero byte of its own.
    Fd(OwnedFd),
}

impl Outbox {
    /// What waits, in bytes; a descriptor counts for many.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.bytes.is_empty() && self.behind.is_none()
    }

    /// Whether the other side took anything since this was asked last.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Until [`Outbox::release`], messages are only queued.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// Ends a batch and writes what the socket takes.
    pub(crate) fn release(&mut self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        self.held = false;
        self.flush(socket)
    }

    /// Sends a message, or queues what of it the socket does not take.
    pub(crate) fn push(
        &mut self,
        socket: BorrowedFd<'_>,
        message: Vec<u8>,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Errno> {
        self.cost += message.len() + fds.len() * FD_COST_BYTES;
        let last = match self.behind.as_mut().and_then(|behind| behind.0.back_mut()) {
            None => Some(&mut self.first),
            Some(Item::Bytes(bytes)) => Some(bytes),
            Some(Item::Fd(_)) => None,
        };
        match last {
            Some(last) if last.bytes.is_empty() => last.bytes = message,
            Some(last) if last.bytes.len() + message.len() <= JOINED_BYTES_MAX => {
                last.bytes.extend_from_slice(&message);
            }
            _ => self.queue().push_back(Item::Bytes(Bytes { bytes: message, sent: 0 })),
        }
        if !fds.is_empty() {
            self.queue().extend(fds.into_iter().map(Item::Fd));
        }
        if self.held { Ok(()) } else { self.flush(socket) }
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        loop {
            while !self.first.bytes.is_empty() {
                let rest = self.first.bytes.get(self.first.sent..).unwrap_or_default();
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                match rustix::net::send(socket, rest, flags) {
                    Ok(count) => {
                        self.took(count);
                        self.first.sent += count;
                        if self.first.sent >= self.first.bytes.len() {
                            self.first = Bytes::default();
                        }
                    }
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            match self.behind.as_mut().and_then(|behind| behind.0.pop_front()) {
                None => {
                    self.behind = None;
                    return Ok(());
                }
                Some(Item::Bytes(bytes)) => self.first = bytes,
                Some(Item::Fd(fd)) => match virt_transport::fds::send_fd(socket, fd.as_fd()) {
                    Ok(()) => self.took(FD_COST_BYTES),
                    // Order: nothing behind it goes before it.
                    Err(error) => {
                        self.queue().push_front(Item::Fd(fd));
                        match error {
                            Errno::AGAIN => return Ok(()),
                            Errno::INTR => {}
                            error => return Err(error),
                        }
                    }
                },
            }
        }
    }

    fn queue(&mut self) -> &mut VecDeque<Item> {
        &mut self.behind.get_or_insert_default().0
    }

    fn took(&mut self, cost: usize) {
        self.cost = self.cost.saturating_sub(cost);
        self.moved = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_a_full_socket_does_not_take_is_sent_later_in_order() {
        let (near, mut far) = UnixStream::pair().expect("pair");
        let mut outbox = Outbox::default();
        let message: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
        outbox.push(near.as_fd(), message.clone(), Vec::new()).expect("push");
        outbox.push(near.as_fd(), b"end".to_vec(), Vec::new()).expect("push");
        assert!(outbox.cost() > 3);
        let mut got = Vec::new();
        let mut part = vec![0; 1 << 16];
        while got.len() < message.len() + 3 {
            let count = far.read(&mut part).expect("read");
            got.extend_from_slice(&part[..count]);
            outbox.flush(near.as_fd()).expect("flush");
        }
        assert!(outbox.is_empty());
        assert_eq!(outbox.cost(), 0);
        assert_eq!((&got[..message.len()], &got[message.len()..]), (&message[..], &b"end"[..]));
    }

    #[test]
    fn a_batch_is_written_at_its_end() {
        let (near, far) = UnixStream::pair().expect("pair");
        far.set_nonblocking(true).expect("nonblocking");
        let mut outbox = Outbox::default();
        outbox.hold();
        outbox.push(near.as_fd(), b"ab".to_vec(), Vec::new()).expect("push");
        outbox.push(near.as_fd(), b"cd".to_vec(), Vec::new()).expect("push");
        let mut got = [0; 8];
        assert!((&far).read(&mut got).is_err());
        outbox.release(near.as_fd()).expect("release");
        assert_eq!((&far).read(&mut got).expect("read"), 4);
        assert_eq!(&got[..4], b"abcd");
    }
}
