//! One stream of a connection: what came for it, and what is sent on it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use virt_error::{Error, Origin, Result};
use virt_wire::{
    Header, Message, MessageStatus, MessageType, Reader, STREAM_DATA_BYTES_MAX, decode_error,
};

use crate::client::{Shared, rpc};

/// What was received for a stream and not taken yet.
#[derive(Default)]
pub(crate) struct Queue {
    messages: VecDeque<Inward>,
    bytes: usize,
    /// Signalled whenever there is something to take.
    signal: Option<Arc<OwnedFd>>,
}

enum Inward {
    Data(Vec<u8>, usize),
    Hole(u64),
    /// The daemon's data ended.
    End,
    /// The daemon confirmed that the stream is over.
    Over,
    Failed(Error),
}

impl Queue {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, message: Message) {
        let status = message.header.status;
        let inward = match (message.header.kind, status) {
            (MessageType::StreamHole, _) => {
                let length = Reader::new(&message.payload).i64().ok();
                match length.and_then(|length| u64::try_from(length).ok()) {
                    Some(length) => Inward::Hole(length),
                    None => Inward::Failed(rpc("Malformed stream hole packet")),
                }
            }
            (_, MessageStatus::Continue) if message.payload.is_empty() => Inward::End,
            (_, MessageStatus::Continue) => {
                self.bytes += message.payload.len();
                Inward::Data(message.payload, 0)
            }
            (_, MessageStatus::Ok) => Inward::Over,
            (_, MessageStatus::Error) => {
                let error = decode_error(&mut Reader::new(&message.payload));
                Inward::Failed(error.unwrap_or_else(|_| rpc("Unable to decode message payload")))
            }
        };
        self.messages.push_back(inward);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        if let Some(signal) = &self.signal {
            let _ = rustix::io::write(signal.as_fd(), &1_u64.to_ne_bytes());
        }
    }
}

/// What [`ClientStream::take`] gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Data(usize),
    Hole(u64),
    Nothing,
    End,
}

/// An open stream.
pub struct ClientStream {
    shared: Arc<Shared>,
    /// Of the call that opened it.
    header: Header,
    signal: Arc<OwnedFd>,
    open: AtomicBool,
}

