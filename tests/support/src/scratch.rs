//! A folder of a test's own, gone with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new folder with a short path (a socket's path has at most 107 bytes), removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder whose name starts with `name`. Others may pass through it but not list it:
    /// emulators may run as another user.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let folder =
                std::env::temp_dir().join(format!("fv-{name}-{}-{number}", std::process::id()));
            match fs::create_dir(&folder) {
                // What an earlier process of the same number left is not ours to remove.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => {
                    made.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
                    let scratch = Self(folder);
                    scratch.set_mode(0o711);
                    return scratch;
                }
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file inside and gives its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    pub fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode))
            .unwrap_or_else(|error| panic!("{}: {error}", self.0.display()));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
