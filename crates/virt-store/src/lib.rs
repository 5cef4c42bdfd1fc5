//! Atomic files, locks and directories of persistent documents; knows no model.
//!
//! A document is wholly the old one or wholly the new one, whatever dies in between: it is written
//! beside its place, synchronised where it must outlive the machine, and renamed over.

mod file;
mod link;
mod name;
mod pid_file;

pub use file::{Durability, list, make_dir, read, read_text, remove, sweep, write};
pub use link::{Autostart, is_autostart, set_autostart};
pub use name::check_name;
pub use pid_file::PidFile;

use std::path::PathBuf;

/// What went wrong, with the path it happened to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {what} '{path}'")]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("'{path}' is larger than {limit} bytes")]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("'{path}' has more than {limit} entries")]
    TooMany { path: PathBuf, limit: usize },
    #[error("'{path}' is not UTF-8 text")]
    NotText { path: PathBuf },
    #[error("name '{0}' cannot be a file name")]
    BadName(String),
    #[error("'{path}' is locked by another process")]
    Locked { path: PathBuf },
}

impl StoreError {
    /// The system's error, where there is one.
    pub fn io(&self) -> Option<&std::io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The result of every operation here.
pub type Result<T> = std::result::Result<T, StoreError>;

fn io(what: &'static str, path: &std::path::Path, source: impl Into<std::io::Error>) -> StoreError {
    StoreError::Io { what, path: path.to_owned(), source: source.into() }
}
