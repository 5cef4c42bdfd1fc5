//! A conversation with one agent: one command at a time, by whoever holds the agent's turn.
//!
//! ```text
//!   unsure ──guest-sync answered with our number──▶ agreed ──command──▶ unsure ──answer──▶ agreed
//! ```
//!
//! Whoever asks reads the answer too, with a deadline of its own; nobody else waits for an agent. As
//! long as the two agree, the next answer is the answer. After anything else, such as an answer that
//! did not come in time, they find each other again first, and what comes late is passed by. One that
//! answers what is no answer is not asked again until it has connected anew.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virt_json::Value;

use super::reader::{Line, Reader};

/// Limit: how long an agent may take to show that it is there; libvirt's own.
pub const SYNC_WAIT_MAX: Duration = Duration::from_secs(5);

/// Limit: what is passed by in search of an answer.
const PASSED_BYTES_MAX: usize = 16 << 20;

/// How often a call that waits looks whether its caller has gone.
const LOOK: Duration = Duration::from_millis(100);

/// Why a command has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The agent does not even say that it is there.
    #[error("guest agent didn't respond to synchronization within '{}' seconds", .0.as_secs())]
    Absent(Duration),
    #[error("guest agent didn't respond to command within '{}' seconds", .0.as_secs())]
    Timeout(Duration),
    #[error("Guest agent disappeared while executing command")]
    Closed,
    #[error("{0}")]
    Rubbish(String),
    #[error("the guest agent says more than anybody asked for")]
    TooMuch,
    #[error("the caller has gone")]
    GivenUp,
}

/// A connected agent.
#[derive(Debug)]
pub struct Link {
    socket: UnixStream,
    talk: Mutex<Talk>,
    broken: AtomicBool,
}

#[derive(Debug, Default)]
struct Talk {
    reader: Reader,
    /// The next answer will be that to the next command.
    agreed: bool,
    /// A command was sent in part.
    torn: bool,
    last_number: u64,
}

/// One command's time.
struct Clock<'a> {
    deadline: Instant,
    given_up: &'a dyn Fn() -> bool,
    too_late: LinkError,
}

impl Clock<'_> {
    /// An error when the time is up or nobody waits any more; else how long there is until then, or
    /// until it is time to look again.
    fn left(&self) -> Result<Duration, LinkError> {
        if (self.given_up)() {
            return Err(LinkError::GivenUp);
        }
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(self.too_late.clone()),
            left => Ok(left.min(LOOK)),
        }
    }

    /// Waits until the socket can be used.
    fn wait(&self, socket: &UnixStream, flags: PollFlags) -> Result<(), LinkError> {
        loop {
            let slice = Timespec::try_from(self.left()?).ok();
            let mut fds = [PollFd::new(socket, flags)];
            if poll(&mut fds, slice.as_ref()).is_ok_and(|ready| ready > 0) {
                return Ok(());
            }
        }
    }
}

