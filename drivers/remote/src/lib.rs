//! The remote driver: every call goes over the wire to a daemon.
//!
//! The families are generated: each trait method is the oldest procedure that can express it.
//! Written by hand are the ways in (which URIs are ours, how the daemon is reached and greeted) and
//! the events, which are registered at the daemon once and published here on a bus.

mod auth;
mod driver;
mod events;
mod generated;
mod monitors;
mod open;
mod reach;
mod stream;

pub use driver::RemoteDriver;
pub use open::{Settings, opener};
pub use reach::reach_local;
