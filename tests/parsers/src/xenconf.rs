//! Xen's files: any text is read or refused, and what was made of it can be written and read again.

use driver_xen::Host;

use crate::native;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for format in ["xen-xm", "xen-xl"] {
        native(&Host::default(), format, text);
    }
}
