//! The lock of a vdisk: one process changes it at a time.
//!
//! Compat: other programs know a vdisk as locked while `vdisk.lock` is there. It is there while we
//! hold it; but what holds is an flock on it, so that one whose maker was killed holds nobody up.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::failure::{Failure, Result};

pub(crate) const LOCK_FILE: &str = "vdisk.lock";

/// Limit: short changes are over by then; who waits for a long copy is told.
const WAIT_MAX: Duration = Duration::from_secs(10);
const WAIT_STEP: Duration = Duration::from_millis(10);

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits for the lock of a folder, some seconds.
    pub(crate) fn acquire(folder: &Path) -> Result<Self> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            if let Some(lock) = Self::try_acquire(folder)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                let folder = folder.display();
                return Err(Failure::new(format!(
                    "'{folder}' is being changed by another process"
                )));
            }
            thread::sleep(WAIT_STEP);
        }
    }

    /// The lock, if nobody holds it.
    pub(crate) fn try_acquire(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(LOCK_FILE);
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(&path)
                .map_err(|error| Failure::io("lock", folder, error))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(Failure::io("lock", folder, error)),
            }
            let ours = file.metadata().map_err(|error| Failure::io("lock", folder, error))?;
            match fs::symlink_metadata(&path) {
                Ok(there) if there.ino() == ours.ino() => {
                    return Ok(Some(Self { path, _file: file }));
                }
                // The holder before us removed it between our open and our lock.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::io("lock", folder, error)),
            }
        }
    }

    /// The folder has another name now.
    pub(crate) fn moved_to(&mut self, folder: &Path) {
        self.path = folder.join(LOCK_FILE);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Order: removed while it is held, so that nobody locks a file that is about to go.
        let _ = fs::remove_file(&self.path);
    }
}