impl Link {
    /// Takes over a connected socket.
    pub fn new(socket: UnixStream) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, talk: Mutex::default(), broken: AtomicBool::new(false) })
    }

    /// Whether the agent has said what no agent says.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Sends one command and gives the answer, an error of the agent's own like anything else.
    /// `given_up` says whether nobody waits any more.
    pub fn ask(
        &self,
        command: &str,
        wait: Duration,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Value, LinkError> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.converse(&mut talk, command, wait, given_up);
        talk.agreed = answer.is_ok();
        if matches!(answer, Err(LinkError::Rubbish(_) | LinkError::TooMuch)) {
            self.broken.store(true, Ordering::Relaxed);
        }
        answer
    }

    fn converse(
        &self,
        talk: &mut Talk,
        command: &str,
        wait: Duration,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Value, LinkError> {
        let clock = |wait: Duration, too_late: fn(Duration) -> LinkError| {
            let deadline = Instant::now() + wait;
            Clock { deadline, given_up, too_late: too_late(wait) }
        };
        if talk.agreed {
            self.pass_by(talk)?;
        }
        if !talk.agreed {
            self.agree(talk, &clock(wait.min(SYNC_WAIT_MAX), LinkError::Absent))?;
        }
        let clock = clock(wait, LinkError::Timeout);
        self.send(talk, command, &clock)?;
        let mut room = PASSED_BYTES_MAX;
        loop {
            let answer = match self.line(talk, &mut room, &clock)? {
                Line::Object(answer) => answer,
                Line::Rubbish(why) => return Err(LinkError::Rubbish(why)),
            };
            let has = |name: &str| answer.get(name).is_some();
            if has("return") || has("error") {
                return Ok(answer);
            }
            // Compat: what other servers of this kind of talk say by themselves is passed by.
            if !has("event") && !has("QMP") {
                return Err(LinkError::Rubbish(format!("Unknown JSON reply '{answer}'")));
            }
        }
    }

    /// What an agent says that was asked nothing is nobody's answer, and neither may be the next.
    fn pass_by(&self, talk: &mut Talk) -> Result<(), LinkError> {
        let mut buffer = [0_u8; 4096];
        match (&self.socket).read(&mut buffer) {
            Ok(0) => return Err(LinkError::Closed),
            Ok(count) => talk.reader.feed(buffer.get(..count).unwrap_or_default()),
            // Nothing has come, or what is wrong shows when the command is sent.
            Err(_) => {}
        }
        talk.agreed = talk.reader.is_empty();
        Ok(())
    }

    /// Finds out that the agent is there, and that what comes next is no answer to an older command.
    fn agree(&self, talk: &mut Talk, clock: &Clock<'_>) -> Result<(), LinkError> {
        let number = next_number(talk.last_number);
        talk.last_number = number;
        let command = format!(r#"{{"execute":"guest-sync", "arguments":{{"id":{number}}}}}"#);
        self.send(talk, &command, clock)?;
        let mut room = PASSED_BYTES_MAX;
        loop {
            let Line::Object(answer) = self.line(talk, &mut room, clock)? else { continue };
            if answer.get("return").and_then(Value::as_number) == Some(number) {
                return Ok(());
            }
        }
    }

    fn send(&self, talk: &mut Talk, command: &str, clock: &Clock<'_>) -> Result<(), LinkError> {
        // A command that was cut off must not run into this one: to an agent this byte is an end.
        let before: &[u8] = if talk.torn { b"\xff" } else { b"" };
        let bytes = [before, command.as_bytes(), b"\n"].concat();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match (&self.socket).write(rest) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => {
                    talk.torn = true;
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    clock.wait(&self.socket, PollFlags::OUT)?;
                }
                Err(_) => return Err(LinkError::Closed),
            }
        }
        talk.torn = false;
        Ok(())
    }

    /// The next line, waited for; at most `room` bytes may come.
    fn line(
        &self,
        talk: &mut Talk,
        room: &mut usize,
        clock: &Clock<'_>,
    ) -> Result<Line, LinkError> {
        let mut buffer = [0_u8; 16384];
        loop {
            if let Some(line) = talk.reader.next_line().map_err(|_| LinkError::TooMuch)? {
                return Ok(line);
            }
            clock.left()?;
            match (&self.socket).read(&mut buffer) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => {
                    *room = room.checked_sub(count).ok_or(LinkError::TooMuch)?;
                    talk.reader.feed(buffer.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    clock.wait(&self.socket, PollFlags::IN)?;
                }
                Err(_) => return Err(LinkError::Closed),
            }
        }
    }

    /// Ends the conversation: who waits is told that the agent is gone.
    pub fn end(&self) {
        // A peer that has closed already leaves nothing to shut down.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// A number that no earlier conversation used: the time, or the next one.
fn next_number(last: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(0);
    now_ms.max(last.saturating_add(1))
}
