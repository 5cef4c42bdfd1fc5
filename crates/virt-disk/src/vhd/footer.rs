//! The footer of every VHD and the header of the sparse ones: fixed fields and checksums.

use crate::bytes::{be32, be64, field, put};
use crate::error::{DiskError, Result};
use crate::vhd::{NAME, bad};

pub(super) const FOOTER_BYTES: usize = 512;
pub(super) const HEADER_BYTES: usize = 1024;
pub(super) const PARENT_NAME_BYTES: usize = 512;

pub(super) const FIXED: u32 = 2;
pub(super) const DYNAMIC: u32 = 3;
pub(super) const DIFFERENCE: u32 = 4;

const VERSION: u32 = 0x1_0000;
const CHECKSUM: usize = 64;
const HEADER_CHECKSUM: usize = 36;
/// Seconds from 1970 to 2000, where this format's time begins.
const EPOCH: u64 = 946_684_800;

/// Limit: sectors are counted in 32 bits; everybody stops at 2,040 GiB.
pub(super) const SIZE_BYTES_MAX: u64 = 2040 << 30;

/// What a footer says.
#[derive(Clone, Debug)]
pub(super) struct Footer {
    pub(super) kind: u32,
    pub(super) header: u64,
    pub(super) size_bytes: u64,
    pub(super) uuid: [u8; 16],
    pub(super) bytes: [u8; FOOTER_BYTES],
}

impl Footer {
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(b"conectix")
    }

    pub(super) fn parse(bytes: [u8; FOOTER_BYTES]) -> Result<Self> {
        if !Self::is_one(&bytes) {
            return Err(bad("has no footer"));
        }
        if be32(&bytes, CHECKSUM) != checksum(&bytes, CHECKSUM) {
            return Err(bad("its footer has a wrong checksum"));
        }
        if be32(&bytes, 12) >> 16 != VERSION >> 16 {
            return Err(bad("has an unknown version"));
        }
        let footer = Self {
            kind: be32(&bytes, 60),
            header: be64(&bytes, 16),
            size_bytes: be64(&bytes, 48),
            uuid: field(&bytes, 68),
            bytes,
        };
        if footer.size_bytes == 0 || footer.size_bytes > SIZE_BYTES_MAX {
            return Err(DiskError::Size { format: NAME, bytes: footer.size_bytes });
        }
        Ok(footer)
    }

    pub(super) fn new(kind: u32, size_bytes: u64, now_epoch: u64, uuid: [u8; 16]) -> Self {
        let mut bytes = [0; FOOTER_BYTES];
        let header = if kind == FIXED { u64::MAX } else { FOOTER_BYTES as u64 };
        put(&mut bytes, 0, b"conectix");
        put(&mut bytes, 8, &2_u32.to_be_bytes());
        put(&mut bytes, 12, &VERSION.to_be_bytes());
        put(&mut bytes, 16, &header.to_be_bytes());
        put(&mut bytes, 24, &(time(now_epoch)).to_be_bytes());
        // Compat: of the creators `vpc ` and `qemu`, readers take the size from the geometry.
        put(&mut bytes, 28, b"fvrt");
        put(&mut bytes, 32, &VERSION.to_be_bytes());
        put(&mut bytes, 36, b"Wi2k");
        put(&mut bytes, 40, &size_bytes.to_be_bytes());
        put(&mut bytes, 48, &size_bytes.to_be_bytes());
        let (cylinders, heads, sectors) = geometry(size_bytes / 512);
        put(&mut bytes, 56, &cylinders.to_be_bytes());
        put(&mut bytes, 58, &[heads, sectors]);
        put(&mut bytes, 60, &kind.to_be_bytes());
        let mut footer = Self { kind, header, size_bytes, uuid, bytes };
        footer.set_uuid(uuid);
        footer
    }

    /// Gives it an identity, and its checksum.
    pub(super) fn set_uuid(&mut self, uuid: [u8; 16]) {
        self.uuid = uuid;
        put(&mut self.bytes, 68, &uuid);
        let sum = checksum(&self.bytes, CHECKSUM);
        put(&mut self.bytes, CHECKSUM, &sum.to_be_bytes());
    }
}

/// This format's time; before its beginning it stands still.
pub(super) fn time(epoch: u64) -> u32 {
    u32::try_from(epoch.saturating_sub(EPOCH)).unwrap_or(u32::MAX)
}

/// The one's complement of the sum of all bytes but the checksum's own.
fn checksum(bytes: &[u8], at: usize) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add((*byte).into()));
    !sum(bytes).wrapping_sub(sum(&bytes[at..at + 4]))
}

