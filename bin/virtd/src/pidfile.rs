//! The pid file: written by one daemon at a time, held by a lock for as long as it lives.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};

/// Limit: how long a daemon that was killed may take to end; one that holds its lock longer lives.
const ENDING_MAX: Duration = Duration::from_secs(2);

/// Between two looks at the lock.
const ENDING_PAUSE: Duration = Duration::from_millis(5);

/// Held until the daemon ends; dropping it removes the file.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    _file: File,
}

impl PidFile {
    /// Takes the file or says who has it.
    ///
    /// Compat: the lock is a POSIX record lock, as libvirt's, so that the two exclude each other.
    pub(crate) fn take(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        // A holder that is just ending removes the file after we opened it: then try once more.
        for _ in 0..100 {
            let mut file = OpenOptions::new()
                .create(true)
                .read(true)
                .write(true)
                .truncate(false)
                .open(path)
                .map_err(|error| format!("Failed to open pid file '{shown}': {error}"))?;
            lock(&file)
                .map_err(|error| format!("Failed to acquire pid file '{shown}': {error}"))?;
            if !is_at(&file, path) {
                continue;
            }
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| writeln!(file, "{}", std::process::id()));
            written.map_err(|error| format!("Failed to write pid file '{shown}': {error}"))?;
            return Ok(Self { path: path.to_owned(), _file: file });
        }
        Err(format!("Failed to acquire pid file '{shown}'"))
    }
}

/// Takes the lock; a daemon that was killed may hold it until the kernel has cleared it away.
fn lock(file: &File) -> rustix::io::Result<()> {
    let since = Instant::now();
    loop {
        let done = fcntl_lock(file, FlockOperation::NonBlockingLockExclusive);
        if done.is_ok() || since.elapsed() > ENDING_MAX {
            return done;
        }
        std::thread::sleep(ENDING_PAUSE);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Order: removed while still locked, so that nobody's new file is removed.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_pid_and_goes_with_the_daemon() {
        let path = std::env::temp_dir().join(format!("virtd-pid-{}", std::process::id()));
        let held = PidFile::take(&path).expect("take");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(held);
        assert!(!path.exists());
    }
}
