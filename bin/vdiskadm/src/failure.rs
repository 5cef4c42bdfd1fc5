//! Why a command failed, in the words that are printed behind `ERROR:`.

use std::fmt;
use std::path::Path;

use virt_disk::DiskError;
use virt_store::StoreError;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    /// The command was not given as it wants to be: its page follows the message.
    pub(crate) shows_usage: bool,
}

/// The result of everything here.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), shows_usage: false }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), shows_usage: true }
    }

    /// A failed system call on a file.
    pub(crate) fn io(what: &str, path: &Path, error: impl Into<std::io::Error>) -> Self {
        Self::new(format!("cannot {what} '{}': {}", path.display(), error.into()))
    }

    /// A bad image.
    pub(crate) fn disk(path: &Path, error: DiskError) -> Self {
        match error {
            DiskError::Cancelled => Self::new("cancelled"),
            error => Self::new(format!("{}: {error}", path.display())),
        }
    }

    /// A copy that failed at what was read, or at what was written.
    pub(crate) fn copying(from: &Path, to: &Path, error: DiskError) -> Self {
        let is_read = |what: &str| ["read", "find", "measure"].iter().any(|w| what.starts_with(w));
        match &error {
            DiskError::Io { what, .. } if !is_read(what) => Self::disk(to, error),
            _ => Self::disk(from, error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error.io() {
            Some(source) => Self::new(format!("{error}: {source}")),
            None => Self::new(error.to_string()),
        }
    }
}
