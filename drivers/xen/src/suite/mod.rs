//! The driver against the simulator, release by release.

mod faults;
mod life;
mod migration;
mod sim;
