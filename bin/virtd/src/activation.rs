//! Sockets that the service manager made for us.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::net::{AddressFamily, getsockname};
use rustix::process::{ForeignRawFd, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::entry::{Auth, Entries, Way};
use crate::server::{Door, Socket};

/// The passed sockets that clients come to; none when we were not started for one.
pub(crate) fn doors(entries: &Entries) -> Result<Vec<Door>, String> {
    let failed = |error: std::io::Error| format!("cannot take the passed sockets: {error}");
    let numbers = sd_notify::listen_fds().map_err(failed)?;
    numbers
        .map(|number| {
            let socket = own(number).map_err(failed)?;
            door(socket, entries)
        })
        .collect()
}

/// What comes by a socket, by where it listens.
fn door(socket: OwnedFd, entries: &Entries) -> Result<Door, String> {
    let address = getsockname(&socket).map_err(|error| format!("a passed socket: {error}"))?;
    let network = |port: u16, socket| {
        let (way, auth) = match port {
            port if port == entries.tls_port => (Way::Tls, entries.auth_tls),
            port if port == entries.tcp_port => (Way::Tcp, entries.auth_tcp),
            _ => {
                return Err(format!(
                    "a passed socket listens on port {port}, which is neither tcp_port nor tls_port"
                ));
            }
        };
        let listener = Socket::Tcp(TcpListener::from(socket));
        Ok(Door { listener, read_only: false, admin: false, auth, way })
    };
    match address.address_family() {
        AddressFamily::INET => {
            let address =
                std::net::SocketAddrV4::try_from(address).map_err(|error| error.to_string())?;
            network(address.port(), socket)
        }
        AddressFamily::INET6 => {
            let address =
                std::net::SocketAddrV6::try_from(address).map_err(|error| error.to_string())?;
            network(address.port(), socket)
        }
        _ => Ok(local(UnixListener::from(socket), entries)),
    }
}

fn local(listener: UnixListener, entries: &Entries) -> Door {
    let path = listener.local_addr().ok();
    let path = path.as_ref().and_then(|address| address.as_pathname());
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    let (admin, read_only) = (path.ends_with("-admin-sock"), path.ends_with("-ro"));
    let auth = match (admin, read_only) {
        // Who administers the daemon owns it.
        (true, _) => Auth::None,
        (false, true) => entries.auth_unix_ro,
        (false, false) => entries.auth_unix_rw,
    };
    Door { listener: Socket::Unix(listener), read_only, admin, auth, way: Way::Unix }
}

/// An owned descriptor for a number. Taking a bare number over is not safe in Rust's sense, so the
/// kernel is asked for a duplicate, as it would be for another process.
fn own(number: ForeignRawFd) -> std::io::Result<OwnedFd> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let socket = pidfd_getfd(this, number, PidfdGetfdFlags::empty())?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}
