//! The QEMU driver: guests as processes, driven over QMP.

mod argv;
mod capabilities;
mod dirs;
pub mod monitor;
mod rules;

pub use dirs::Dirs;
