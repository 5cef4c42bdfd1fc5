//! The tool's own protocol, on the socket it keeps for each guest.
//!
//! A message is a type and a length, 32 bits each in the host's order, and so many bytes; a reply is
//! bytes without a head. One thread of the tool serves one client at a time, and that decides how it is
//! spoken to here:
//!
//! - Each exchange has a connection of its own that is closed when its reply is there: an open one
//!   blocks everybody else.
//! - Of two clients that come together the second may be forgotten until a third one comes. So whoever
//!   waits in vain for a while comes a second time, for nothing, and is served the first time.
//! - What has no reply is followed by a question that has one: messages of one connection are done in
//!   order.
//! - The guest dies of a client that leaves before its reply, unless SIGPIPE is ignored; this is why
//!   `launch.rs` starts it so.
//! - The balloon's statistics come from the guest: never asked of a paused one, and not waited for long.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

/// Limit: how long a guest may take to answer; its thread does nothing else.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Limit: how long the figures of a guest are waited for.
pub(crate) const STATS_MAX: Duration = Duration::from_secs(1);

/// How long a client waits before it suspects that it was forgotten, and how often it does so.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_millis(200);
const REMINDERS_MAX: u32 = 8;

/// Between two tries to get into a full queue of clients.
const QUEUE_STEP: Duration = Duration::from_millis(10);

/// Limit: the longest reply that is read: the register dump of 255 processors.
const REPLY_BYTES_MAX: usize = 1 << 20;

const BALLOON: u32 = 1;
const DEBUG: u32 = 2;
const STAT: u32 = 3;
const PAUSE: u32 = 4;
const RESUME: u32 = 5;
const STOP: u32 = 6;
const PID: u32 = 7;
const VMSTATE: u32 = 8;

const DEBUG_NMI: u32 = 2;
const DEBUG_SYSRQ: u32 = 4;

/// The size of one of the balloon's statistics: a tag of two bytes and a value of eight.
const STAT_BYTES: usize = 10;

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IpcError {
    #[error("the guest's socket does not take connections: {0}")]
    Closed(String),
    #[error("the guest did not answer in time")]
    Timeout,
    #[error("the guest answered {0} bytes, which is no answer to this")]
    Odd(usize),
}

/// A guest's socket.
#[derive(Clone, Debug)]
pub(crate) struct Ipc {
    path: PathBuf,
    /// What the guest says its own number is: the end of an answer whose length is not known.
    pid: u32,
}

/// One of the balloon's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) tag: u16,
    pub(crate) value: u64,
}

fn message(kind: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0);
    [&kind.to_ne_bytes(), &length.to_ne_bytes(), payload].concat()
}

impl Ipc {
    pub(crate) fn new(path: PathBuf, pid: u32) -> Self {
        Self { path, pid }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the guest is paused.
    pub(crate) fn is_paused(&self) -> Result<bool, IpcError> {
        self.and_state(Vec::new(), ANSWER_MAX)
    }

    /// Parks the virtual CPUs; says whether they are.
    pub(crate) fn pause(&self) -> Result<bool, IpcError> {
        self.and_state(message(PAUSE, &[]), ANSWER_MAX)
    }

    pub(crate) fn resume(&self) -> Result<bool, IpcError> {
        self.and_state(message(RESUME, &[]), ANSWER_MAX)
    }

    /// Takes memory from the guest, or gives it back where the number is negative.
    pub(crate) fn balloon(&self, mib: i32) -> Result<(), IpcError> {
        self.and_state(message(BALLOON, &mib.to_ne_bytes()), ANSWER_MAX).map(drop)
    }

    pub(crate) fn inject_nmi(&self, vcpu: u32) -> Result<(), IpcError> {
        self.debug(DEBUG_NMI, vcpu, 0)
    }

    /// Sends one of the kernel's magic keys over the first serial port.
    pub(crate) fn sysrq(&self, key: u8) -> Result<(), IpcError> {
        self.debug(DEBUG_SYSRQ, 0, key)
    }

    fn debug(&self, flags: u32, vcpu: u32, key: u8) -> Result<(), IpcError> {
        // Exactly twelve bytes: any other length is passed over without a word.
        let payload = [flags.to_ne_bytes(), vcpu.to_ne_bytes(), [key, 0, 0, 0]].concat();
        self.and_state(message(DEBUG, &payload), ANSWER_MAX).map(drop)
    }

    /// Ends the guest. Nothing comes back: the end of the process is the answer.
    pub(crate) fn stop(&self) -> Result<(), IpcError> {
        let deadline = Instant::now() + ANSWER_MAX;
        let client = Client::connect(&self.path, deadline)?;
        client.write(&message(STOP, &[]))
    }

    /// Comes for nothing, so that who came earlier is served. Where the queue is full, others did.
    pub(crate) fn remind(&self) {
        drop(Client::connect(&self.path, Instant::now()));
    }

    /// The balloon's statistics; nothing where the guest has no driver for them, or no balloon.
    ///
    /// The number of entries is the tool's own, and without a driver there is no reply at all: so its
    /// process id is asked for after them, and the answer ends with that.
    pub(crate) fn stats(&self) -> Result<Vec<Stat>, IpcError> {
        let request = [message(STAT, &[]), message(PID, &[])].concat();
        let end = self.pid.to_ne_bytes();
        let whole = |reply: &[u8]| {
            reply.ends_with(&end) && reply.len().checked_rem(STAT_BYTES) == Some(end.len())
        };
        let reply = self.exchange(&request, STATS_MAX, whole)?;
        let entries = reply.get(..reply.len().saturating_sub(end.len())).unwrap_or_default();
        Ok(read_stats(entries))
    }

    /// Sends messages without a reply and asks for the state after them.
    fn and_state(&self, before: Vec<u8>, wait_max: Duration) -> Result<bool, IpcError> {
        let request = [before, message(VMSTATE, &[])].concat();
        let reply = self.exchange(&request, wait_max, |reply| reply.len() >= 4)?;
        match <[u8; 4]>::try_from(reply.as_slice()).map(i32::from_ne_bytes) {
            Ok(state) => Ok(state != 0),
            Err(_) => Err(IpcError::Odd(reply.len())),
        }
    }

    /// One connection, one reply.
    fn exchange(
        &self,
        request: &[u8],
        wait_max: Duration,
        whole: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, IpcError> {
        let deadline = Instant::now() + wait_max;
        let client = Client::connect(&self.path, deadline)?;
        client.write(request)?;
        let mut reply = Vec::new();
        let mut reminders = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(IpcError::Timeout);
            }
            if !client.wait(left.min(FORGOTTEN_AFTER)) {
                if reply.is_empty() && reminders < REMINDERS_MAX {
                    reminders += 1;
                    self.remind();
                }
                continue;
            }
            if !client.read(&mut reply)? {
                return Err(match reply.len() {
                    0 => IpcError::Closed("it was closed".into()),
                    length => IpcError::Odd(length),
                });
            }
            if whole(&reply) {
                return Ok(reply);
            }
        }
    }
}

