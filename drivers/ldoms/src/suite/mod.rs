//! The driver against the simulated manager: every release, every form of answers, every fault.

mod away;
mod console;
mod faults;
mod life;
mod many;
mod remote;
mod sim;
