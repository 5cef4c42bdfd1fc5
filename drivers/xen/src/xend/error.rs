//! What can go wrong between the driver and xend.

/// Why xend did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XendError {
    #[error(
        "{0} is not there: xend must run, and its configuration /etc/xen/xend-config.sxp must say \
         (xend-unix-server yes)"
    )]
    NoSocket(String),
    #[error("no right to use {0}: xend's socket is for root")]
    NoRight(String),
    #[error(
        "nobody answers at {0}: xend must run, and its configuration /etc/xen/xend-config.sxp must say \
         (xend-unix-server yes), or (xend-http-server yes) for TCP"
    )]
    NobodyThere(String),
    #[error("connection to xend broke: {0}")]
    Broken(String),
    #[error("xend has not answered for {0} seconds")]
    Timeout(u64),
    #[error("xend's answer is not understood: {0}")]
    Answer(String),
    /// xend's own words.
    #[error("{op}: {text}")]
    Refused { op: String, text: String },
    #[error("there is no '{0}'")]
    NotFound(String),
    /// Compat: every xend refuses longer forms with 413, after reading them.
    #[error("request '{op}' has {bytes} bytes, more than xend takes")]
    TooLong { op: String, bytes: usize },
}
