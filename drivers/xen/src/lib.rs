//! The Xen driver: native formats, rules of documents, capabilities, channels.
//!
//! Start at [`formats::Host`]: everything that needs no running Xen hangs on it.

pub mod capabilities;
pub mod formats;
pub mod libxl;
pub mod rules;
pub mod sexpr;
pub mod xend;
pub mod xenstore;

pub use formats::{Era, Format, Host, Kind, Toolstack};
