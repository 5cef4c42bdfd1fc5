//! VDI: a map of blocks of one mebibyte; fixed, dynamic and difference.

use crate::bytes::{cut, field, le32, le64, new_uuid, put, round_up, text};
use crate::error::{DiskError, Result, io};
use crate::image::{
    Content, Extent, Facts, Format, Identity, Image, Layout, NewImage, Parent, check_range,
};
use crate::meta::Meta;
use crate::storage::{Storage, read_exact, read_padded};

const NAME: &str = "vdi";
const SIGNATURE: u32 = 0xbeda_107f;
const VERSION: u32 = 0x0001_0001;
/// What stands before the map, rounded up to a sector.
const HEADER_BYTES: usize = 512;
/// The size that the header says of itself: without the words before it.
const HEADER_SIZE: u32 = 400;
const BLOCK_BYTES: u64 = 1 << 20;
/// Limit: everybody makes blocks of 1 MiB; a unit is completed in memory.
const BLOCK_BYTES_MAX: u64 = 32 << 20;
const COMMENT_BYTES: usize = 256;
/// Limit: the map is of 32 bit numbers, the last two of which mean something else.
const BLOCKS_MAX: u64 = 0xffff_fff0;

const FREE: u32 = 0xffff_ffff;
const ZERO: u32 = 0xffff_fffe;

/// Places of the header's fields.
mod at {
    pub(super) const SIGNATURE: usize = 64;
    pub(super) const VERSION: usize = 68;
    pub(super) const HEADER_SIZE: usize = 72;
    pub(super) const KIND: usize = 76;
    pub(super) const COMMENT: usize = 84;
    pub(super) const MAP: usize = 340;
    pub(super) const DATA: usize = 344;
    pub(super) const GEOMETRY: usize = 348;
    pub(super) const SIZE: usize = 368;
    pub(super) const BLOCK_SIZE: usize = 376;
    pub(super) const BLOCK_EXTRA: usize = 380;
    pub(super) const BLOCKS: usize = 384;
    pub(super) const ALLOCATED: usize = 388;
    pub(super) const UUID: usize = 392;
    pub(super) const UUID_MODIFICATION: usize = 408;
    pub(super) const UUID_PARENT: usize = 424;
    pub(super) const UUID_PARENT_MODIFICATION: usize = 440;
    pub(super) const LOGICAL_GEOMETRY: usize = 456;
}

const DYNAMIC: u32 = 1;
const FIXED: u32 = 2;
const DIFFERENCE: u32 = 4;

fn bad(what: &'static str) -> DiskError {
    DiskError::Bad { format: NAME, what }
}

pub(crate) fn is_one(head: &[u8]) -> bool {
    head.get(at::SIGNATURE..at::SIGNATURE + 4) == Some(&SIGNATURE.to_le_bytes())
}

/// The changes that make a copy an image of its own: places and bytes.
pub(crate) fn renew(comment: &str) -> Vec<(u64, Vec<u8>)> {
    let mut text = cut(comment, COMMENT_BYTES - 1).as_bytes().to_vec();
    text.resize(COMMENT_BYTES, 0);
    let uuid = || new_uuid().to_vec();
    vec![
        (at::COMMENT as u64, text),
        (at::UUID as u64, uuid()),
        (at::UUID_MODIFICATION as u64, uuid()),
    ]
}

/// An open VDI.
pub(crate) struct Vdi {
    facts: Facts,
    storage: Box<dyn Storage>,
    meta: Meta,
    block_bytes: u64,
    map: u64,
    data: u64,
    blocks: u64,
    allocated: u32,
    /// Whether the modification's identity was changed since the image was opened.
    is_marked: bool,
}

