//! The metadata of a VHDX: sizes, and for a difference image what lies below it.

use std::ops::Range;

use crate::bytes::{le16, le32, le64};
use crate::error::{DiskError, Result};
use crate::storage::{Storage, read_exact};
use crate::vhdx::{NAME, bad, guid};

const TABLE_BYTES: u64 = 65536;
/// Limit: what the format allows; that many fit into the table.
const ITEMS_MAX: usize = 2047;
/// Limit: names of files in a locator; the format allows no larger item.
const ITEM_BYTES_MAX: u64 = 1 << 20;
/// Limit: the format knows five kinds of names.
const NAMES_MAX: u16 = 64;
/// Limit: of the format.
const SIZE_BYTES_MAX: u64 = 64 << 40;

const PARAMETERS: u128 = 0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b;
const SIZE: u128 = 0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8;
const LOGICAL_SECTOR: u128 = 0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f;
const PHYSICAL_SECTOR: u128 = 0xcda3_48c7_445d_4471_9cc9_e988_5251_c556;
const PAGE_83: u128 = 0xbeca_12ab_b2e6_4523_93ef_c309_e000_c746;
const LOCATOR: u128 = 0xa8d3_5f2d_b30b_454d_abf7_d3d8_4834_ab0c;
/// The one kind of locator there is: of another VHDX.
const LOCATOR_KIND: u128 = 0xb04a_efb7_d19e_4a81_b789_25b8_e944_5913;

/// What the metadata say.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) size_bytes: u64,
    pub(super) block_bytes: u64,
    pub(super) sector_bytes: u64,
    /// Blocks stay allocated: the image is meant to be fixed.
    pub(super) is_fixed: bool,
    pub(super) parent: Option<Locator>,
}

/// What a difference image says of the one below it.
#[derive(Debug, Default)]
pub(super) struct Locator {
    /// The identity of the parent's content.
    pub(super) content: u128,
    pub(super) name: String,
}

impl Metadata {
    pub(super) fn read(storage: &dyn Storage, region: &Range<u64>) -> Result<Self> {
        let items = Items::read(storage, region)?;
        let parameters = items.get::<8>(PARAMETERS)?;
        let (block, flags) = (le32(&parameters, 0), le32(&parameters, 4));
        let sector = le32(&items.get::<4>(LOGICAL_SECTOR)?, 0);
        let metadata = Self {
            size_bytes: le64(&items.get::<8>(SIZE)?, 0),
            block_bytes: u64::from(block),
            sector_bytes: u64::from(sector),
            is_fixed: flags & 1 != 0,
            parent: if flags & 2 == 0 { None } else { Some(items.locator()?) },
        };
        let Self { size_bytes, block_bytes, sector_bytes, .. } = metadata;
        if !block_bytes.is_power_of_two() || !(1 << 20..=256 << 20).contains(&block_bytes) {
            return Err(bad("has blocks of an odd size"));
        }
        if sector_bytes != 512 && sector_bytes != 4096 {
            return Err(bad("has sectors of an odd size"));
        }
        let is_odd = size_bytes == 0 || !size_bytes.is_multiple_of(sector_bytes);
        match is_odd || size_bytes > SIZE_BYTES_MAX {
            true => Err(DiskError::Size { format: NAME, bytes: size_bytes }),
            false => Ok(metadata),
        }
    }
}

/// The table of items, and where they are.
struct Items<'a> {
    storage: &'a dyn Storage,
    places: Vec<(u128, u64, u64)>,
}

