//! xenstored: a tree of texts, watches and transactions, over a unix socket.

mod serve;
mod tree;

pub(crate) use serve::serve;
pub(crate) use tree::Tree;