impl Vdi {
    pub(crate) fn open(storage: Box<dyn Storage>) -> Result<Self> {
        let mut head = [0; HEADER_BYTES];
        read_exact(&*storage, &mut head, 0, NAME)?;
        if !is_one(&head) || le32(&head, at::VERSION) >> 16 != 1 {
            return Err(bad("has an unknown version"));
        }
        if le32(&head, at::HEADER_SIZE) < HEADER_SIZE - 16 {
            return Err(bad("has too short a header"));
        }
        let kind = le32(&head, at::KIND);
        let layout = match kind {
            DYNAMIC | DIFFERENCE => Layout::Sparse,
            FIXED => Layout::Fixed,
            _ => return Err(DiskError::Unsupported { format: NAME, what: "its type" }),
        };
        if le32(&head, at::BLOCK_EXTRA) != 0 {
            return Err(DiskError::Unsupported { format: NAME, what: "extra room in blocks" });
        }
        let block_bytes = u64::from(le32(&head, at::BLOCK_SIZE));
        if !block_bytes.is_power_of_two() || !(512..=BLOCK_BYTES_MAX).contains(&block_bytes) {
            return Err(bad("has blocks of an odd size"));
        }
        let size_bytes = le64(&head, at::SIZE);
        let blocks = u64::from(le32(&head, at::BLOCKS));
        if size_bytes == 0 || blocks > BLOCKS_MAX || size_bytes.div_ceil(block_bytes) > blocks {
            return Err(DiskError::Size { format: NAME, bytes: size_bytes });
        }
        let (map, data) = (u64::from(le32(&head, at::MAP)), u64::from(le32(&head, at::DATA)));
        let map_end = map + blocks * 4;
        let file_bytes = storage.size_bytes().map_err(io("measure"))?;
        let header_end = (at::HEADER_SIZE as u64) + u64::from(HEADER_SIZE) - 16;
        if map < header_end || map_end > file_bytes || data < map_end {
            return Err(bad("its map does not lie between header and data"));
        }
        let parent = field::<16>(&head, at::UUID_PARENT);
        let parent = (kind == DIFFERENCE)
            .then(|| Parent { identity: Identity::Uuid(parent), name: String::new() });
        let facts = Facts {
            format: Format::Vdi,
            layout,
            size_bytes,
            unit_bytes: block_bytes,
            comment: text(&head[at::COMMENT..at::COMMENT + COMMENT_BYTES]),
            identity: Identity::Uuid(field(&head, at::UUID)),
            parent,
        };
        let allocated = le32(&head, at::ALLOCATED);
        if u64::from(allocated) > blocks {
            return Err(bad("has more blocks in use than there are"));
        }
        let meta = Meta::default();
        Ok(Self {
            facts,
            storage,
            meta,
            block_bytes,
            map,
            data,
            blocks,
            allocated,
            is_marked: false,
        })
    }

    pub(crate) fn create(new: &NewImage<'_>, storage: Box<dyn Storage>) -> Result<Self> {
        let blocks = new.size_bytes.div_ceil(BLOCK_BYTES);
        let map = HEADER_BYTES as u64;
        // Compat: readers map the data as pages, so it begins at one.
        let data = round_up(map + blocks.saturating_mul(4), 4096);
        if blocks == 0 || blocks > BLOCKS_MAX || data > u64::from(u32::MAX) {
            return Err(DiskError::Size { format: NAME, bytes: new.size_bytes });
        }
        let is_fixed = new.layout == Layout::Fixed;
        let head = new_header(new, blocks, data as u32)?;
        if is_fixed {
            storage.reserve(data + blocks * BLOCK_BYTES).map_err(io("reserve room"))?;
        } else {
            storage.set_size(data).map_err(io("enlarge"))?;
        }
        // Limit: pieces of the map, so that a large disk takes no more memory than a small one.
        let mut entries = Vec::with_capacity(1 << 16);
        let mut at = map;
        for block in 0..blocks {
            let entry = if is_fixed { block as u32 } else { FREE };
            entries.extend_from_slice(&entry.to_le_bytes());
            if entries.len() == 1 << 16 || block + 1 == blocks {
                storage.write_all_at(&entries, at).map_err(io("write the map"))?;
                at += entries.len() as u64;
                entries.clear();
            }
        }
        storage.write_all_at(&head, 0).map_err(io("write the header"))?;
        Self::open(storage)
    }

    fn entry(&mut self, block: u64) -> Result<u32> {
        let entry = self.meta.get(&*self.storage, self.map + block * 4, NAME)?;
        Ok(u32::from_le_bytes(entry))
    }