impl<'a> Items<'a> {
    fn read(storage: &'a dyn Storage, region: &Range<u64>) -> Result<Self> {
        let room = region.end - region.start;
        if room < TABLE_BYTES {
            return Err(bad("has too little room for its metadata"));
        }
        let mut table = vec![0; TABLE_BYTES as usize];
        read_exact(storage, &mut table, region.start, NAME)?;
        let count = usize::from(le16(&table, 10));
        if !table.starts_with(b"metadata") || count > ITEMS_MAX {
            return Err(bad("has no whole table of metadata"));
        }
        let mut places = Vec::new();
        for entry in table.get(32..).unwrap_or_default().chunks_exact(32).take(count) {
            let (item, flags) = (guid(entry, 0), le32(entry, 24));
            let (offset, length) = (u64::from(le32(entry, 16)), u64::from(le32(entry, 20)));
            // An item of a user's says nothing about the disk.
            if flags & 1 != 0 {
                continue;
            }
            match item {
                PARAMETERS | SIZE | LOGICAL_SECTOR | PHYSICAL_SECTOR | PAGE_83 | LOCATOR => {}
                _ if flags & 4 == 0 => continue,
                _ => return Err(DiskError::Unsupported { format: NAME, what: "its metadata" }),
            }
            if offset < TABLE_BYTES || length > ITEM_BYTES_MAX || offset + length > room {
                return Err(bad("an item of its metadata lies elsewhere"));
            }
            places.push((item, region.start + offset, length));
        }
        Ok(Self { storage, places })
    }

    fn place(&self, item: u128) -> Result<(u64, u64)> {
        let mut found = self.places.iter().filter(|place| place.0 == item);
        match (found.next(), found.next()) {
            (Some((_, at, length)), None) => Ok((*at, *length)),
            _ => Err(bad("lacks an item of its metadata, or has it twice")),
        }
    }

    fn get<const N: usize>(&self, item: u128) -> Result<[u8; N]> {
        let (at, length) = self.place(item)?;
        if length < N as u64 {
            return Err(bad("an item of its metadata is short"));
        }
        let mut bytes = [0; N];
        read_exact(self.storage, &mut bytes, at, NAME)?;
        Ok(bytes)
    }

    fn locator(&self) -> Result<Locator> {
        const HEAD_BYTES: usize = 20;
        let (at, length) = self.place(LOCATOR)?;
        let mut bytes = vec![0; length as usize];
        read_exact(self.storage, &mut bytes, at, NAME)?;
        if bytes.len() < HEAD_BYTES || guid(&bytes, 0) != LOCATOR_KIND {
            return Err(DiskError::Unsupported { format: NAME, what: "its kind of parent" });
        }
        let count = le16(&bytes, 18);
        if count > NAMES_MAX {
            return Err(bad("has too many names of its parent"));
        }
        let mut locator = Locator::default();
        let entries = bytes.get(HEAD_BYTES..).unwrap_or_default().chunks_exact(12);
        for entry in entries.take(count.into()) {
            let key = wide(&bytes, le32(entry, 0), le16(entry, 8))?;
            let value = || wide(&bytes, le32(entry, 4), le16(entry, 10));
            match key.as_str() {
                "parent_linkage" => locator.content = parse_guid(&value()?)?,
                "relative_path" => locator.name = base(&value()?),
                "absolute_win32_path" if locator.name.is_empty() => locator.name = base(&value()?),
                _ => {}
            }
        }
        match locator.content {
            0 => Err(bad("does not say what its parent is")),
            _ => Ok(locator),
        }
    }
}

/// Text in the units of two bytes that Windows writes.
fn wide(bytes: &[u8], offset: u32, length: u16) -> Result<String> {
    let (from, length) = (offset as usize, usize::from(length));
    let part = bytes.get(from..).and_then(|rest| rest.get(..length));
    let part = part.ok_or(bad("a name of its parent lies elsewhere"))?;
    let units = part.chunks_exact(2).map(|pair| le16(pair, 0));
    Ok(char::decode_utf16(units)
        .map(|found| found.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect())
}

/// A GUID as it is written: in braces, with hyphens.
fn parse_guid(text: &str) -> Result<u128> {
    let digits: String = text.trim_matches(['{', '}']).split('-').collect();
    let is_plain = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u128::from_str_radix(&digits, 16).ok().filter(|_| is_plain);
    value.ok_or(bad("names its parent by something else than a GUID"))
}

/// The last part of a path of Windows'.
fn base(path: &str) -> String {
    path.rsplit(['\\', '/']).next().unwrap_or_default().to_owned()
}
