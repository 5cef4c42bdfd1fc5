//! Why a command failed: the lines a person reads on standard error.

pub(crate) use virt_cli::{Done, During, Failure, fail};
