//! S-expressions as xend speaks them: the tree, and domains to and from it.

pub(crate) mod read;
pub mod tree;
pub(crate) mod write;
