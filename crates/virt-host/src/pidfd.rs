//! A process held by descriptor: waited for and killed without ever meeting a recycled pid.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

pub use rustix::process::Signal;

use crate::{HostError, Result};

/// How a process ended, as far as it is known: only a parent learns more than that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Unknown,
    Exited(i32),
    Killed(i32),
}

/// A descriptor of one process. A zombie counts as ended: its memory and files are gone.
#[derive(Debug)]
pub struct Pidfd {
    fd: OwnedFd,
    pid: Pid,
}

impl Pidfd {
    /// The process with this id, or nothing when there is none.
    pub fn open(pid: u32) -> Result<Option<Self>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => Ok(Some(Self { fd, pid })),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => {
                Err(HostError::io(format!("open process {}", pid.as_raw_nonzero()), error))
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal; says whether there was still a process to take it.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(HostError::io(format!("signal process {}", self.pid()), error)),
        }
    }

    /// Whether the process has ended, without waiting.
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until the process has ended, at most `wait_max`; says whether it has.
    pub fn wait(&self, wait_max: Duration) -> bool {
        let deadline = Instant::now().checked_add(wait_max);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                // A descriptor that cannot be waited for tells nothing: the caller's time-out rules.
                Err(_) => return false,
            }
        }
    }

    /// Takes an ended child off the process table, so that it is no zombie, and says how it ended.
    pub fn reap(&self) -> Ended {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.fd.as_fd()), options) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ended::Exited(code),
                (None, Some(signal)) => Ended::Killed(signal),
                (None, None) => Ended::Unknown,
            },
            Ok(None) | Err(_) => Ended::Unknown,
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_killed_child_has_ended_before_and_after_it_is_reaped() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let held = Pidfd::open(child.id()).unwrap().unwrap();
        assert!(!held.has_ended());
        assert!(!held.wait(Duration::from_millis(5)));
        assert!(held.signal(Signal::KILL).unwrap());
        assert!(held.wait(Duration::from_secs(10)));
        assert_eq!(held.reap(), Ended::Killed(9));
        assert!(held.has_ended());
        assert!(!held.signal(Signal::KILL).unwrap());
        assert_eq!(held.reap(), Ended::Unknown);
        assert!(child.wait().is_err(), "reaped already");
    }

    #[test]
    fn there_is_no_process_zero() {
        assert!(Pidfd::open(0).unwrap().is_none());
        assert!(Pidfd::open(u32::MAX).unwrap().is_none());
    }
}
