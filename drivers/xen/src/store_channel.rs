//! xenstored as the driver has it: connected when it is wanted, and again after it has gone.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use virt_error::{Code, Error, Origin, Result};

use crate::xenstore::{Store, StoreError, Watcher};

/// Where xenstored listens: today, and on hosts of xend's time.
const SOCKETS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];

/// The way to xenstored.
#[derive(Debug)]
pub(crate) struct StoreChannel {
    sockets: Vec<PathBuf>,
    open: Mutex<Option<Store>>,
}

impl StoreChannel {
    pub(crate) fn new(socket: Option<PathBuf>) -> Self {
        let usual = || SOCKETS.iter().map(PathBuf::from).collect();
        Self { sockets: socket.map_or_else(usual, |one| vec![one]), open: Mutex::new(None) }
    }

    fn connect(&self) -> std::io::Result<(Store, Watcher)> {
        let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
        for socket in &self.sockets {
            match Store::connect(socket) {
                Ok(open) => return Ok(open),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A connection of its own for somebody who watches.
    pub(crate) fn watching(&self) -> std::io::Result<(Store, Watcher)> {
        self.connect()
    }

    /// Asks, where xenstored is there; `None` where it is not, or has just gone.
    pub(crate) fn ask<T>(
        &self,
        ask: impl Fn(&Store) -> std::result::Result<T, StoreError>,
    ) -> Option<T> {
        self.try_ask(ask).ok()
    }

    /// The same, for what cannot be done without it.
    pub(crate) fn try_ask<T>(
        &self,
        ask: impl Fn(&Store) -> std::result::Result<T, StoreError>,
    ) -> Result<T> {
        // Twice, because the first may be how one learns that the connection is gone.
        for last in [false, true] {
            let store = self.store()?;
            match ask(&store) {
                Err(StoreError::Gone(_)) if !last => {
                    *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                answer => return answer.map_err(|error| public(&error)),
            }
        }
        Err(Error::bare(Code::NoXenstore, Origin::Xenstore))
    }

    fn store(&self) -> Result<Store> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*open {
            return Ok(store.clone());
        }
        let (store, _) = self.connect().map_err(|error| {
            let place = self.sockets.first().map(|path| path.display().to_string());
            let detail = format!("{}: {error}", place.unwrap_or_default());
            Error::new(Code::NoXenstore, Origin::Xenstore, detail)
        })?;
        Ok(open.insert(store).clone())
    }
}

fn public(error: &StoreError) -> Error {
    Error::new(Code::OperationFailed, Origin::Xenstore, error.to_string())
}
