//! The ports that consoles listen on. A port that a domain has is open, whether or not it runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::EventfdFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::Shutdown;

use super::hub::Hub;

/// The open ports.
#[derive(Debug)]
pub(crate) struct Consoles {
    address: IpAddr,
    /// Ports come from the system, not from the concentrator's range.
    are_chosen: bool,
    listeners: Mutex<BTreeMap<u16, Arc<TcpListener>>>,
    /// Becomes readable when ports came or went.
    changed: OwnedFd,
    pub(crate) hub: Hub,
}

impl Consoles {
    pub(crate) fn new(address: IpAddr, are_chosen: bool) -> std::io::Result<Self> {
        let changed = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { address, are_chosen, listeners: Mutex::default(), changed, hub: Hub::default() })
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, BTreeMap<u16, Arc<TcpListener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        // A full counter is readable already.
        let _ = rustix::io::write(&self.changed, &1u64.to_ne_bytes());
    }

    /// Opens this port.
    pub(crate) fn open(&self, port: u16) -> Result<u16, String> {
        let listener = TcpListener::bind(SocketAddr::from((self.address, port)));
        let listener = listener.map_err(|error| format!("Unable to open port {port}: {error}"))?;
        let port = listener.local_addr().map_or(port, |address| address.port());
        // Only a listener that never waits can be looked at beside others.
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        self.listeners().insert(port, Arc::new(listener));
        self.tell();
        Ok(port)
    }

    /// Opens a free port of the range.
    pub(crate) fn open_free(&self, range: RangeInclusive<u16>) -> Result<u16, String> {
        if self.are_chosen {
            return self.open(0);
        }
        let opened: Vec<u16> = self.listeners().keys().copied().collect();
        let mut free = range.filter(|port| !opened.contains(port));
        let opened = free.find_map(|port| self.open(port).ok());
        opened.ok_or_else(|| "There is no free console port".to_owned())
    }

    pub(crate) fn close(&self, port: u16) {
        if let Some(listener) = self.listeners().remove(&port) {
            // Whoever looks at the listeners may have it for a moment more; the port is free now.
            let _ = rustix::net::shutdown(&*listener, Shutdown::Both);
        }
        self.tell();
    }

    /// The ports of this moment; what was said about changes before is forgotten.
    pub(crate) fn snapshot(&self) -> Vec<(u16, Arc<TcpListener>)> {
        let mut drained = [0; 8];
        // Nothing to read is what is wanted.
        let _ = rustix::io::read(&self.changed, &mut drained);
        self.listeners().iter().map(|(port, listener)| (*port, Arc::clone(listener))).collect()
    }

    /// Readable when ports came or went.
    pub(crate) fn changed(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }
}
