//! `--daemon`: a child in its own session serves, and the parent ends when it is ready.
//!
//! The child is this program started anew, with a socket to the parent as its standard input;
//! forking without starting anew is not possible in safe code.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

/// Set for the child.
const CHILD: &str = "VIRTD_DAEMON_CHILD";
const READY: &[u8] = b"R";

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Starts the child and waits until it is ready. What it complains about goes to our own output.
pub(crate) fn start_child() -> Result<(), String> {
    let failed = |error: std::io::Error| format!("Failed to fork as daemon: {error}");
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(CHILD, "1");
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    // The command keeps the child's end; while it does, a child that ends is not noticed.
    drop(command);
    let mut word = [0; 1];
    match ours.read(&mut word) {
        Ok(1) => Ok(()),
        _ => {
            // It ended without a word to us; it has told the user why.
            let _ = child.wait();
            std::process::exit(1)
        }
    }
}

/// Leaves the parent's session and folder.
pub(crate) fn detach() -> Result<(), String> {
    rustix::process::setsid().map_err(|error| format!("Failed to become a session: {error}"))?;
    std::env::set_current_dir("/").map_err(|error| format!("cannot change to root dir: {error}"))
}

/// Lets the parent end, and lets go of its terminal.
pub(crate) fn tell_ready() {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    if let Ok(parent) = rustix::io::dup(rustix::stdio::stdin()) {
        let _ = UnixStream::from(parent).write_all(READY);
    }
    if let Ok(null) = null {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}
