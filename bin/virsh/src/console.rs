//! A guest's console on this terminal.
//!
//! Two threads: one reads keys and sends them, the other prints what the guest writes. The escape
//! key, the guest's end and a lost stream all end both. The terminal is raw meanwhile and restored
//! however this ends.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    shell.need_terminal()?;
    let connection = shell.connection()?;
    if !connection.domain_is_active(domain).unwrap_or(true) {
        return fail("The domain is not running");
    }
    let escape = shell.settings.escape;
    sayln!(shell, "Connected to domain '{}'", domain.name);
    sayln!(shell, "Escape character is {}", escape.describe());
    if flags & virt_types::api::DOMAIN_CONSOLE_FORCE != 0 {
        // Compat: said so that a script sees who took the console over.
        shell.note(crate::shell::LEVEL_INFO, format_args!("console: taking over other sessions"));
    }
    shell.flush();
    let stream = connection.domain_open_console(domain, device, flags)?;
    if resume && let Err(error) = connection.domain_resume(domain) {
        stream.abort();
        return Err(error.into());
    }
    let terminal = io::stdin();
    let raw = Raw::enter(&terminal)?;
    let outcome = pump(&stream, escape);
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
fn pump(stream: &Arc<dyn Stream>, escape: Escape) -> Done {
    let ended = Arc::new(AtomicBool::new(false));
    let (wake, woken) = io::pipe().map_err(io_failure)?;
    let keys = {
        let (stream, ended) = (Arc::clone(stream), Arc::clone(&ended));
        let wake = OwnedFd::from(wake);
        std::thread::spawn(move || {
            let outcome = send_keys(stream.as_ref(), escape, &ended, wake.as_fd());
            ended.store(true, Ordering::Release);
            outcome
        })
    };
    let shown = print_output(stream.as_ref(), &ended);
    ended.store(true, Ordering::Release);
    drop(woken);
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
    woken: BorrowedFd<'_>,
) -> Done {
    let input = io::stdin();
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
        let count = match input.lock().read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_failure(error)),
        };
        let typed = buffer.get(..count).unwrap_or_default();
        let end = typed.iter().position(|byte| *byte == escape.0);
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

fn print_output(stream: &dyn Stream, ended: &AtomicBool) -> Done {
    let mut output = io::stdout();
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
