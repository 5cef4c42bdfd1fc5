//! Who is connected to which console, and what has still to reach them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::EventfdFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// Limit: output that a client may leave unread; older output is dropped.
const OUTPUT_BYTES_MAX: usize = 1 << 18;
/// Limit: of a line typed into a guest.
const LINE_BYTES_MAX: usize = 1024;

/// What waits for one client.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Mutex<Vec<u8>>,
    wake: OwnedFd,
}

impl Outgoing {
    pub(crate) fn new() -> std::io::Result<Arc<Self>> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Self { bytes: Mutex::default(), wake }))
    }

    fn push(&self, text: &str) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let excess = (bytes.len() + text.len()).saturating_sub(OUTPUT_BYTES_MAX);
        let excess = excess.min(bytes.len());
        bytes.drain(..excess);
        bytes.extend_from_slice(text.as_bytes());
        drop(bytes);
        // A full counter is readable already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        let mut drained = [0; 8];
        // Nothing to read is what is wanted.
        let _ = rustix::io::read(&self.wake, &mut drained);
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// The console of one domain. The first of its clients writes, the others read.
#[derive(Debug, Default)]
struct Terminal {
    clients: Vec<Arc<Outgoing>>,
    line: Vec<u8>,
}

/// The consoles of all domains, by name.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    terminals: Mutex<BTreeMap<String, Terminal>>,
}

impl Hub {
    fn terminals(&self) -> MutexGuard<'_, BTreeMap<String, Terminal>> {
        self.terminals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join(&self, domain: &str, client: &Arc<Outgoing>) {
        let mut terminals = self.terminals();
        terminals.entry(domain.to_owned()).or_default().clients.push(Arc::clone(client));
    }

    pub(crate) fn leave(&self, domain: &str, client: &Arc<Outgoing>) {
        let mut terminals = self.terminals();
        if let Some(terminal) = terminals.get_mut(domain) {
            terminal.clients.retain(|other| !Arc::ptr_eq(other, client));
            if terminal.clients.is_empty() {
                terminals.remove(domain);
            }
        }
    }

    /// Makes a client the one that writes.
    pub(crate) fn take_over(&self, domain: &str, client: &Arc<Outgoing>) {
        if let Some(terminal) = self.terminals().get_mut(domain) {
            terminal.clients.retain(|other| !Arc::ptr_eq(other, client));
            terminal.clients.insert(0, Arc::clone(client));
        }
    }

    pub(crate) fn may_write(&self, domain: &str, client: &Arc<Outgoing>) -> bool {
        let terminals = self.terminals();
        let first = terminals.get(domain).and_then(|terminal| terminal.clients.first());
        first.is_some_and(|first| Arc::ptr_eq(first, client))
    }

    pub(crate) fn is_connected(&self, domain: &str) -> bool {
        self.terminals().contains_key(domain)
    }

    /// Shows output of the guest to all of its clients.
    pub(crate) fn show(&self, domain: &str, text: &str) {
        if let Some(terminal) = self.terminals().get(domain) {
            terminal.clients.iter().for_each(|client| client.push(text));
        }
    }

    /// Takes a typed byte; a whole line when this was its end.
    pub(crate) fn typed(&self, domain: &str, byte: u8) -> Option<String> {
        let mut terminals = self.terminals();
        let line = &mut terminals.get_mut(domain)?.line;
        match byte {
            b'\r' => return Some(String::from_utf8_lossy(&std::mem::take(line)).into_owned()),
            8 | 127 => drop(line.pop()),
            byte if line.len() < LINE_BYTES_MAX => line.push(byte),
            _ => {}
        }
        None
    }
}