    fn place_of(&self, entry: u32) -> Result<u64> {
        // No more blocks lie in the file than the map has entries.
        if u64::from(entry) >= self.blocks {
            return Err(bad("a block lies behind the last one"));
        }
        Ok(self.data + u64::from(entry) * self.block_bytes)
    }

    /// The entry for `offset`, and how far, at most `limit`, it goes on in the same way.
    fn locate(&mut self, offset: u64, limit: u64) -> Result<(u32, u64)> {
        let block = offset / self.block_bytes;
        let first = self.entry(block)?;
        let mut length = self.block_bytes - offset % self.block_bytes;
        let mut next = block + 1;
        while length < limit {
            let expected = match first {
                FREE | ZERO => first,
                entry => entry.saturating_add((next - block) as u32),
            };
            if self.entry(next)? != expected {
                break;
            }
            length += self.block_bytes;
            next += 1;
        }
        Ok((first, length.min(limit)))
    }

    /// Order: before the first write the identity of the content changes.
    fn mark_written(&mut self) -> Result<()> {
        if !self.is_marked {
            let at = at::UUID_MODIFICATION as u64;
            self.storage.write_all_at(&new_uuid(), at).map_err(io("write the header"))?;
            self.is_marked = true;
        }
        Ok(())
    }

    /// Puts `count` new blocks behind the last one and gives the number of the first.
    fn allocate(&mut self, count: u64) -> Result<u32> {
        let first = self.allocated;
        let last = u64::from(first) + count;
        if last > self.blocks {
            return Err(bad("has more blocks in use than there are"));
        }
        let end = self.data + last * self.block_bytes;
        if self.storage.size_bytes().map_err(io("measure"))? < end {
            self.storage.set_size(end).map_err(io("enlarge"))?;
        }
        Ok(first)
    }

    /// Makes the map lead to new blocks.
    fn lead(&mut self, block: u64, count: u64, entry: u32) -> Result<()> {
        // Order: the count first. A block that is counted and used by nobody is only room lost; one
        // that is used and not counted would be given away twice.
        self.allocated += count as u32;
        let counted = self.allocated.to_le_bytes();
        self.storage
            .write_all_at(&counted, at::ALLOCATED as u64)
            .map_err(io("write the header"))?;
        let entries: Vec<u8> =
            (0..count).flat_map(|number| (entry + number as u32).to_le_bytes()).collect();
        self.meta.put(&*self.storage, self.map + block * 4, &entries)
    }
}

fn new_header(new: &NewImage<'_>, blocks: u64, data: u32) -> Result<[u8; HEADER_BYTES]> {
    let mut head = [0; HEADER_BYTES];
    put(&mut head, 0, b"<<< Sun xVM VirtualBox Disk Image >>>\n");
    put(&mut head, at::SIGNATURE, &SIGNATURE.to_le_bytes());
    put(&mut head, at::VERSION, &VERSION.to_le_bytes());
    put(&mut head, at::HEADER_SIZE, &HEADER_SIZE.to_le_bytes());
    let kind = match (new.layout, &new.parent) {
        (Layout::Sparse, None) => DYNAMIC,
        (Layout::Sparse, Some(_)) => DIFFERENCE,
        (Layout::Fixed, None) => FIXED,
        _ => return Err(DiskError::Unsupported { format: NAME, what: "this layout" }),
    };
    put(&mut head, at::KIND, &kind.to_le_bytes());
    put(&mut head, at::COMMENT, cut(new.comment, COMMENT_BYTES - 1).as_bytes());
    put(&mut head, at::MAP, &(HEADER_BYTES as u32).to_le_bytes());
    put(&mut head, at::DATA, &data.to_le_bytes());
    let cylinders = (new.size_bytes / (16 * 63 * 512)).min(16383) as u32;
    for (number, value) in [cylinders, 16, 63, 512].into_iter().enumerate() {
        put(&mut head, at::GEOMETRY + number * 4, &value.to_le_bytes());
    }
    put(&mut head, at::SIZE, &new.size_bytes.to_le_bytes());
    put(&mut head, at::BLOCK_SIZE, &(BLOCK_BYTES as u32).to_le_bytes());
    put(&mut head, at::BLOCKS, &(blocks as u32).to_le_bytes());
    let allocated = if new.layout == Layout::Fixed { blocks as u32 } else { 0 };
    put(&mut head, at::ALLOCATED, &allocated.to_le_bytes());
    let uuid = match new.identity {
        Some(Identity::Uuid(uuid)) => uuid,
        _ => new_uuid(),
    };
    put(&mut head, at::UUID, &uuid);
    put(&mut head, at::UUID_MODIFICATION, &new_uuid());
    if let Some((parent, _)) = &new.parent {
        let Identity::Uuid(uuid) = parent.identity else {
            let what = "a parent of another format";
            return Err(DiskError::Unsupported { format: NAME, what });
        };
        put(&mut head, at::UUID_PARENT, &uuid);
        put(&mut head, at::UUID_PARENT_MODIFICATION, &new_uuid());
    }
    for (number, value) in logical_geometry(new.size_bytes).into_iter().enumerate() {
        put(&mut head, at::LOGICAL_GEOMETRY + number * 4, &value.to_le_bytes());
    }
    Ok(head)
}

