//! Generated from `protocol/`: family traits, the table of public calls, the façade.

pub mod api;
mod facade;
pub(crate) mod families;