/// Reads entries of the balloon's statistics. Compat: entries that were never filled in are all zero
/// and so look like the first tag; the first entry of a tag is the one that counts.
fn read_stats(bytes: &[u8]) -> Vec<Stat> {
    let mut stats: Vec<Stat> = Vec::new();
    for entry in bytes.chunks_exact(STAT_BYTES) {
        let (Some(tag), Some(value)) = (entry.first_chunk::<2>(), entry.last_chunk::<8>()) else {
            continue;
        };
        let (tag, value) = (u16::from_ne_bytes(*tag), u64::from_ne_bytes(*value));
        if stats.iter().all(|stat| stat.tag != tag) {
            stats.push(Stat { tag, value });
        }
    }
    stats
}

/// Who listens on a socket: its process id, as the kernel has it. Nobody, for one that was left.
pub(crate) fn listener(path: &Path) -> Option<u32> {
    let client = Client::connect(path, Instant::now() + FORGOTTEN_AFTER).ok()?;
    let credentials = socket_peercred(&client.0).ok()?;
    u32::try_from(credentials.pid.as_raw_nonzero().get()).ok()
}

/// One connection.
struct Client(OwnedFd);

impl Client {
    /// Connects without waiting in the kernel, where nothing would end the wait.
    fn connect(path: &Path, deadline: Instant) -> Result<Self, IpcError> {
        let closed = |error: Errno| IpcError::Closed(std::io::Error::from(error).to_string());
        let address = SocketAddrUnix::new(path).map_err(closed)?;
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
            let socket = socket.map_err(closed)?;
            match connect(&socket, &address) {
                Ok(()) => return Ok(Self(socket)),
                Err(Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(QUEUE_STEP),
                Err(Errno::AGAIN) => return Err(IpcError::Timeout),
                Err(error) => return Err(closed(error)),
            }
        }
    }

    /// Writes a request whole: it is far smaller than any socket's buffer, and one that came in parts
    /// would block the guest's thread.
    fn write(&self, bytes: &[u8]) -> Result<(), IpcError> {
        match send(&self.0, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) => Err(IpcError::Closed("it took a part of a message".into())),
            Err(error) => Err(IpcError::Closed(std::io::Error::from(error).to_string())),
        }
    }

    fn wait(&self, wait_max: Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let timeout = Timespec::try_from(wait_max).ok();
        matches!(poll(&mut fds, timeout.as_ref()), Ok(ready) if ready > 0)
    }

    /// Reads what there is; says whether there may be more later.
    fn read(&self, into: &mut Vec<u8>) -> Result<bool, IpcError> {
        let mut buffer = [0_u8; 4096];
        match recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, 0)) => Ok(false),
            Ok((_, count)) => {
                into.extend_from_slice(buffer.get(..count).unwrap_or_default());
                match into.len() > REPLY_BYTES_MAX {
                    true => Err(IpcError::Odd(into.len())),
                    false => Ok(true),
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(error) => {
                let error = std::io::Error::from(error);
                match error.kind() {
                    ErrorKind::ConnectionReset => Ok(false),
                    _ => Err(IpcError::Closed(error.to_string())),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_a_tag_counts() {
        let entry =
            |tag: u16, value: u64| [&tag.to_ne_bytes()[..], &value.to_ne_bytes()[..]].concat();
        let bytes = [entry(5, 64 << 20), entry(0, 7), entry(0, 0), entry(0, 0)].concat();
        let stat = |tag, value| Stat { tag, value };
        assert_eq!(read_stats(&bytes), [stat(5, 64 << 20), stat(0, 7)]);
        assert_eq!(read_stats(&bytes[..9]), []);
    }

    #[test]
    fn a_debug_request_has_exactly_twelve_bytes() {
        let payload = [DEBUG_SYSRQ.to_ne_bytes(), 0_u32.to_ne_bytes(), [b's', 0, 0, 0]].concat();
        assert_eq!(message(DEBUG, &payload).len(), 8 + 12);
    }

    #[test]
    fn nobody_listens_on_a_socket_that_was_left() {
        let path = std::env::temp_dir().join(format!("fv-ghost-{}", std::process::id()));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert_eq!(listener(&path), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(listener(&path), None);
    }
}
