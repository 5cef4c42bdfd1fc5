//! A program on a terminal of its own, typed to and read from as a person would.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::shell::end_within;

/// How much of a program's output is kept: a guest may talk without end.
const SEEN_BYTES_MAX: usize = 1 << 20;

/// What is done with each piece of output as it comes.
type Show = Box<dyn FnMut(&[u8])>;

pub struct Terminal {
    child: Child,
    master: File,
    seen: Vec<u8>,
    /// How much of `seen` earlier waits have passed.
    read_to: usize,
    show: Show,
}

impl Terminal {
    /// Starts a program with a new terminal as its input and output.
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let path = name.to_string_lossy().into_owned();
        let slave = OpenOptions::new().read(true).write(true).open(path)?;
        let child =
            command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave).spawn();
        // The command would keep the terminal open, and the program's end would go unnoticed.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = child?;
        let master = File::from(master);
        Ok(Self { child, master, seen: Vec::new(), read_to: 0, show: Box::new(|_| ()) })
    }

    /// Passes all further output on as it comes.
    #[must_use]
    pub fn showing(mut self, show: impl FnMut(&[u8]) + 'static) -> Self {
        self.show = Box::new(show);
        self
    }

    /// Types text.
    pub fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.master.write_all(text.as_bytes())
    }

    /// Whether the program takes each key as it comes; what is typed before may be thrown away.
    pub fn is_raw(&self) -> bool {
        rustix::termios::tcgetattr(&self.master).is_ok_and(|settings| {
            !settings.local_modes.contains(rustix::termios::LocalModes::ICANON)
        })
    }

    /// Waits until `text` is in the output after what earlier waits found; gives what came up to
    /// and with it, or what there is, when the time is up or the program ends.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<String, String> {
        let end = Instant::now() + limit;
        loop {
            let fresh = &self.seen[self.read_to..];
            if let Some(at) = fresh.windows(text.len()).position(|part| part == text.as_bytes()) {
                let found = String::from_utf8_lossy(&fresh[..at + text.len()]).into_owned();
                self.read_to += at + text.len();
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.read_some(left) {
                let why = if left.is_zero() { "in time" } else { "before the end" };
                let fresh = String::from_utf8_lossy(&self.seen[self.read_to..]);
                return Err(format!("'{text}' did not come {why}, but: {fresh}"));
            }
        }
    }

    /// Waits for the program's end, and kills it when its time is up.
    pub fn end(mut self, limit: Duration) -> Option<i32> {
        let end = Instant::now() + limit;
        // A program may block on a full terminal: read on to its end.
        while self.read_some(end.saturating_duration_since(Instant::now())) {}
        end_within(&mut self.child, end.saturating_duration_since(Instant::now()))
    }

    /// Reads what there is, waiting up to `limit` for the first byte. False at the end.
    fn read_some(&mut self, limit: Duration) -> bool {
        let Ok(timeout) = Timespec::try_from(limit) else { return false };
        let mut wanted = [PollFd::new(&self.master, PollFlags::IN)];
        match poll(&mut wanted, Some(&timeout)) {
            Ok(0) => return false,
            Err(rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
            Ok(_) => {}
        }
        let mut buffer = [0; 4096];
        // A terminal whose last user has gone answers with an error, not with zero bytes.
        let Ok(length @ 1..) = self.master.read(&mut buffer) else { return false };
        (self.show)(&buffer[..length]);
        self.seen.extend_from_slice(&buffer[..length]);
        assert!(self.seen.len() <= SEEN_BYTES_MAX, "a program that never stops talking");
        true
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
