//! The values of the public API: objects, records, events, typed parameters; no I/O, no wire.

mod uuid;

pub use uuid::Uuid;
