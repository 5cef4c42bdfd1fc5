//! Connection URIs and the sockets they lead to; no drivers.

mod auth_file;
mod channel;
mod config;
pub mod fds;
mod listen;
pub mod sasl;
mod target;
pub mod tcp;
pub mod tls;
mod tunnel;
mod uri;

pub use auth_file::AuthFile;
pub use channel::Channel;
pub use config::ClientConf;
pub use listen::{Listen, connect, listen};
pub use target::{Mode, Target, Transport, User, session_run_dir};
pub use uri::{Params, Uri};
