//! What the head of an image file says: how large the disk in it is, and whether another lies below.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Each qcow2 image begins so.
const QCOW2_MAGIC: &[u8; 4] = b"QFI\xfb";

/// The part of a qcow2 header that every version has.
const QCOW2_HEAD_BYTES: usize = 32;

/// A qcow2 image's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Qcow2 {
    pub(crate) capacity_bytes: u64,
    pub(crate) has_backing: bool,
}

/// Reads the head of a qcow2 image.
pub(crate) fn qcow2(path: &Path) -> Result<Qcow2> {
    let mut head = [0; QCOW2_HEAD_BYTES];
    File::open(path)?.read_exact(&mut head)?;
    parse(&head).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not a qcow2 image"))
}

fn parse(head: &[u8]) -> Option<Qcow2> {
    let number = |at: usize| {
        let bytes = head.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*bytes))
    };
    if head.get(..4)? != QCOW2_MAGIC {
        return None;
    }
    Some(Qcow2 { capacity_bytes: number(24)?, has_backing: number(8)? != 0 })
}

#[cfg(test)]
mod tests {
    use super::{Qcow2, parse};

    #[test]
    fn a_head_tells_size_and_backing() {
        let mut head = *b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\x04\0\0\0";
        let plain = Qcow2 { capacity_bytes: 64 << 20, has_backing: false };
        assert_eq!(parse(&head), Some(plain));
        head[15] = 0x70;
        assert_eq!(parse(&head), Some(Qcow2 { has_backing: true, ..plain }));
        head[0] = b'K';
        assert_eq!(parse(&head), None);
        assert_eq!(parse(b"QFI\xfb"), None);
    }
}
