//! The way to a manager: where it is, how it is greeted, and one question at a time.

mod credentials;
mod greet;
mod session;
mod target;
mod tls;

pub(crate) use credentials::{Credentials, Person, encode64};
pub(crate) use session::Hangup;
pub(crate) use session::{Protocol, Session};
pub use target::PARAMETERS;
pub(crate) use target::{Define, Target, Trust, invalid};
pub(crate) use tls::sha256 as tls_sum;

use virt_error::{Code, Error, Origin};

/// Why a manager cannot be reached or understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("cannot reach the LDoms Manager at {0}: {1}")]
    Unreachable(String, std::io::Error),
    #[error("the connection to the LDoms Manager failed: {0}")]
    Io(std::io::Error),
    #[error("the LDoms Manager did not answer in time")]
    TimedOut,
    #[error("the LDoms Manager closed the connection")]
    Closed,
    #[error("the LDoms Manager said what cannot be understood: {0}")]
    Broken(String),
    #[error("{0}")]
    Refused(String),
    #[error("no secure connection to the LDoms Manager: {0}")]
    Tls(String),
}

pub(crate) type Linked<T> = std::result::Result<T, LinkError>;

impl From<std::io::Error> for LinkError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Self::TimedOut,
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl LinkError {
    /// Whether another try over a new connection may do better.
    pub(crate) fn is_connection(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Closed)
    }

    /// The public error. The library has no part of its own for this hypervisor.
    pub(crate) fn public(&self) -> Error {
        let code = match self {
            Self::Unreachable(..) | Self::Tls(_) => Code::NoConnect,
            Self::Refused(_) => Code::AuthFailed,
            Self::TimedOut => Code::OperationTimeout,
            Self::Io(_) | Self::Closed => Code::OperationFailed,
            Self::Broken(_) => Code::InternalError,
        };
        Error::new(code, ORIGIN, self.to_string())
    }
}

/// Who reports this driver's errors. Compat: the table of origins has none for LDoms.
pub(crate) const ORIGIN: Origin = Origin::None;
