//! A guest's console on this terminal.
//!
//! Two threads: one reads keys and sends them, the other prints what the guest writes. The escape
//! key, the guest's end and a lost stream all end both. The terminal is raw meanwhile and restored
//! however this ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use virt_driver::{Received, Stream};
use virt_types::DomainRef;

use crate::escape::Escape;
use crate::failure::{Done, Failure, fail};
use crate::shell::{Shell, sayln};

/// Opens the console of a domain and stays on it until it ends.
pub(crate) fn run(shell: &mut Shell, domain: &DomainRef, device: Option<&str>, flags: u32) -> Done {
    run_with(shell, domain, device, flags, false)
}

/// The same; `resume` lets a paused guest go on once the console is there.
pub(crate) fn run_with(
    shell: &mut Shell,
    domain: &DomainRef,
    device: Option<&str>,
    flags: u32,
    resume: bool,
) -> Done {
    let connection = shell.connection()?;
    if !connection.domain_is_active(domain).unwrap_or(true) {
        return fail("The domain is not running");
    }
    shell.need_terminal()?;
    let escape = shell.settings.escape;
    let stream = connection.domain_open_console(domain, device, flags)?;
    sayln!(shell, "Connected to domain '{}'", domain.name);
    sayln!(shell, "Escape character is {}", escape.describe());
    if flags & virt_types::api::DOMAIN_CONSOLE_FORCE != 0 {
        // Compat: said so that a script sees who took the console over.
        shell.note(crate::shell::LEVEL_INFO, format_args!("console: taking over other sessions"));
    }
    shell.flush();
    if resume && let Err(error) = connection.domain_resume(domain) {
        stream.abort();
        return Err(error.into());
    }
    let terminal = io::stdin();
    let raw = Raw::enter(&terminal)?;
    let outcome = pump(&stream, escape, io::stdin(), io::stdout());
    drop(raw);
    outcome
}

/// A terminal in raw mode, until this goes away.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter(terminal: &impl AsFd) -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| {
            Failure::new(format!("unable to set up the terminal: {error}"))
        };
        let before = tcgetattr(terminal).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Flush, &raw).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Limit: bytes moved at a time in either direction.
const CHUNK_BYTES: usize = 4096;

/// Carries bytes both ways until one side ends.
fn pump(
    stream: &Arc<dyn Stream>,
    escape: Escape,
    input: impl AsFd + io::Read + Send + 'static,
    output: impl io::Write,
) -> Done {
    let ended = Arc::new(AtomicBool::new(false));
    // Dropping one end wakes whoever polls the other.
    let (woken, wake) = io::pipe().map_err(io_failure)?;
    let keys = {
        let (stream, ended) = (Arc::clone(stream), Arc::clone(&ended));
        std::thread::spawn(move || {
            let outcome = send_keys(stream.as_ref(), escape, &ended, (input, woken.as_fd()));
            ended.store(true, Ordering::Release);
            outcome
        })
    };
    let shown = print_output(stream.as_ref(), &ended, output);
    ended.store(true, Ordering::Release);
    drop(wake);
    let sent = keys.join().unwrap_or_else(|_| fail("the console's reader failed"));
    match (&shown, &sent) {
        (Ok(()), Ok(())) => {
            let _ = stream.finish();
        }
        _ => stream.abort(),
    }
    shown.and(sent)
}

fn io_failure(error: io::Error) -> Failure {
    Failure::new(format!("console: {error}"))
}

