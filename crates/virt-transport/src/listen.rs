//! Unix sockets made and reached: modes, groups, and what a dead daemon left behind.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Gid, Mode, Uid};
use rustix::io::Errno;
use virt_error::{Error, Origin, Result};

/// Limit: how long a daemon that was killed may take to end; one that answers after this lives.
const ENDING_MAX: Duration = Duration::from_secs(2);

/// The first pause before it is asked again; each is twice the one before.
const ENDING_PAUSE_MIN: Duration = Duration::from_millis(2);

/// How a listening socket is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Listen<'a> {
    pub path: &'a Path,
    /// Permission bits, as 0o700.
    pub mode: u32,
    pub group: Option<u32>,
    pub backlog: i32,
}

/// Connects to a daemon's socket.
pub fn connect(path: &Path) -> Result<UnixStream> {
    UnixStream::connect(path).map_err(|error| {
        let what = format!("Failed to connect socket to '{}'", path.display());
        Error::io(Origin::Rpc, &error, what)
    })
}

/// Listens at a path, in the place of a socket that nobody answers any more.
pub fn listen(wanted: &Listen<'_>) -> Result<UnixListener> {
    let shown = wanted.path.display();
    let bind_error = |error: io::Error| {
        Error::io(Origin::Rpc, &error, format_args!("Failed to bind socket to '{shown}'"))
    };
    remove_stale(wanted.path).map_err(bind_error)?;
    let socket = bind(wanted).map_err(bind_error)?;
    if let Some(group) = wanted.group {
        let owner = Uid::from_raw(rustix::process::geteuid().as_raw());
        rustix::fs::chown(wanted.path, Some(owner), Some(Gid::from_raw(group))).map_err(
            |error| {
                let what = format!("Failed to change ownership of '{shown}'");
                Error::io(Origin::Rpc, &error.into(), what)
            },
        )?;
    }
    // Order: the mode is widened only after the group is set, and nobody is accepted before.
    rustix::fs::chmod(wanted.path, Mode::from_raw_mode(wanted.mode))
        .and_then(|()| rustix::net::listen(socket.as_fd(), wanted.backlog))
        .map_err(|error| {
            Error::io(Origin::Rpc, &error.into(), format_args!("Failed to listen on '{shown}'"))
        })?;
    Ok(socket)
}

fn bind(wanted: &Listen<'_>) -> io::Result<UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The socket is made by bind with everything the file mode mask leaves: leave the owner only.
    let old = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = rustix::net::bind(&socket, &SocketAddrUnix::new(wanted.path)?);
    rustix::process::umask(old);
    bound?;
    Ok(UnixListener::from(socket))
}

/// Removes a socket that refuses connections; anything else at the path is left alone.
///
/// A daemon that was killed lets go of its locks before its sockets: until the kernel has closed
/// them they still take connections that nobody will serve. So one that answers is asked again.
fn remove_stale(path: &Path) -> io::Result<()> {
    let mut waited = Duration::ZERO;
    let mut pause = ENDING_PAUSE_MIN;
    loop {
        match remove_silent(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && waited < ENDING_MAX => {}
            done => return done,
        }
        std::thread::sleep(pause);
        waited = waited.saturating_add(pause);
        pause = pause.saturating_mul(2);
    }
}

fn remove_silent(path: &Path) -> io::Result<()> {
    let meta = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !meta.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match knock(path) {
        // A full queue is somebody's too; waiting for room in it could take for ever.
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::from_raw_os_error(Errno::ADDRINUSE.raw_os_error()))
        }
        Err(_) => std::fs::remove_file(path),
    }
}

/// Connects without waiting.
fn knock(path: &Path) -> rustix::io::Result<()> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// What a killed daemon leaves for a moment: a socket that still takes connections.
    #[test]
    fn a_socket_that_is_about_to_close_is_replaced() {
        let path = std::env::temp_dir().join(format!("virt-listen-ending-{}", std::process::id()));
        let wanted = Listen { path: &path, mode: 0o600, group: None, backlog: 5 };
        let ending = listen(&wanted).expect("first");
        let end = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(ending);
        });
        let _second = listen(&wanted).expect("second");
        end.join().expect("joined");
        connect(&path).expect("the second one answers");
        std::fs::remove_file(&path).expect("remove");
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let path = std::env::temp_dir().join(format!("virt-listen-{}", std::process::id()));
        let wanted = Listen { path: &path, mode: 0o640, group: None, backlog: 5 };
        let first = listen(&wanted).expect("first");
        let mode = std::fs::metadata(&path).expect("meta").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(listen(&wanted).expect_err("in use").message().contains("Address already in use"));
        drop(first);
        let second = listen(&wanted).expect("second");
        connect(&path).expect("connect");
        drop(second);
        std::fs::remove_file(&path).expect("remove");
        let error = connect(&path).expect_err("gone");
        let expected =
            format!("Failed to connect socket to '{}': No such file or directory", path.display());
        assert_eq!(error.message(), expected);
    }
}
