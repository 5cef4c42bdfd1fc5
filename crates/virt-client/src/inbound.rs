//! What came in: bytes cut into messages, and descriptors given to the message they belong to.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use virt_error::Result;
use virt_transport::Channel;
use virt_wire::{FrameReader, MESSAGE_FDS_MAX, Message, MessageType, Reader};

use crate::client::rpc;

const READ_BYTES: usize = 64 << 10;

#[derive(Default)]
pub(crate) struct Inbound {
    scratch: Vec<u8>,
    frames: FrameReader,
    fds: Vec<OwnedFd>,
    /// A message that still waits for the bytes of so many descriptors.
    due: Option<(Message, usize)>,
}

impl Inbound {
    /// Reads what is there.
    pub(crate) fn receive(&mut self, channel: &Channel) -> Result<()> {
        self.scratch.resize(READ_BYTES, 0);
        let frames = &mut self.frames;
        match channel.receive(&mut self.scratch, &mut self.fds, |bytes| frames.feed(bytes)) {
            Ok(0) => {
                let eof = std::io::Error::from(Errno::IO);
                Err(channel.broken(&eof, "End of file while reading data"))
            }
            Ok(_) => Ok(()),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(error) => Err(channel.broken(&error, "Cannot recv data")),
        }
    }

    /// The next message with all of its descriptors.
    pub(crate) fn next_message(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>> {
        let broken = || rpc("Unable to decode message header");
        let (message, due) = match self.due.take() {
            Some(waiting) => waiting,
            None => match self.frames.next_message().map_err(|_| broken())? {
                None => return Ok(None),
                Some(message) => {
                    let due = count(&message).ok_or_else(broken)?;
                    (message, due)
                }
            },
        };
        let missing = due.saturating_sub(self.frames.skip(due));
        if missing > 0 {
            self.due = Some((message, missing));
            return Ok(None);
        }
        let due = count(&message).ok_or_else(broken)?;
        if self.fds.len() < due {
            return Err(broken());
        }
        Ok(Some((message, self.fds.drain(..due).collect())))
    }
}

/// How many descriptors belong to a message; nothing if it claims too many.
fn count(message: &Message) -> Option<usize> {
    if message.header.kind != MessageType::ReplyWithFds {
        return Some(0);
    }
    let count = usize::try_from(Reader::new(&message.payload).u32().ok()?).ok()?;
    (count <= MESSAGE_FDS_MAX).then_some(count)
}
