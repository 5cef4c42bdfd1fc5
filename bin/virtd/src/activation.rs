//! Sockets that the service manager made for us.

use std::os::unix::net::UnixListener;

use rustix::process::{ForeignRawFd, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::entry::{Entries, Way};
use crate::server::{Door, Socket};

/// The passed sockets that clients come to; none when we were not started for one.
pub(crate) fn doors(entries: &Entries) -> Result<Vec<Door>, String> {
    let failed = |error: std::io::Error| format!("cannot take the passed sockets: {error}");
    let numbers = sd_notify::listen_fds().map_err(failed)?;
    let mut doors = Vec::new();
    for number in numbers {
        let listener = own(number).map_err(failed)?;
        let path = listener.local_addr().map_err(failed)?;
        let path = path.as_pathname().map(|path| path.display().to_string()).unwrap_or_default();
        if path.contains("-admin-sock") {
            virt_log::warning!("daemon", "nobody serves the admin socket '{path}' yet");
            continue;
        }
        let read_only = path.ends_with("-ro");
        let auth = if read_only { entries.auth_unix_ro } else { entries.auth_unix_rw };
        doors.push(Door {
            listener: Socket::Unix(listener),
            read_only,
            admin: false,
            auth,
            way: Way::Unix,
        });
    }
    Ok(doors)
}

/// An owned descriptor for a number. Taking a bare number over is not safe in Rust's sense, so the
/// kernel is asked for a duplicate, as it would be for another process.
fn own(number: ForeignRawFd) -> std::io::Result<UnixListener> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let listener = UnixListener::from(pidfd_getfd(this, number, PidfdGetfdFlags::empty())?);
    listener.set_nonblocking(true)?;
    Ok(listener)
}
