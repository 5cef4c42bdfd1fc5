//! The lock that makes a daemon the only one of its kind on a directory.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};

use crate::{Result, StoreError, io};

/// Limit: how long a daemon that was killed may take to end.
const ENDING_MAX: Duration = Duration::from_secs(2);

/// Between two looks at its lock.
const ENDING_PAUSE: Duration = Duration::from_millis(5);

/// A held lock file with our pid in it; given up and removed when dropped.
///
/// Compat: the lock is a POSIX record lock, as libvirt's, so that neither daemon starts on a
/// directory that the other one owns. Nobody in this process may open the file while it is held:
/// closing any descriptor of it gives a record lock up.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    _file: File,
}

impl PidFile {
    /// Takes the lock, or says at once that somebody else holds it.
    pub fn acquire(path: &Path) -> Result<Self> {
        loop {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .open(path)
                .map_err(|error| io("open", path, error))?;
            fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
                .map_err(|_| StoreError::Locked { path: path.to_owned() })?;
            // The holder before us may have removed the file between our open and our lock.
            let ours = file.metadata().map_err(|error| io("inspect", path, error))?;
            if !fs::metadata(path).is_ok_and(|there| there.ino() == ours.ino()) {
                continue;
            }
            file.set_len(0)
                .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
                .map_err(|error| io("write", path, error))?;
            return Ok(Self { path: path.to_owned(), _file: file });
        }
    }
}

impl PidFile {
    /// [`PidFile::acquire`]; a daemon that was killed may hold the lock until the kernel has cleared it
    /// away, so it is waited for a little.
    pub fn acquire_soon(path: &Path) -> Result<Self> {
        let since = Instant::now();
        loop {
            match Self::acquire(path) {
                Err(StoreError::Locked { .. }) if since.elapsed() < ENDING_MAX => {
                    std::thread::sleep(ENDING_PAUSE);
                }
                done => return done,
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The lock itself goes with the descriptor; a file left behind is taken over.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Run by the test below in a process of its own, since a record lock never meets its owner.
    #[test]
    fn helper_that_tries_the_lock() {
        let Ok(path) = std::env::var("VIRT_STORE_LOCK") else { return };
        let code = i32::from(PidFile::acquire(Path::new(&path)).is_ok());
        std::process::exit(40 + code);
    }

    fn another_process_gets(path: &Path) -> bool {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "pid_file::tests::helper_that_tries_the_lock"])
            .env("VIRT_STORE_LOCK", path)
            .output()
            .unwrap()
            .status;
        assert!(matches!(status.code(), Some(40 | 41)), "{status}");
        status.code() == Some(41)
    }

    #[test]
    fn only_one_process_holds_it_and_a_stale_file_is_no_lock() {
        let path = std::env::temp_dir().join(format!("virt-store-{}.pid", std::process::id()));
        fs::write(&path, "999999").unwrap();
        let held = PidFile::acquire(&path).unwrap();
        assert!(!another_process_gets(&path));
        // Last, for closing any descriptor of the file gives a record lock up.
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        drop(held);
        assert!(!path.exists());
        assert!(another_process_gets(&path));
        assert!(!path.exists() || fs::remove_file(&path).is_ok());
    }
}
