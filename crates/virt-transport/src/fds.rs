//! Bytes and descriptors over unix sockets.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Limit: the protocol's largest number of descriptors in a message.
pub const FDS_MAX: usize = 32;

/// Receives bytes, and descriptors behind those already collected.
///
/// A peer that sends more descriptors than any message may carry is refused with `EMSGSIZE`; the
/// surplus is closed.
pub fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            fds.extend(came);
        }
    }
    let is_cut = received.flags.contains(ReturnFlags::CTRUNC);
    if is_cut || fds.len() > 2 * FDS_MAX {
        return Err(Errno::MSGSIZE);
    }
    Ok(received.bytes)
}

/// Sends one zero byte with a descriptor, as the protocol wants each of them; `EAGAIN` when the
/// socket is full.
pub fn send_fd(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    send_fd_with(socket, fd, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
}

/// [`send_fd`] that waits while the socket is full.
pub fn send_fd_waiting(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    send_fd_with(socket, fd, SendFlags::NOSIGNAL)
}

fn send_fd_with(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>, flags: SendFlags) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, flags).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_arrives() {
        let (near, far) = UnixStream::pair().expect("pair");
        let (mut inner_near, inner_far) = UnixStream::pair().expect("pair");
        send_fd(near.as_fd(), inner_far.as_fd()).expect("send");
        let (mut bytes, mut fds) = ([0; 8], Vec::new());
        assert_eq!(receive(far.as_fd(), &mut bytes, &mut fds), Ok(1));
        let mut passed = UnixStream::from(fds.pop().expect("one"));
        passed.write_all(b"x").expect("write");
        let mut got = [0; 1];
        inner_near.read_exact(&mut got).expect("read");
        assert_eq!(&got, b"x");
    }
}
