//! A terminal that gives each key as it is typed, and is as before afterwards.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

/// What ends the program: `q`, Ctrl-C, Ctrl-D.
const ENDS: [u8; 4] = [b'q', b'Q', 3, 4];

/// The keys of the terminal that the input is.
pub(crate) struct Keys(Termios);

impl Keys {
    /// `None` where the input is no terminal.
    pub(crate) fn take() -> Option<Self> {
        if !isatty(stdin()) {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }

    /// Waits; true as soon as the person wants an end, or has gone.
    pub(crate) fn asks_to_end(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(timeout) = Timespec::try_from(left) else { return true };
            let mut wanted = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
            match poll(&mut wanted, Some(&timeout)) {
                Ok(0) => return false,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return true,
                Ok(_) => {}
            }
            let mut key = [0];
            match rustix::io::read(stdin(), &mut key) {
                Ok(1) if !ENDS.contains(&key[0]) => {}
                _ => return true,
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
