//! Where definitions are: in xend, in a folder of XM files, or in files of ours.

mod files;
mod managed;
mod xm;

pub(crate) use files::Files;
pub(crate) use managed::Managed;
pub(crate) use xm::XmFolder;
