//! Generated from `protocol/`: the codec of records, the programs, the events, the limits.

pub mod admin;
pub mod events;
pub mod limits;
pub mod lxc;
pub mod qemu;
mod records;
pub mod remote;
