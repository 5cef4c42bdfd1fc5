//! Calls over one monitor: written by whoever calls, answered through the reading thread.
//!
//! A caller waits on a condition with a deadline of its own, so a guest that does not answer holds
//! up its callers and nobody else. Replies are matched by id; one that comes after its caller gave up
//! is dropped.

use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use super::reader::{Event, Message, QmpError, ReadError, Reader, Version};

/// Limit: bytes taken off one monitor before the others get their turn.
const ROUND_BYTES_MAX: usize = 1 << 20;

/// Limit: bytes kept for a guest that takes none; more commands than this are not even queued.
const UNSENT_BYTES_MAX: usize = 1 << 20;

/// Limit: descriptors that go with one command; the wire brings no more.
const FILES_MAX: usize = 32;

/// Why a command has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MonitorError {
    /// No answer in time; the guest may still come back.
    Timeout,
    /// The monitor is closed: the guest is gone or going.
    Closed,
    /// QEMU does not speak QMP any more.
    Garbage(ReadError),
    /// QEMU refuses.
    Refused { command: &'static str, error: QmpError },
    /// The answer lacks what it must have.
    Odd { command: &'static str, what: &'static str },
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the monitor does not answer"),
            Self::Closed => f.write_str("the monitor is closed"),
            Self::Garbage(error) => write!(f, "the monitor sends no QMP: {error}"),
            Self::Refused { command, error } => {
                write!(f, "unable to execute QEMU command '{command}': {}", error.desc)
            }
            Self::Odd { command, what } => write!(f, "reply of '{command}' was missing {what}"),
        }
    }
}

impl std::error::Error for MonitorError {}

/// How far a reading came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything there is has been read.
    Idle,
    /// Others shall have their turn first.
    More,
    /// Nothing comes any more.
    Ended,
}

/// The replies to several commands, in their order.
pub type Replies = Vec<Result<Value, QmpError>>;

/// Commands on their way.
#[derive(Debug)]
#[must_use = "replies that nobody collects stay in memory"]
pub struct Sent {
    ids: Vec<u64>,
}

/// One command with its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    pub name: &'static str,
    pub arguments: Value,
}

impl Command {
    pub fn new(name: &'static str) -> Self {
        Self { name, arguments: Value::Null }
    }

    pub fn with(name: &'static str, arguments: Value) -> Self {
        Self { name, arguments }
    }
}

/// A connected monitor.
pub struct Monitor {
    socket: UnixStream,
    /// What a caller could not get rid of in its time; it goes before anything else, so that
    /// commands are never mixed or cut.
    unsent: Mutex<Vec<u8>>,
    state: Mutex<State>,
    changed: Condvar,
    reader: Mutex<Reader>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    /// Calls in flight, with their replies as they come.
    pending: HashMap<u64, Option<Result<Value, QmpError>>>,
    greeting: Option<Version>,
    end: Option<MonitorError>,
}

impl Monitor {
    /// Takes over a connected socket. Somebody must call [`Monitor::read`] whenever it is readable.
    pub fn new(socket: UnixStream) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            unsent: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            reader: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Runs one command.
    pub fn run(&self, command: Command, wait_max: Duration) -> Result<Value, MonitorError> {
        let name = command.name;
        let result = self.run_all(&[command], wait_max)?.pop();
        let result = result.ok_or(MonitorError::Odd { command: name, what: "a reply" })?;
        result.map_err(|error| MonitorError::Refused { command: name, error })
    }

    /// Runs a command whose name is not ours; a refusal is an answer like another.
    pub fn raw(
        &self,
        name: &str,
        arguments: &Value,
        wait_max: Duration,
    ) -> Result<Result<Value, QmpError>, MonitorError> {
        let deadline = Instant::now() + wait_max;
        let sent = self.send_lines([(name, arguments)].into_iter(), deadline)?;
        let odd = MonitorError::Odd { command: "a caller's command", what: "a reply" };
        self.collect(sent, deadline)?.pop().ok_or(odd)
    }

