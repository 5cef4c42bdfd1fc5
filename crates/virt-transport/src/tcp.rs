//! TCP: reaching a daemon by host and port, and listening for those who do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use virt_error::{Error, Origin, Result};

/// The port of a daemon that is reached without encryption.
pub const TCP_PORT: u16 = 16509;
/// The port of a daemon that is reached by TLS.
pub const TLS_PORT: u16 = 16514;

/// Limit: how long one address of a host is tried.
const CONNECT_MAX: Duration = Duration::from_secs(60);

/// Connects to the first address of a host that answers.
pub fn connect(host: &str, port: u16) -> Result<TcpStream> {
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        // The resolver's own words stand behind the library's "failed to lookup address information".
        let said = error.to_string();
        let reason = said.rsplit(": ").next().unwrap_or(&said);
        Error::system(
            Origin::Rpc,
            0,
            format_args!("Unable to resolve address '{host}' service '{port}': {reason}"),
        )
    })?;
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(socket) => {
                // Calls are short: each is sent at once.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => failure = error,
        }
    }
    let what = format!("unable to connect to server at '{host}:{port}'");
    Err(Error::io(Origin::Rpc, &failure, what))
}

/// Listens on a host's addresses, or on all of this host's where none is named.
pub fn listen(host: Option<&str>, port: u16, backlog: i32) -> Result<Vec<TcpListener>> {
    let addresses: Vec<SocketAddr> = match host {
        None => vec![
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        ],
        Some(host) => (host, port)
            .to_socket_addrs()
            .map_err(|error| {
                Error::io(Origin::Rpc, &error, format_args!("Unable to resolve address '{host}'"))
            })?
            .collect(),
    };
    let mut listeners = Vec::new();
    for address in addresses {
        match listen_at(address, backlog) {
            Ok(listener) => listeners.push(listener),
            // A host without IPv6 listens on what it has.
            Err(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL)
                if host.is_none() => {}
            Err(error) => {
                let what = format!("Unable to bind to port: '{address}'");
                return Err(Error::io(Origin::Rpc, &error.into(), what));
            }
        }
    }
    Ok(listeners)
}

fn listen_at(address: SocketAddr, backlog: i32) -> rustix::io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, backlog)?;
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_and_a_closed_port_is_named() {
        let listeners = listen(Some("127.0.0.1"), 0, 5).expect("listen");
        let port = listeners[0].local_addr().expect("address").port();
        connect("127.0.0.1", port).expect("connect");
        drop(listeners);
        let error = connect("127.0.0.1", port).expect_err("closed");
        let expected =
            format!("unable to connect to server at '127.0.0.1:{port}': Connection refused");
        assert_eq!(error.message(), expected);
    }
}
