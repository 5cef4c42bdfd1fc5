//! What can be wrong with an image or with what it lies on.

use std::io;

/// Why an image was not opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("cannot {what}: {source}")]
    Io { what: &'static str, source: io::Error },
    /// The image does not hold to its own format.
    #[error("{format} image: {what}")]
    Bad { format: &'static str, what: &'static str },
    /// The image is right, and asks for something that is not served here.
    #[error("{format} image: {what} is not supported")]
    Unsupported { format: &'static str, what: &'static str },
    #[error("a disk of {bytes} bytes cannot be a {format} image")]
    Size { format: &'static str, bytes: u64 },
    #[error("the image '{child}' is not a child of '{parent}'")]
    NotAChild { child: String, parent: String },
    #[error("the image may only be read")]
    ReadOnly,
    #[error("outside of the disk")]
    OutOfRange,
    /// A file that the image names may not be opened.
    #[error("the image names the file '{0}', which is not beside it")]
    ForeignFile(String),
    #[error("cancelled")]
    Cancelled,
}

/// The result of every operation here.
pub type Result<T> = std::result::Result<T, DiskError>;

/// Says what was being done.
pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> DiskError {
    move |source| DiskError::Io { what, source }
}
