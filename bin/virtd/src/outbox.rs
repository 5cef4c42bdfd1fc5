//! What a client is still to be sent: written at once where its socket takes it, else kept.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::SendFlags;

/// Limit: what may wait for a client that does not read, before an event costs it the connection.
pub(crate) const EVENT_BACKLOG_BYTES_MAX: usize = 16 << 20;
/// Streams are read on only while less than this waits for the client.
pub(crate) const STREAM_BACKLOG_BYTES_MAX: usize = 1 << 20;
/// Messages are joined to one write up to this size.
const JOINED_BYTES_MAX: usize = 64 << 10;

/// Messages in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Item>,
    bytes: usize,
    /// Nothing is written before all of a batch is queued.
    held: bool,
}

#[derive(Debug)]
enum Item {
    Bytes {
        bytes: Vec<u8>,
        sent: usize,
    },
    /// Compat: each descriptor follows its message with one zero byte of its own.
    Fd(OwnedFd),
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) fn backlog(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
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
        self.bytes += message.len();
        match self.queue.back_mut() {
            Some(Item::Bytes { bytes, .. }) if bytes.len() + message.len() <= JOINED_BYTES_MAX => {
                bytes.extend_from_slice(&message);
            }
            _ => self.queue.push_back(Item::Bytes { bytes: message, sent: 0 }),
        }
        self.queue.extend(fds.into_iter().map(Item::Fd));
        if self.held { Ok(()) } else { self.flush(socket) }
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        while let Some(item) = self.queue.front_mut() {
            let done = match item {
                Item::Bytes { bytes, sent } => {
                    let rest = bytes.get(*sent..).unwrap_or_default();
                    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                    match rustix::net::send(socket, rest, flags) {
                        Ok(count) => {
                            self.bytes = self.bytes.saturating_sub(count);
                            *sent += count;
                            *sent >= bytes.len()
                        }
                        Err(Errno::AGAIN) => return Ok(()),
                        Err(Errno::INTR) => false,
                        Err(error) => return Err(error),
                    }
                }
                Item::Fd(fd) => match virt_transport::fds::send_fd(socket, fd.as_fd()) {
                    Ok(()) => true,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => false,
                    Err(error) => return Err(error),
                },
            };
            if done {
                self.queue.pop_front();
            }
        }
        Ok(())
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
        assert!(outbox.backlog() > 3);
        let mut got = Vec::new();
        let mut part = vec![0; 1 << 16];
        while got.len() < message.len() + 3 {
            let count = far.read(&mut part).expect("read");
            got.extend_from_slice(&part[..count]);
            outbox.flush(near.as_fd()).expect("flush");
        }
        assert!(outbox.is_empty());
        assert_eq!(outbox.backlog(), 0);
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