/// Cylinders, heads, sectors as a BIOS would tell them, and the sector's size.
fn logical_geometry(size_bytes: u64) -> [u32; 4] {
    for heads in [16, 32, 64, 128] {
        let cylinders = size_bytes / (u64::from(heads) * 63 * 512);
        if cylinders <= 1024 {
            return [cylinders as u32, heads, 63, 512];
        }
    }
    [1024, 255, 63, 512]
}

impl Image for Vdi {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        check_range(&self.facts, offset, limit)?;
        let (entry, length) = self.locate(offset, limit)?;
        let content = match entry {
            FREE => Content::Absent,
            ZERO => Content::Zero,
            _ => Content::Data,
        };
        Ok(Extent::new(length, content))
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(&self.facts, offset, buffer.len() as u64)?;
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (entry, length) = self.locate(at, rest.len() as u64)?;
            let (part, later) = rest.split_at_mut(length as usize);
            match entry {
                FREE | ZERO => part.fill(0),
                entry => {
                    let from = self.place_of(entry)? + at % self.block_bytes;
                    read_padded(&*self.storage, part, from)?;
                }
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(&self.facts, offset, data.len() as u64)?;
        self.mark_written()?;
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (entry, length) = self.locate(at, rest.len() as u64)?;
            let (part, later) = rest.split_at(length as usize);
            let inside = at % self.block_bytes;
            match entry {
                FREE | ZERO => {
                    let first = at / self.block_bytes;
                    let count = (at + length).div_ceil(self.block_bytes) - first;
                    let entry = self.allocate(count)?;
                    let to = self.place_of(entry)? + inside;
                    // Order: the content is in the file before the map leads to it.
                    self.storage.write_all_at(part, to).map_err(io("write"))?;
                    self.lead(first, count, entry)?;
                }
                entry => {
                    let to = self.place_of(entry)? + inside;
                    self.storage.write_all_at(part, to).map_err(io("write"))?;
                }
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        check_range(&self.facts, offset, length)?;
        self.mark_written()?;
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let (entry, some) = self.locate(at, end - at)?;
            match entry {
                ZERO => {}
                FREE => {
                    let first = at / self.block_bytes;
                    let count = (at + some).div_ceil(self.block_bytes) - first;
                    let entries: Vec<u8> = (0..count).flat_map(|_| ZERO.to_le_bytes()).collect();
                    self.meta.put(&*self.storage, self.map + first * 4, &entries)?;
                }
                entry => {
                    let to = self.place_of(entry)? + at % self.block_bytes;
                    self.storage.zero(to, some).map_err(io("write"))?;
                }
            }
            at += some;
        }
        Ok(())
    }

    fn flush(&mut self, durable: bool) -> Result<()> {
        if durable {
            self.storage.sync().map_err(io("synchronise"))?;
        }
        Ok(())
    }

    fn stored_at(&mut self, offset: u64, limit: u64) -> Result<Option<(u64, u64)>> {
        let (entry, length) = self.locate(offset, limit)?;
        match entry {
            FREE | ZERO => Ok(None),
            entry => Ok(Some((self.place_of(entry)? + offset % self.block_bytes, length))),
        }
    }
}
