//! Generated from `protocol/`: the records, events and constants of the public API.

pub mod constants;
mod records;

pub use records::*;
