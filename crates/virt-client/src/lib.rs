//! Blocking RPC client on virt-wire: calls, events, streams, keepalive; no runtime.
//!
//! Many threads may call at once. Whoever waits for an answer and finds nobody reading reads for
//! all: it hands the others what is theirs and passes the reading on when it has its own. Once there
//! are events, streams or keepalive, one thread of ours reads while no call does, and runs the
//! event handler, so that a handler may itself make calls.

mod client;
mod inbound;
mod keepalive;
mod stream;

pub use client::{Client, EventHandler, Reply};
pub use stream::{ClientStream, Taken};

/// Limit: events received and not yet handled; more cost the connection.
pub const EVENTS_QUEUED_MAX: usize = 16_384;
/// Limit: bytes of one stream received and not yet taken; then nothing more is read.
pub const STREAM_BYTES_MAX: usize = 4 << 20;
/// Limit: calls of one connection without an answer yet.
pub const CALLS_IN_FLIGHT_MAX: usize = 1024;
