//! The QEMU driver: guests as processes, driven over QMP.

mod capabilities;
mod dirs;
pub mod monitor;
mod rules;

pub use dirs::Dirs;
