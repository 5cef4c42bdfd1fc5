//! Consoles: a stream on the terminal that stands for a guest's console.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustix::fs::OFlags;
use virt_driver::{Received, Stream};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_model::domain::chardev::{ChardevSource, ChardevType};
use virt_types::api;

/// The open consoles, by the terminal they are on. Each has one user at a time.
#[derive(Debug, Default)]
pub struct Consoles(Mutex<HashMap<PathBuf, Weak<Console>>>);

/// One open console.
struct Console {
    terminal: std::fs::File,
    closed: AtomicBool,
    /// Somebody else has the terminal now.
    taken: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Consoles {
    /// Opens a terminal; by force, it is taken from whoever has it.
    pub fn open(&self, path: &Path, flags: u32, origin: Origin) -> Result<Arc<dyn Stream>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, console| console.upgrade().is_some_and(|console| !console.is_closed()));
        if let Some(user) = open.get(path).and_then(Weak::upgrade) {
            if flags & api::DOMAIN_CONSOLE_FORCE == 0 {
                let detail = "Active console session exists for this domain";
                return Err(Error::new(Code::OperationFailed, origin, detail));
            }
            user.take_away();
        }
        let options = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
        let terminal = std::fs::File::options()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(options).unwrap_or(0))
            .open(path)
            .map_err(|error| {
                let what = format!("Unable to open file: {}", path.display());
                Error::io(Origin::Streams, &error, what)
            })?;
        let console = Arc::new(Console {
            terminal,
            closed: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            wake: OnceLock::new(),
        });
        open.insert(path.to_owned(), Arc::downgrade(&console));
        Ok(console)
    }
}

impl Console {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn take_away(&self) {
        self.taken.store(true, Ordering::Release);
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    fn check(&self) -> Result<()> {
        match self.taken.load(Ordering::Acquire) {
            true => Err(Error::new(Code::Rpc, Origin::Streams, "stream had I/O failure")),
            false => Ok(()),
        }
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

impl Stream for Console {
    fn recv(&self, buffer: &mut [u8]) -> Result<Received> {
        self.check()?;
        loop {
            if self.is_closed() {
                return Ok(Received::End);
            }
            return match (&self.terminal).read(buffer) {
                Ok(0) => Ok(Received::End),
                Ok(count) => Ok(Received::Data(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Received::Pending),
                // The other side of a terminal that has gone reads as an I/O error.
                Err(_) => Ok(Received::End),
            };
        }
    }

    fn send(&self, data: &[u8]) -> Result<usize> {
        self.check()?;
        loop {
            if self.is_closed() {
                return Err(Error::internal(Origin::Streams, "stream is closed"));
            }
            return match (&self.terminal).write(data) {
                Ok(count) => Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
                Err(error) => Err(Error::io(Origin::Streams, &error, "cannot write to stream")),
            };
        }
    }

    fn finish(&self) -> Result<()> {
        self.close();
        Ok(())
    }

    fn abort(&self) {
        self.close();
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.terminal.as_fd())
    }

    fn on_change(&self, wake: Box<dyn Fn() + Send + Sync>) {
        if self.wake.set(wake).is_ok() && self.check().is_err() {
            // It was taken before anybody could be told.
            self.take_away();
        }
    }
}

/// The terminal of the device with this alias, or of the first console.
pub fn terminal(document: &Document, device: Option<&str>, origin: Origin) -> Result<PathBuf> {
    let devices = &document.devices;
    let named = |alias: &Option<String>| alias.as_deref() == device;
    let source: Option<&ChardevSource> = match device {
        None => {
            let console = devices.consoles.first().map(|console| &console.source);
            console.or(devices.serials.first().map(|serial| &serial.source))
        }
        Some(_) => {
            let consoles = devices.consoles.iter().map(|d| (&d.info.alias, &d.source));
            let serials = devices.serials.iter().map(|d| (&d.info.alias, &d.source));
            let parallels = devices.parallels.iter().map(|d| (&d.info.alias, &d.source));
            let mut all = consoles.chain(serials).chain(parallels);
            all.find(|(alias, _)| named(alias)).map(|(_, source)| source)
        }
    };
    let name = device.unwrap_or("(null)");
    let internal = |detail: String| Error::internal(origin, detail);
    let source = source.ok_or_else(|| internal(format!("cannot find character device {name}")))?;
    match (source.kind, &source.path) {
        (ChardevType::Pty, Some(path)) => Ok(PathBuf::from(path)),
        _ => Err(internal(format!("character device {name} is not using a PTY"))),
    }
}
