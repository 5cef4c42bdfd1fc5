//! xend over its own HTTP: the tool stack of Xen 3.0 to 4.4, which answers in S-expressions.
//!
//! [`Xend`] asks; every request has a connection of its own, as xend wants it. What a release does
//! otherwise than the others stands in [`Node`] and beside the calls. `view.rs` and `stack.rs` are
//! the driver's channels over it.

mod client;
mod error;
mod http;
mod record;
mod stack;
mod view;

pub use client::{Node, Xend};
pub use error::XendError;
pub use http::{BODY_BYTES_MAX, FORM_BYTES_MAX, Place};
pub(crate) use stack::XendStack;
pub(crate) use view::{XendView, public, running};
