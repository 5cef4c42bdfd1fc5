//! Consoles: the concentrator's telnet, as a stream of the guest's own bytes.
//!
//! The concentrator opens with its options. What it will do is agreed to once, everything else is
//! declined by silence, and none of it reaches the caller. A port with several consoles asks which is
//! meant; the answer is given before the stream is handed out.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use virt_driver::{Received, Stream};
use virt_error::{Code, Error, Origin, Result};

use crate::link::ORIGIN;
use crate::manager::lock;

/// Limit: how long it may take to ask back whether another client shall lose the right to write; it
/// need not ask where nobody else has it.
const QUESTION_WAIT_MAX: Duration = Duration::from_secs(3);
/// Limit: how long the concentrator may take to be reached, and to say whose console it is.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
const GREET_WAIT_MAX: Duration = Duration::from_secs(3);
/// Limit: of what is on its way to the concentrator.
const PENDING_BYTES_MAX: usize = 16 << 10;
/// Limit: of what it says before a console is reached.
const GREETING_BYTES_MAX: usize = 64 << 10;

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SUBNEGOTIATION: u8 = 250;
const SUBNEGOTIATION_END: u8 = 240;

/// Options that are agreed to: the other side echoes, and does not wait for its turn.
const AGREED: [u8; 2] = [1, 3];

/// Telnet's commands, told apart from what they stand between.
#[derive(Debug, Default)]
struct Telnet {
    state: TelnetState,
    /// Which of [`AGREED`] were answered: an answer to an answer would never end.
    answered: [bool; AGREED.len()],
    replies: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TelnetState {
    #[default]
    Data,
    /// After a carriage return, whose NUL is not the guest's.
    Return,
    Command,
    Option(u8),
    Inside,
    InsideCommand,
}

impl Telnet {
    /// Appends the guest's own bytes in `bytes` to `out`.
    fn decode(&mut self, bytes: &[u8], out: &mut VecDeque<u8>) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (TelnetState::Data | TelnetState::Return, IAC) => TelnetState::Command,
                (TelnetState::Return, 0) => TelnetState::Data,
                (TelnetState::Data | TelnetState::Return, byte) => {
                    out.push_back(byte);
                    if byte == b'\r' { TelnetState::Return } else { TelnetState::Data }
                }
                (TelnetState::Command, IAC) => {
                    out.push_back(IAC);
                    TelnetState::Data
                }
                (TelnetState::Command, WILL | WONT | DO | DONT) => TelnetState::Option(byte),
                (TelnetState::Command, SUBNEGOTIATION) => TelnetState::Inside,
                (TelnetState::Command, _) => TelnetState::Data,
                (TelnetState::Option(verb), option) => {
                    self.answer(verb, option);
                    TelnetState::Data
                }
                (TelnetState::Inside, IAC) => TelnetState::InsideCommand,
                (TelnetState::InsideCommand, SUBNEGOTIATION_END) => TelnetState::Data,
                (TelnetState::Inside | TelnetState::InsideCommand, _) => TelnetState::Inside,
            };
        }
    }

    fn answer(&mut self, verb: u8, option: u8) {
        let agreed = AGREED.iter().position(|known| *known == option);
        match (verb, agreed.and_then(|at| self.answered.get_mut(at))) {
            (WILL, Some(answered)) if !*answered => {
                *answered = true;
                self.replies.extend([IAC, DO, option]);
            }
            // What is asked of this side is not done, which is what nobody has to be told.
            _ => {}
        }
    }
}

/// Doubles the byte that would be a command.
fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.push(byte);
        if byte == IAC {
            out.push(IAC);
        }
    }
}

/// An open console.
#[derive(Debug)]
pub(crate) struct Console {
    socket: TcpStream,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    telnet: Telnet,
    /// The guest's bytes that nobody took yet.
    received: VecDeque<u8>,
    /// Bytes on their way to the concentrator.
    pending: Vec<u8>,
    ended: bool,
}

fn failed(error: &std::io::Error, what: String) -> Error {
    Error::io(Origin::Streams, error, what)
}

/// Reaches the console of a domain at a concentrator's port.
pub(crate) fn open(host: &str, port: u16, domain: &str, force: bool) -> Result<Console> {
    let place = format!("cannot reach the console concentrator at {host}:{port}");
    let mut addresses =
        (host, port).to_socket_addrs().map_err(|error| failed(&error, place.clone()))?;
    let address = addresses.next().ok_or_else(|| {
        Error::new(Code::OperationFailed, ORIGIN, format!("{place}: no such host"))
    })?;
    let socket = TcpStream::connect_timeout(&address, CONNECT_WAIT_MAX)
        .map_err(|error| failed(&error, place.clone()))?;
    let console =
        Console { socket, closed: AtomicBool::new(false), state: Mutex::new(State::default()) };
    console.greet(domain, force)?;
    console.socket.set_nonblocking(true).map_err(|error| failed(&error, place))?;
    Ok(console)
}

/// What the concentrator shows before it has been told which console is meant.
fn is_prompt(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap_or_default().trim_end();
    line.ends_with("q:") && line.contains("vnts")
}

fn is_connected(text: &str) -> bool {
    text.contains("Connecting to console") && text.contains("Press ~?")
}

