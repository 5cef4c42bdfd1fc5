//! Connection URIs and the sockets they lead to; no drivers.

mod config;
pub mod fds;
mod listen;
mod target;
mod uri;

pub use config::ClientConf;
pub use listen::{Listen, connect, listen};
pub use target::{Mode, Target, Transport, User, session_run_dir};
pub use uri::{Params, Uri};
