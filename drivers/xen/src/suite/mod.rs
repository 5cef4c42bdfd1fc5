//! The driver against the simulator, release by release.

mod changes;
mod faults;
mod forms;
mod hostile;
mod life;
mod migration;
mod sim;
mod today;
