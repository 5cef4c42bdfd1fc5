//! What can go wrong between a client and xenstored.

/// Why a request was not answered as wished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The server's own word: `ENOENT`, `EACCES`, ...
    #[error("xenstored answered {0}")]
    Refused(String),
    #[error("'{0}' is no path of xenstore")]
    Path(String),
    #[error("value of '{path}' has {bytes} bytes, more than xenstore holds")]
    Value { path: String, bytes: usize },
    #[error("value of '{0}' is no text")]
    NotText(String),
    #[error("xenstored sent a message of {0} bytes")]
    TooLong(u32),
    #[error("xenstored answered request {request} with a message of kind {kind}")]
    Unexpected { request: u32, kind: u32 },
    #[error("xenstored has not answered for {0} seconds")]
    Timeout(u64),
    #[error("transaction on '{0}' was refused too often")]
    Busy(&'static str),
    #[error("more than {0} requests wait for xenstored")]
    Crowded(usize),
    #[error("connection to xenstored is gone: {0}")]
    Gone(String),
}

impl StoreError {
    /// Whether the server gave this errno.
    pub fn is(&self, errno: &str) -> bool {
        matches!(self, Self::Refused(found) if found == errno)
    }
}