impl ClientStream {
    pub(crate) fn new(shared: Arc<Shared>, header: Header) -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let signal = match eventfd(0, flags) {
            Ok(signal) => Arc::new(signal),
            Err(error) => {
                shared.lock().streams.remove(&header.serial);
                return Err(Error::io(Origin::Rpc, &error.into(), "Unable to make an eventfd"));
            }
        };
        if let Some(queue) = shared.lock().streams.get_mut(&header.serial) {
            queue.signal = Some(Arc::clone(&signal));
            queue.wake();
        }
        Ok(Self { shared, header, signal, open: AtomicBool::new(false) })
    }

    pub(crate) fn opened(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Is readable while there is something to take.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }

    /// Takes what came, without waiting.
    pub fn take(&self, buffer: &mut [u8]) -> Result<Taken> {
        let mut state = self.shared.lock();
        let dead = state.dead().cloned();
        let Some(queue) = state.streams.get_mut(&self.header.serial) else {
            return Err(dead.unwrap_or_else(|| rpc("stream is closed")));
        };
        let taken = match queue.messages.front_mut() {
            None => {
                // Order: emptied under the lock that whoever signals holds.
                let _ = rustix::io::read(self.signal.as_fd(), &mut [0; 8]);
                return dead.map_or(Ok(Taken::Nothing), Err);
            }
            Some(Inward::Data(data, taken)) => {
                let rest = data.get(*taken..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) else {
                    return Ok(Taken::Nothing);
                };
                to.copy_from_slice(from);
                *taken += count;
                queue.bytes = queue.bytes.saturating_sub(count);
                if *taken >= data.len() {
                    queue.messages.pop_front();
                }
                Taken::Data(count)
            }
            Some(Inward::Hole(length)) => {
                let length = *length;
                queue.messages.pop_front();
                Taken::Hole(length)
            }
            // These stay: they are true from now on.
            Some(Inward::End | Inward::Over) => Taken::End,
            Some(Inward::Failed(error)) => {
                let error = error.clone();
                self.open.store(false, Ordering::Release);
                return Err(error);
            }
        };
        drop(state);
        self.shared.notify();
        Ok(taken)
    }

    /// Sends some of the data and says how much.
    pub fn send(&self, data: &[u8]) -> Result<usize> {
        self.check()?;
        let part = data.get(..data.len().min(STREAM_DATA_BYTES_MAX)).unwrap_or_default();
        if part.is_empty() {
            return Ok(0);
        }
        self.send_message(MessageStatus::Continue, part)?;
        Ok(part.len())
    }

    pub fn send_hole(&self, length: u64) -> Result<()> {
        self.check()?;
        let header = self.header.stream(MessageStatus::Continue);
        let mut message = Header { kind: MessageType::StreamHole, ..header }.start();
        message.i64(i64::try_from(length).map_err(|_| rpc("hole is too long"))?);
        message.u32(0);
        let message =
            Header::finish(message).map_err(|_| rpc("Unable to encode message payload"))?;
        self.shared.send(&message, &[])
    }

    /// Ends the stream and waits until the daemon confirms that all arrived.
    pub fn finish(&self) -> Result<()> {
        self.end(MessageStatus::Ok)
    }

    /// Gives the stream up. Failures mean that it is over anyway.
    pub fn abort(&self) {
        let _ = self.end(MessageStatus::Error);
    }

    fn end(&self, status: MessageStatus) -> Result<()> {
        if !self.open.swap(false, Ordering::AcqRel) {
            return self.check_failed();
        }
        self.check_failed()?;
        self.send_message(status, &[])?;
        let mut state = self.shared.lock();
        loop {
            let queue = state.streams.get_mut(&self.header.serial);
            let Some(queue) = queue else { return Err(rpc("stream is closed")) };
            // What still comes of the daemon's data is of no use any more.
            while let Some(inward) = queue.messages.pop_front() {
                match inward {
                    Inward::Over => return Ok(()),
                    Inward::Failed(error) => return Err(error),
                    Inward::Data(data, taken) => {
                        let left = data.len().saturating_sub(taken);
                        queue.bytes = queue.bytes.saturating_sub(left);
                    }
                    Inward::Hole(_) | Inward::End => {}
                }
            }
            if let Some(error) = state.dead() {
                return Err(error.clone());
            }
            state = self.shared.wait_change(state);
        }
    }

    fn send_message(&self, status: MessageStatus, data: &[u8]) -> Result<()> {
        let mut message = self.header.stream(status).start();
        message.raw(data);
        let message =
            Header::finish(message).map_err(|_| rpc("Unable to encode message payload"))?;
        self.shared.send(&message, &[])
    }

    fn check(&self) -> Result<()> {
        self.check_failed()?;
        if self.open.load(Ordering::Acquire) { Ok(()) } else { Err(rpc("stream is closed")) }
    }

    /// The daemon may have given the stream up meanwhile.
    fn check_failed(&self) -> Result<()> {
        let state = self.shared.lock();
        let queue = state.streams.get(&self.header.serial);
        let failed = queue.and_then(|queue| {
            queue.messages.iter().find_map(|inward| match inward {
                Inward::Failed(error) => Some(error.clone()),
                _ => None,
            })
        });
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if self.open.swap(false, Ordering::AcqRel) {
            // Nobody waits for the confirmation; without its queue it is passed over.
            let _ = self.send_message(MessageStatus::Error, &[]);
        }
        self.shared.lock().streams.remove(&self.header.serial);
        self.shared.notify();
    }
}

impl std::fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientStream").field("header", &self.header).finish_non_exhaustive()
    }
}
