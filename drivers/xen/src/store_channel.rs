//! xenstored as the driver has it: connected when it is wanted, and again after it has gone.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use virt_error::{Code, Error, Origin, Result};

use crate::xenstore::{Store, StoreError, Watcher};

/// Where xenstored listens: today, and on hosts of xend's time.
const SOCKETS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];

/// For how long a xenstored that has let a question wait in vain is not asked again: one question of a call
/// waits, and not each of its dozens.
const SILENCE: Duration = Duration::from_secs(10);

/// The way to xenstored.
#[derive(Debug)]
pub(crate) struct StoreChannel {
    sockets: Vec<PathBuf>,
    open: Mutex<Option<Store>>,
    /// Until when it is not asked, and for how many seconds it was waited for.
    silent: Mutex<Option<(Instant, u64)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoreChannel {
    pub(crate) fn new(socket: Option<PathBuf>) -> Self {
        let usual = || SOCKETS.iter().map(PathBuf::from).collect();
        let sockets = socket.map_or_else(usual, |one| vec![one]);
        Self { sockets, open: Mutex::new(None), silent: Mutex::new(None) }
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
        let silent = *lock(&self.silent);
        if let Some((_, seconds)) = silent.filter(|(until, _)| Instant::now() < *until) {
            return Err(public(&StoreError::Timeout(seconds)));
        }
        // Twice, because the first may be how one learns that the connection is gone.
        for last in [false, true] {
            let store = self.store()?;
            match ask(&store) {
                Err(StoreError::Gone(_)) if !last => {
                    *lock(&self.open) = None;
                }
                Err(error @ StoreError::Timeout(seconds)) => {
                    *lock(&self.silent) = Some((Instant::now() + SILENCE, seconds));
                    // Answers that come after all are of no use to anybody.
                    *lock(&self.open) = None;
                    return Err(public(&error));
                }
                answer => return answer.map_err(|error| public(&error)),
            }
        }
        Err(Error::bare(Code::NoXenstore, Origin::Xenstore))
    }

    fn store(&self) -> Result<Store> {
        let mut open = lock(&self.open);
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
