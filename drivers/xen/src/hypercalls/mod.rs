//! What is asked of the hypervisor itself.
//!
//! `layout.rs` knows where each release has what; `calls.rs` asks; `view.rs` is the driver's channel.
//! How the bytes get there is a [`Gate`]'s business, of which there are two: the device, and a test's.

mod calls;
pub(crate) mod layout;
#[cfg(test)]
pub(crate) mod tests;
mod view;

use std::io::Result;

pub(crate) use calls::{Calls, HW_CAPS};
pub(crate) use view::HyperView;

/// Where in a structure the address of its data stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(pub(crate) usize);

/// The calls that the driver makes.
pub(crate) const DOMCTL: u32 = 36;
pub(crate) const SYSCTL: u32 = 35;

/// The way to the hypervisor.
pub(crate) trait Gate: Send + Sync {
    /// `xen_version`: a number, or a text into `out`.
    fn version(&self, sub: u32, out: &mut [u8]) -> Result<i64>;

    /// `domctl` or `sysctl`: a structure, which may say where its data is; both may be changed.
    fn control(&self, op: u32, head: &mut [u8], data: Option<(Pointer, &mut [u8])>) -> Result<i64>;
}
