//! The tool stack of today: `xl`, run for what takes more than the hypervisor.
//!
//! Its exit codes lie, so what it was to do is looked for where it shows: in the hypervisor's list and
//! in xenstore. `status.rs` is what is known of guests of ours, `outside.rs` what can be known of others.

mod outside;
mod record;
mod runner;
mod stack;
mod status;

pub(crate) use runner::Xl;
pub(crate) use stack::XlStack;
