//! Every format against independent readers and writers, on disks with holes, sector-sized writes,
//! zeroed sectors and chains.
#![allow(clippy::unwrap_used)] // helpers of tests: what fails ends the test

mod chains;
mod disks;
mod hostile;
mod judges;
mod singles;
mod vhdx;
