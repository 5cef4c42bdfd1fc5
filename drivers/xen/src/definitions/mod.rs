//! Where definitions are: in xend, in a folder of XM files, or in files of ours; and beside them in xenstore.

mod files;
mod managed;
mod shared;
mod xm;

pub(crate) use files::Files;
pub(crate) use managed::Managed;
pub use shared::Entry;
pub(crate) use shared::{Merged, SharedFolder};
pub(crate) use xm::XmFolder;
