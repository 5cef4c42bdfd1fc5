//! S-expressions: what is printed is the same tree again, and a guest in it survives too.

use driver_xen::sexpr::tree::Sexpr;
use driver_xen::{Host, Toolstack};

use crate::native;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(tree) = Sexpr::parse(text) else { return };
    assert_eq!(Sexpr::parse(&tree.to_string()).as_ref(), Ok(&tree), "printed as {tree}");
    let host = Host { toolstack: Toolstack::Xend { config_format: 4 }, ..Host::default() };
    native(&host, "xen-sxpr", text);
}