    /// Gives the emulator descriptors for the next command that takes some.
    pub fn pass(&self, files: &[OwnedFd], wait_max: Duration) -> Result<(), MonitorError> {
        let deadline = Instant::now() + wait_max;
        let mut unsent = lock(&self.unsent);
        self.flush(&mut unsent, deadline)?;
        let fds: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
        loop {
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(MonitorError::Odd { command: "files", what: "too many of them" });
            }
            // Between two commands a space means nothing.
            let bytes = [IoSlice::new(b" ")];
            match sendmsg(&self.socket, &bytes, &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.wait_writable(deadline) => {}
                Err(Errno::AGAIN) => return Err(MonitorError::Timeout),
                Err(_) => return Err(self.end(MonitorError::Closed)),
            }
        }
    }

    /// Sends all commands at once and waits for all replies: one round trip. A refusal of one does
    /// not stop the others.
    pub fn run_all(
        &self,
        commands: &[Command],
        wait_max: Duration,
    ) -> Result<Replies, MonitorError> {
        let deadline = Instant::now() + wait_max;
        let sent = self.send(commands, deadline)?;
        self.collect(sent, deadline)
    }

    /// Sends all commands at once; their replies are collected later, so that many guests can be
    /// asked before any of them is waited for.
    pub fn send(&self, commands: &[Command], deadline: Instant) -> Result<Sent, MonitorError> {
        self.send_lines(commands.iter().map(|one| (one.name, &one.arguments)), deadline)
    }

    fn send_lines<'c>(
        &self,
        commands: impl Iterator<Item = (&'c str, &'c Value)>,
        deadline: Instant,
    ) -> Result<Sent, MonitorError> {
        let mut ids = Vec::new();
        let mut lines = Vec::new();
        {
            let mut state = self.state();
            if let Some(end) = &state.end {
                return Err(end.clone());
            }
            for (name, arguments) in commands {
                state.last_id += 1;
                let id = state.last_id;
                state.pending.insert(id, None);
                ids.push(id);
                let mut line = json!({ "execute": name, "id": id });
                if !arguments.is_null() {
                    line["arguments"] = arguments.clone();
                }
                lines.extend_from_slice(line.to_string().as_bytes());
                lines.extend_from_slice(b"\r\n");
            }
        }
        let sent = Sent { ids };
        match self.write(&lines, deadline) {
            Ok(()) => Ok(sent),
            Err(error) => {
                self.forget(&sent);
                Err(error)
            }
        }
    }

    /// Waits for the replies to what was sent.
    pub fn collect(&self, sent: Sent, deadline: Instant) -> Result<Replies, MonitorError> {
        let ids = &sent.ids;
        let replies = self.wait_for(deadline, |state| {
            let all_here = ids.iter().all(|id| matches!(state.pending.get(id), Some(Some(_))));
            all_here.then(|| ids.iter().filter_map(|id| state.pending.remove(id)?).collect())
        });
        if replies.is_err() {
            self.forget(&sent);
        }
        replies
    }

    fn forget(&self, sent: &Sent) {
        let mut state = self.state();
        for id in &sent.ids {
            state.pending.remove(id);
        }
    }

    /// Waits for the greeting that QEMU sends first.
    pub fn greeting(&self, wait_max: Duration) -> Result<Version, MonitorError> {
        let deadline = Instant::now() + wait_max;
        self.wait_for(deadline, |state| state.greeting.clone())
    }

    /// Waits until `look` finds what it looks for, the monitor ends or the time is up.
    fn wait_for<R>(
        &self,
        deadline: Instant,
        mut look: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<R, MonitorError> {
        let mut state = self.state();
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            if let Some(end) = &state.end {
                return Err(end.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(MonitorError::Timeout);
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
    }

    fn write(&self, bytes: &[u8], deadline: Instant) -> Result<(), MonitorError> {
        let mut unsent = lock(&self.unsent);
        if unsent.len() > UNSENT_BYTES_MAX {
            // Order: what was kept goes first, and only an emulator that takes it gets more.
            self.flush(&mut unsent, deadline)?;
        }
        unsent.extend_from_slice(bytes);
        self.flush(&mut unsent, deadline)
    }

    /// Sends what is kept; what is left at the deadline stays kept.
    fn flush(&self, unsent: &mut Vec<u8>, deadline: Instant) -> Result<(), MonitorError> {
        let mut sent = 0_usize;
        let mut result = Ok(());
        while let Some(rest) = unsent.get(sent..).filter(|rest| !rest.is_empty()) {
            match (&self.socket).write(rest) {
                Ok(0) => result = Err(self.end(MonitorError::Closed)),
                Ok(count) => sent = sent.saturating_add(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.wait_writable(deadline) {
                        result = Err(MonitorError::Timeout);
                    }
                }
                Err(_) => result = Err(self.end(MonitorError::Closed)),
            }
            if result.is_err() {
                break;
            }
        }
        unsent.drain(..sent);
        result
    }

    fn wait_writable(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        !left.is_zero() && poll(&mut fds, timeout.as_ref()) != Ok(0)
    }

    /// Reads what is there. Events are handed on in the order of the wire: before the replies that
    /// came after them wake their callers.
    pub fn read(&self, on_event: &mut dyn FnMut(Event)) -> Progress {
        let mut reader = lock(&self.reader);
        let mut buffer = [0_u8; 16 * 1024];
        let mut round = 0_usize;
        while round < ROUND_BYTES_MAX {
            let count = match (&self.socket).read(&mut buffer) {
                Ok(0) => {
                    self.end(MonitorError::Closed);
                    return Progress::Ended;
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Idle,
                Err(_) => {
                    self.end(MonitorError::Closed);
                    return Progress::Ended;
                }
            };
            round = round.saturating_add(count);
            reader.feed(buffer.get(..count).unwrap_or_default());
            if let Err(error) = self.take(&mut reader, on_event) {
                self.end(MonitorError::Garbage(error));
                return Progress::Ended;
            }
        }
        Progress::More
    }

    fn take(&self, reader: &mut Reader, on_event: &mut dyn FnMut(Event)) -> Result<(), ReadError> {
        while let Some(message) = reader.next_message()? {
            match message {
                Message::Event(event) => on_event(event),
                Message::Greeting(version) => {
                    self.state().greeting = Some(version);
                    self.changed.notify_all();
                }
                Message::Reply { id, result } => {
                    if let Some(slot) = self.state().pending.get_mut(&id) {
                        *slot = Some(result);
                        self.changed.notify_all();
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends the monitor: everyone who waits is told why, and nothing more is sent.
    pub fn end(&self, why: MonitorError) -> MonitorError {
        let mut state = self.state();
        let why = state.end.get_or_insert(why).clone();
        self.changed.notify_all();
        drop(state);
        // The peer may have closed already; then there is nothing to shut down.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        why
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Monitor")
            .field("in_flight", &state.pending.len())
            .field("end", &state.end)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
