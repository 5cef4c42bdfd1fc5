//! vdiskadm from outside: every command, the guide's facts, and what is left when it is killed.
#![allow(clippy::unwrap_used)] // helpers of tests: what fails ends the test

mod crash;
mod create;
mod guests;
mod hostile;
mod names;
mod programs;
mod properties;
mod snapshots;
mod tool;
mod transfers;
