//! The front of a VHDX: two headers and two tables of regions, each with a checksum.

use std::ops::Range;

use crate::bytes::{le16, le32, le64};
use crate::error::{DiskError, Result};
use crate::storage::{Storage, read_padded};
use crate::vhdx::{NAME, bad, guid};

/// Nothing but the front lies before this.
pub(super) const FRONT_BYTES: u64 = 1 << 20;

const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
const HEADER_BYTES: usize = 4096;
const TABLES: [u64; 2] = [192 << 10, 256 << 10];
const TABLE_BYTES: usize = 65536;
/// Limit: what the format allows; that many fit into a table.
const REGIONS_MAX: usize = 2047;

const BLOCKS: u128 = 0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08;
const METADATA: u128 = 0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e;

/// What the newer of the two headers says.
#[derive(Debug)]
pub(super) struct Header {
    sequence: u64,
    /// The identity of the content; children name it.
    pub(super) content: u128,
    /// Which entries of the log count; 0 where there are none.
    pub(super) log: u128,
    pub(super) log_place: Range<u64>,
}

impl Header {
    pub(super) fn read(storage: &dyn Storage) -> Result<Self> {
        let mut newest: Option<Self> = None;
        for at in HEADERS {
            let mut bytes = vec![0; HEADER_BYTES];
            read_padded(storage, &mut bytes, at)?;
            if !is_whole(&bytes, b"head") {
                continue;
            }
            let header = Self::parse(&bytes)?;
            if newest.as_ref().is_none_or(|newest| newest.sequence < header.sequence) {
                newest = Some(header);
            }
        }
        newest.ok_or(bad("has no whole header"))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        if (le16(bytes, 64), le16(bytes, 66)) != (0, 1) {
            return Err(bad("has an unknown version"));
        }
        let (length, offset) = (u64::from(le32(bytes, 68)), le64(bytes, 72));
        Ok(Self {
            sequence: le64(bytes, 8),
            content: guid(bytes, 32),
            log: guid(bytes, 48),
            log_place: offset..offset.saturating_add(length),
        })
    }
}

/// Where the tables of the image lie.
#[derive(Debug)]
pub(super) struct Regions {
    pub(super) blocks: Range<u64>,
    pub(super) metadata: Range<u64>,
}

impl Regions {
    pub(super) fn read(storage: &dyn Storage, file_bytes: u64) -> Result<Self> {
        for at in TABLES {
            let mut bytes = vec![0; TABLE_BYTES];
            read_padded(storage, &mut bytes, at)?;
            if is_whole(&bytes, b"regi") {
                return Self::parse(&bytes, file_bytes);
            }
        }
        Err(bad("has no whole table of regions"))
    }

    fn parse(bytes: &[u8], file_bytes: u64) -> Result<Self> {
        let count = le32(bytes, 8) as usize;
        if count > REGIONS_MAX {
            return Err(bad("has too many regions"));
        }
        let (mut blocks, mut metadata) = (None, None);
        let entries = bytes.get(16..).unwrap_or_default().chunks_exact(32);
        for entry in entries.take(count) {
            let place = match guid(entry, 0) {
                BLOCKS => &mut blocks,
                METADATA => &mut metadata,
                _ if le32(entry, 28) & 1 == 0 => continue,
                _ => {
                    return Err(DiskError::Unsupported {
                        format: NAME,
                        what: "one of its regions",
                    });
                }
            };
            let start = le64(entry, 16);
            let end = start.checked_add(u64::from(le32(entry, 24)));
            let Some(end) = end.filter(|end| start >= FRONT_BYTES && *end <= file_bytes) else {
                return Err(bad("a region does not lie inside the file"));
            };
            if place.replace(start..end).is_some() {
                return Err(bad("has a region twice"));
            }
        }
        match (blocks, metadata) {
            (Some(blocks), Some(metadata)) => Ok(Self { blocks, metadata }),
            _ => Err(bad("lacks a region")),
        }
    }
}

/// Whether these bytes begin with a name, and have their checksum behind it.
pub(super) fn is_whole(bytes: &[u8], name: &[u8; 4]) -> bool {
    bytes.starts_with(name) && le32(bytes, 4) == checksum(bytes)
}

/// CRC-32C of all bytes, with zeroes in the place of the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    let step = |sum: u32, byte: u8| TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8);
    let mut sum = u32::MAX;
    for (at, byte) in bytes.iter().enumerate() {
        sum = step(sum, if (4..8).contains(&at) { 0 } else { *byte });
    }
    !sum
}

const fn table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let (mut value, mut bit) = (at as u32, 0);
        while bit < 8 {
            value = if value & 1 == 0 { value >> 1 } else { (value >> 1) ^ POLYNOMIAL };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}