impl Console {
    /// Gets as far as the guest. A concentrator that says nothing is taken for one that has nothing
    /// to say.
    fn greet(&self, domain: &str, force: bool) -> Result<()> {
        let deadline = Instant::now() + GREET_WAIT_MAX;
        let mut asked = false;
        loop {
            let seen = {
                let state = self.lock();
                let bytes: Vec<u8> = state.received.iter().copied().collect();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            if is_connected(&seen) {
                break;
            }
            if is_prompt(&seen) && !asked {
                asked = true;
                self.say(format!("n{domain}\r").as_bytes())?;
                self.lock().received.clear();
                continue;
            }
            if seen.len() > GREETING_BYTES_MAX || !self.wait(deadline)? {
                break;
            }
        }
        if force { self.take_over(deadline) } else { Ok(()) }
    }

    /// Asks for the right to write, where another client has it.
    fn take_over(&self, deadline: Instant) -> Result<()> {
        self.say(b"\r~w")?;
        while self.wait(deadline.min(Instant::now() + QUESTION_WAIT_MAX))? {
            let bytes: Vec<u8> = self.lock().received.iter().copied().collect();
            let seen = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if seen.contains("y/n") || seen.contains("[y") {
                return self.say(b"y");
            }
        }
        Ok(())
    }

    fn say(&self, bytes: &[u8]) -> Result<()> {
        let sent = (&self.socket).write_all(bytes);
        sent.map_err(|error| failed(&error, "cannot write to the console".to_owned()))
    }

    /// Waits for bytes during the greeting; whether more may come.
    fn wait(&self, deadline: Instant) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.lock().ended {
            return Ok(false);
        }
        let what = || "cannot read from the console".to_owned();
        self.socket.set_read_timeout(Some(left)).map_err(|error| failed(&error, what()))?;
        let mut state = self.lock();
        match self.fill(&mut state) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(failed(&error, what())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Reads once, and answers what telnet wants answered.
    fn fill(&self, state: &mut State) -> std::io::Result<()> {
        let mut buffer = [0; 4096];
        let count = (&self.socket).read(&mut buffer)?;
        state.ended = count == 0;
        let State { telnet, received, pending, .. } = state;
        telnet.decode(buffer.get(..count).unwrap_or_default(), received);
        if pending.len() < PENDING_BYTES_MAX {
            pending.append(&mut telnet.replies);
        }
        self.flush(state)
    }

    fn flush(&self, state: &mut State) -> std::io::Result<()> {
        while !state.pending.is_empty() {
            match (&self.socket).write(&state.pending) {
                Ok(count) => drop(state.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl Stream for Console {
    fn recv(&self, buffer: &mut [u8]) -> Result<Received> {
        if self.is_closed() {
            return Ok(Received::End);
        }
        let mut state = self.lock();
        if state.received.is_empty() && !state.ended {
            match self.fill(&mut state) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Received::Pending);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    return Ok(Received::Pending);
                }
                // A concentrator that is gone ends the session, as its `~.` does.
                Err(_) => state.ended = true,
            }
        }
        let count = state.received.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(state.received.drain(..count)) {
            *to = from;
        }
        Ok(match (count, state.ended) {
            (0, true) => Received::End,
            (0, false) => Received::Pending,
            (count, _) => Received::Data(count),
        })
    }

    fn send(&self, data: &[u8]) -> Result<usize> {
        if self.is_closed() {
            return Err(Error::internal(Origin::Streams, "stream is closed"));
        }
        let what = || "cannot write to stream".to_owned();
        let mut state = self.lock();
        self.flush(&mut state).map_err(|error| failed(&error, what()))?;
        let room = PENDING_BYTES_MAX.saturating_sub(state.pending.len()) / 2;
        let taken = data.get(..data.len().min(room)).unwrap_or_default();
        encode(taken, &mut state.pending);
        self.flush(&mut state).map_err(|error| failed(&error, what()))?;
        Ok(taken.len())
    }

    fn finish(&self) -> Result<()> {
        self.abort();
        Ok(())
    }

    fn abort(&self) {
        self.closed.store(true, Ordering::Release);
        // Whoever polls the socket wakes; if it is closed already, nothing is lost.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_answered_once_and_never_shown() {
        let mut telnet = Telnet::default();
        let mut out = VecDeque::new();
        let opening = [
            255, 254, 34, 255, 251, 3, 255, 251, 1, 255, 254, 24, 255, 254, 32, 255, 254, 5, 255,
            254, 33, 255, 254, 6, 255, 254, 36, 255, 254, 31,
        ];
        for byte in opening {
            telnet.decode(&[byte], &mut out);
        }
        telnet.decode(b"a\xff\xffb\r\0\r\n\xff\xfa\x18x\xff\xf0c\xff\xfb\x03", &mut out);
        assert_eq!(Vec::from(out), b"a\xffb\r\r\nc");
        assert_eq!(telnet.replies, [255, 253, 3, 255, 253, 1]);
        let mut sent = Vec::new();
        encode(b"x\xffy", &mut sent);
        assert_eq!(sent, b"x\xff\xffy");
    }

    #[test]
    fn prompts_of_groups_are_recognised() {
        assert!(is_prompt("\r\nctl-a-vnts-webgrp: h, l, c{id}, n{name}, q:"));
        assert!(is_prompt("\r\nvnts: h, l, c{id}, n{name}, q:"));
        assert!(!is_prompt("login:"));
        let connected =
            "\r\nConnecting to console \"a\" in group \"a\" ....\r\nPress ~? for control";
        assert!(is_connected(connected));
    }
}