/// Waits for one of two descriptors; how long at most is what ends a wait for a flag.
fn wait_for(fds: &mut [PollFd<'_>]) -> Result<(), Failure> {
    const LOOK_AROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    match poll(fds, Some(&LOOK_AROUND)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => fail(format!("console: {error}")),
    }
}

fn send_keys(
    stream: &dyn Stream,
    escape: Escape,
    ended: &AtomicBool,
    (mut input, woken): (impl AsFd + io::Read, BorrowedFd<'_>),
) -> Done {
    let mut buffer = [0; CHUNK_BYTES];
    while !ended.load(Ordering::Acquire) {
        let mut fds = [
            PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(woken, PollFlags::IN),
        ];
        wait_for(&mut fds)?;
        if fds[0].revents().is_empty() {
            continue;
        }
        let count = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_failure(error)),
        };
        let typed = buffer.get(..count).unwrap_or_default();
        let end = typed.iter().position(|byte| *byte == escape.byte);
        send_all(stream, typed.get(..end.unwrap_or(count)).unwrap_or_default(), ended)?;
        if end.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn send_all(stream: &dyn Stream, mut data: &[u8], ended: &AtomicBool) -> Done {
    while !data.is_empty() && !ended.load(Ordering::Acquire) {
        match stream.send(data)? {
            0 => wait_stream(stream, PollFlags::OUT)?,
            count => data = data.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

fn wait_stream(stream: &dyn Stream, flags: PollFlags) -> Done {
    match stream.poll_fd() {
        Some(fd) => wait_for(&mut [PollFd::from_borrowed_fd(fd, flags)]),
        None => {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Ok(())
        }
    }
}

fn print_output(stream: &dyn Stream, ended: &AtomicBool, mut output: impl io::Write) -> Done {
    let mut buffer = [0; CHUNK_BYTES];
    while !ended.load(Ordering::Acquire) {
        match stream.recv(&mut buffer)? {
            Received::Data(count) => {
                output.write_all(buffer.get(..count).unwrap_or_default()).map_err(io_failure)?;
                output.flush().map_err(io_failure)?;
            }
            Received::Hole(_) => {}
            Received::Pending => wait_stream(stream, PollFlags::IN)?,
            Received::End => return Ok(()),
        }
    }
    Ok(())
}

/// Writes all that a stream brings.
pub(crate) fn drain(stream: &dyn Stream, output: impl io::Write) -> Done {
    print_output(stream, &AtomicBool::new(false), output)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::fd::BorrowedFd;
    use std::sync::{Arc, Mutex};

    use virt_driver::{Received, Stream};

    use super::{Escape, pump};

    /// A guest that says what it is told, and ends when it is told to.
    struct Parrot {
        spoken: io::PipeReader,
        ear: Mutex<Option<io::PipeWriter>>,
        finished: Mutex<bool>,
    }

    impl Stream for Parrot {
        fn recv(&self, buffer: &mut [u8]) -> virt_error::Result<Received> {
            let mut fds = [rustix::event::PollFd::new(&self.spoken, rustix::event::PollFlags::IN)];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            if rustix::event::poll(&mut fds, Some(&now)) == Ok(0) {
                return Ok(Received::Pending);
            }
            Ok(match rustix::io::read(&self.spoken, buffer) {
                Ok(0) | Err(_) => Received::End,
                Ok(count) => Received::Data(count),
            })
        }

        fn send(&self, data: &[u8]) -> virt_error::Result<usize> {
            let mut ear = self.ear.lock().unwrap();
            if data.first() == Some(&b'.') {
                *ear = None;
            }
            // One byte at a time, as a slow line would take it.
            let first = data.get(..1).unwrap_or_default();
            Ok(ear.as_mut().map_or(data.len(), |ear| ear.write(first).unwrap_or(0)))
        }

        fn finish(&self) -> virt_error::Result<()> {
            *self.finished.lock().unwrap() = true;
            Ok(())
        }

        fn abort(&self) {}

        fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
            Some(self.spoken.as_fd())
        }
    }

    /// Types `keys`, then leaves the keyboard alone; what came out, and whether it ended well.
    fn talk(keys: &[u8]) -> (String, bool) {
        let (spoken, ear) = io::pipe().unwrap();
        let guest =
            Arc::new(Parrot { spoken, ear: Mutex::new(Some(ear)), finished: Mutex::new(false) });
        let stream: Arc<dyn Stream> = guest.clone();
        let (keyboard, mut fingers) = io::pipe().unwrap();
        fingers.write_all(keys).unwrap();
        let mut screen = Vec::new();
        pump(&stream, Escape::default(), keyboard, &mut screen).unwrap();
        let finished = *guest.finished.lock().unwrap();
        (String::from_utf8(screen).unwrap(), finished)
    }

    #[test]
    fn the_escape_key_leaves() {
        assert!(talk(b"\x1dmore").1);
    }

    #[test]
    fn the_guest_s_end_leaves() {
        assert_eq!(talk(b"hello."), ("hello".to_owned(), true));
    }
}