/// The format's own rule for cylinders, heads and sectors.
pub(super) fn geometry(sectors: u64) -> (u16, u8, u8) {
    let sectors = sectors.min(65535 * 16 * 255);
    let (per_track, heads) = if sectors >= 65535 * 16 * 63 {
        (255, 16)
    } else {
        let heads = (sectors / 17).div_ceil(1024).max(4);
        if heads <= 16 && sectors / 17 < heads * 1024 {
            (17, heads)
        } else if sectors / 31 < 16 * 1024 {
            (31, 16)
        } else {
            (63, 16)
        }
    };
    let cylinders = sectors / per_track / heads;
    (cylinders as u16, heads as u8, per_track as u8)
}

/// What the header of a sparse VHD says.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) table: u64,
    pub(super) entries: u64,
    pub(super) block_bytes: u64,
    pub(super) parent_uuid: [u8; 16],
    pub(super) parent_name: String,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        if !bytes.starts_with(b"cxsparse") {
            return Err(bad("has no header"));
        }
        if be32(bytes, HEADER_CHECKSUM) != checksum(bytes, HEADER_CHECKSUM) {
            return Err(bad("its header has a wrong checksum"));
        }
        Ok(Self {
            table: be64(bytes, 16),
            entries: be32(bytes, 28).into(),
            block_bytes: be32(bytes, 32).into(),
            parent_uuid: field(bytes, 40),
            parent_name: name_from(&bytes[64..64 + PARENT_NAME_BYTES]),
        })
    }
}

/// A new header; `locator` is where the parent's relative name lies, with its length.
pub(super) fn new_header(
    table: u64,
    entries: u32,
    block_bytes: u32,
    parent: Option<(&[u8; 16], &str, u32)>,
    locator: Option<(u64, u32)>,
) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    put(&mut bytes, 0, b"cxsparse");
    put(&mut bytes, 8, &u64::MAX.to_be_bytes());
    put(&mut bytes, 16, &table.to_be_bytes());
    put(&mut bytes, 24, &VERSION.to_be_bytes());
    put(&mut bytes, 28, &entries.to_be_bytes());
    put(&mut bytes, 32, &block_bytes.to_be_bytes());
    if let Some((uuid, name, time)) = parent {
        put(&mut bytes, 40, uuid);
        put(&mut bytes, 56, &time.to_be_bytes());
        put_name(&mut bytes, name);
    }
    if let Some((at, length)) = locator {
        put(&mut bytes, 576, b"W2ru");
        put(&mut bytes, 580, &(LOCATOR_BYTES as u32).to_be_bytes());
        put(&mut bytes, 584, &length.to_be_bytes());
        put(&mut bytes, 592, &at.to_be_bytes());
    }
    seal(&mut bytes);
    bytes
}

/// The room for the parent's relative name.
pub(super) const LOCATOR_BYTES: usize = 1024;

/// Puts another parent's name into a header.
pub(super) fn rename(bytes: &mut [u8; HEADER_BYTES], name: &str, locator_length: u32) {
    bytes[64..64 + PARENT_NAME_BYTES].fill(0);
    put_name(bytes, name);
    put(bytes, 584, &locator_length.to_be_bytes());
    seal(bytes);
}

fn put_name(bytes: &mut [u8; HEADER_BYTES], name: &str) {
    let units = name.encode_utf16().take(PARENT_NAME_BYTES / 2 - 1);
    for (number, unit) in units.enumerate() {
        put(bytes, 64 + number * 2, &unit.to_be_bytes());
    }
}

fn seal(bytes: &mut [u8; HEADER_BYTES]) {
    let sum = checksum(bytes, HEADER_CHECKSUM);
    put(bytes, HEADER_CHECKSUM, &sum.to_be_bytes());
}

/// The relative name as a locator holds it.
pub(super) fn relative(name: &str) -> Vec<u8> {
    let units = format!(".\\{name}");
    units.encode_utf16().take(LOCATOR_BYTES / 2).flat_map(u16::to_le_bytes).collect()
}

fn name_from(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let units = units.take_while(|unit| *unit != 0);
    char::decode_utf16(units).map(|found| found.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_follows_the_rule_of_the_format() {
        assert_eq!(geometry((8 << 30) / 512), (16644, 16, 63));
        assert_eq!(geometry((6 << 30) / 512), (12483, 16, 63));
        assert_eq!(geometry(u64::MAX), (65535, 16, 255));
        assert_eq!(geometry(6 * 2048), (180, 4, 17));
    }

    #[test]
    fn a_footer_is_read_as_it_was_written_and_one_wrong_bit_is_seen() {
        let footer = Footer::new(DYNAMIC, 1 << 30, EPOCH + 5, [7; 16]);
        let read = Footer::parse(footer.bytes).unwrap();
        assert_eq!((read.kind, read.size_bytes, read.uuid), (DYNAMIC, 1 << 30, footer.uuid));
        let mut spoilt = footer.bytes;
        spoilt[100] ^= 1;
        assert!(Footer::parse(spoilt).is_err());
    }
}
