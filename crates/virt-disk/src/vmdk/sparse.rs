//! A sparse extent: grains found through a directory of tables, compressed ones too.

use crate::bytes::{le16, le32, le64, round_up};
use crate::error::{DiskError, Result, io};
use crate::image::{Content, Extent};
use crate::meta::Meta;
use crate::storage::{Storage, read_exact};
use crate::vmdk::{NAME, SECTOR_BYTES, bad};

/// Limit: VMware makes grains of 8 KiB to 64 KiB.
const GRAIN_BYTES_MAX: u64 = 1 << 20;
/// Limit: the specification says 512.
const TABLE_ENTRIES_MAX: u64 = 4096;

const ZEROED_GRAIN: u32 = 4;
const COMPRESSED: u32 = 0x1_0000;
const MARKERS: u32 = 0x2_0000;
const AT_END: u64 = u64::MAX;

/// The size of the header, and the places of its fields.
pub(super) mod header {
    pub(crate) const BYTES: usize = 512;
    pub(crate) const VERSION: usize = 4;
    pub(crate) const FLAGS: usize = 8;
    pub(crate) const CAPACITY: usize = 12;
    pub(crate) const GRAIN: usize = 20;
    pub(crate) const DESCRIPTOR: usize = 28;
    pub(crate) const DESCRIPTOR_SIZE: usize = 36;
    pub(crate) const TABLE_ENTRIES: usize = 44;
    pub(crate) const REDUNDANT_DIRECTORY: usize = 48;
    pub(crate) const DIRECTORY: usize = 56;
    pub(crate) const OVERHEAD: usize = 64;
    pub(crate) const NEWLINES: usize = 73;
    pub(crate) const COMPRESSION: usize = 77;
}

/// An open sparse extent.
pub(crate) struct Sparse {
    storage: Box<dyn Storage>,
    meta: Meta,
    size_bytes: u64,
    grain_bytes: u64,
    table_entries: u64,
    directory: u64,
    redundant: Option<u64>,
    descriptor: (u64, u64),
    overhead_bytes: u64,
    flags: u32,
    /// Where the file ends, and the next grain begins.
    end: u64,
    /// The grain inflated last.
    inflated: Option<(u64, Vec<u8>)>,
}

/// Where a grain is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Absent,
    Zero,
    /// At this byte, as it is.
    At(u64),
    /// At this byte, compressed.
    Packed(u64),
}

/// A field that counts sectors, in bytes.
fn sectors(head: &[u8; header::BYTES], at: usize) -> Result<u64> {
    le64(head, at).checked_mul(SECTOR_BYTES).ok_or(bad("has absurd numbers in its header"))
}

/// Where a header says that the descriptor is, and how much room it has.
pub(super) fn descriptor_place(head: &[u8; header::BYTES]) -> Result<(u64, u64)> {
    Ok((sectors(head, header::DESCRIPTOR)?, sectors(head, header::DESCRIPTOR_SIZE)?))
}

impl Sparse {
    pub(crate) fn open(storage: Box<dyn Storage>) -> Result<Self> {
        let mut head = [0; header::BYTES];
        read_exact(&*storage, &mut head, 0, NAME)?;
        let file_bytes = storage.size_bytes().map_err(io("measure"))?;
        if le64(&head, header::DIRECTORY) == AT_END {
            // The real header is the footer: one sector before the last, which ends the stream.
            let at = file_bytes.checked_sub(2 * SECTOR_BYTES).ok_or(bad("ends too early"))?;
            read_exact(&*storage, &mut head, at, NAME)?;
            if le64(&head, header::DIRECTORY) == AT_END {
                return Err(bad("has no footer"));
            }
        }
        if &head[..4] != b"KDMV" || !(1..=3).contains(&le32(&head, header::VERSION)) {
            return Err(bad("has an unknown version"));
        }
        let flags = le32(&head, header::FLAGS);
        let compression = le16(&head, header::COMPRESSION);
        if (flags & COMPRESSED != 0) != (compression == 1) || compression > 1 {
            return Err(DiskError::Unsupported { format: NAME, what: "its compression" });
        }
        let bytes = |at: usize| sectors(&head, at);
        let sparse = Self {
            size_bytes: bytes(header::CAPACITY)?,
            grain_bytes: bytes(header::GRAIN)?,
            table_entries: u64::from(le32(&head, header::TABLE_ENTRIES)),
            directory: bytes(header::DIRECTORY)?,
            redundant: match flags & 2 {
                0 => None,
                _ => Some(bytes(header::REDUNDANT_DIRECTORY)?),
            },
            descriptor: descriptor_place(&head)?,
            overhead_bytes: bytes(header::OVERHEAD)?,
            flags,
            end: round_up(file_bytes, SECTOR_BYTES),
            meta: Meta::default(),
            inflated: None,
            storage,
        };
        sparse.check(file_bytes)?;
        Ok(sparse)
    }

    fn check(&self, file_bytes: u64) -> Result<()> {
        let grain = self.grain_bytes;
        if !grain.is_power_of_two() || !(SECTOR_BYTES..=GRAIN_BYTES_MAX).contains(&grain) {
            return Err(bad("has grains of an odd size"));
        }
        if !(1..=TABLE_ENTRIES_MAX).contains(&self.table_entries) {
            return Err(bad("has tables of an odd size"));
        }
        if self.size_bytes == 0 || self.size_bytes > crate::image::DISK_BYTES_MAX {
            return Err(DiskError::Size { format: NAME, bytes: self.size_bytes });
        }
        let tables = self.size_bytes.div_ceil(grain * self.table_entries);
        let fits = |at: u64| {
            at >= SECTOR_BYTES
                && at.checked_add(tables.saturating_mul(4)).is_some_and(|end| end <= file_bytes)
        };
        if !fits(self.directory) || !self.redundant.is_none_or(fits) {
            return Err(bad("its directory does not lie inside the file"));
        }
        let (at, length) = self.descriptor;
        if length > 0 && at.checked_add(length).is_none_or(|end| end > file_bytes) {
            return Err(bad("its descriptor does not lie inside the file"));
        }
        Ok(())
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(crate) fn grain_bytes(&self) -> u64 {
        self.grain_bytes
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.flags & COMPRESSED != 0
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// Offset and room of the embedded descriptor.
    pub(crate) fn descriptor_place(&self) -> (u64, u64) {
        self.descriptor
    }

    fn table_bytes(&self) -> u64 {
        self.grain_bytes * self.table_entries
    }

    /// Where the table of a grain begins, as one of the two directories says; 0 for none.
    fn table(&mut self, directory: u64, grain: u64) -> Result<u64> {
        let at = directory + grain / self.table_entries * 4;
        let sector = u32::from_le_bytes(self.meta.get(&*self.storage, at, NAME)?);
        Ok(u64::from(sector) * SECTOR_BYTES)
    }

    fn entry(&mut self, table: u64, grain: u64) -> Result<Place> {
        let at = table + grain % self.table_entries * 4;
        let sector = u32::from_le_bytes(self.meta.get(&*self.storage, at, NAME)?);
        let at = u64::from(sector) * SECTOR_BYTES;
        match sector {
            0 => Ok(Place::Absent),
            1 if self.flags & ZEROED_GRAIN != 0 => Ok(Place::Zero),
            _ if self.flags & COMPRESSED != 0 => Ok(Place::Packed(at)),
            _ if at < self.overhead_bytes => Err(bad("a grain lies inside the tables")),
            _ if at >= self.end => Err(bad("a grain lies behind the end of the file")),
            _ => Ok(Place::At(at)),
        }
    }

    /// The place of `offset` and how far, at most `limit`, it goes on in the same way.
    fn locate(&mut self, offset: u64, limit: u64) -> Result<(Place, u64)> {
        let limit = limit.min(self.table_bytes() - offset % self.table_bytes());
        let grain = offset / self.grain_bytes;
        let inside = offset % self.grain_bytes;
        let table = self.table(self.directory, grain)?;
        if table == 0 {
            return Ok((Place::Absent, limit));
        }
        let first = self.entry(table, grain)?;
        let mut length = self.grain_bytes - inside;
        let mut next = grain + 1;
        while length < limit {
            let expected = match first {
                Place::At(at) => Place::At(at + (next - grain) * self.grain_bytes),
                Place::Packed(_) => break,
                other => other,
            };
            if self.entry(table, next)? != expected {
                break;
            }
            length += self.grain_bytes;
            next += 1;
        }
        let place = match first {
            Place::At(at) => Place::At(at + inside),
            other => other,
        };
        Ok((place, length.min(limit)))
    }

    pub(crate) fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        let (place, length) = self.locate(offset, limit)?;
        let content = match place {
            Place::Absent => Content::Absent,
            Place::Zero => Content::Zero,
            Place::At(_) | Place::Packed(_) => Content::Data,
        };
        Ok(Extent::new(length, content))
    }

    /// Where a grain that is not packed begins, and how far the grains go on there.
    pub(crate) fn stored_at(&mut self, offset: u64, limit: u64) -> Result<Option<(u64, u64)>> {
        let (place, length) = self.locate(offset, limit)?;
        Ok(match place {
            Place::At(at) => Some((at, length)),
            Place::Absent | Place::Zero | Place::Packed(_) => None,
        })
    }

    pub(crate) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (place, length) = self.locate(at, rest.len() as u64)?;
            let (part, later) = rest.split_at_mut(length as usize);
            match place {
                Place::Absent | Place::Zero => part.fill(0),
                // The last grain may be cut short by the end of the file.
                Place::At(from) => crate::storage::read_padded(&*self.storage, part, from)?,
                Place::Packed(from) => {
                    let inside = (at % self.grain_bytes) as usize;
                    let grain = self.inflate(from, at - at % self.grain_bytes)?;
                    let held = grain.get(inside..inside + part.len());
                    part.copy_from_slice(held.ok_or(bad("a grain is short"))?);
                }
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    /// The compressed grain at `from`, which holds the disk's bytes from `offset` on.
    fn inflate(&mut self, from: u64, offset: u64) -> Result<&[u8]> {
        if self.inflated.as_ref().is_none_or(|(held, _)| *held != from) {
            let mut mark = [0; 12];
            read_exact(&*self.storage, &mut mark, from, NAME)?;
            let size = u64::from(le32(&mark, 8));
            // Deflate adds a few bytes to what it cannot compress; twice as much is never right.
            if size == 0 || size > 2 * self.grain_bytes + SECTOR_BYTES {
                return Err(bad("a compressed grain has an absurd size"));
            }
            if self.flags & MARKERS != 0 && le64(&mark, 0).checked_mul(SECTOR_BYTES) != Some(offset)
            {
                return Err(bad("a compressed grain is that of another place"));
            }
            let mut packed = vec![0; size as usize];
            read_exact(&*self.storage, &mut packed, from + 12, NAME)?;
            let mut grain = super::stream::inflate(&packed, self.grain_bytes as usize)?;
            grain.resize(self.grain_bytes as usize, 0);
            self.inflated = Some((from, grain));
        }
        Ok(self.inflated.as_ref().map(|(_, grain)| grain.as_slice()).unwrap_or_default())
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (place, length) = self.locate(at, rest.len() as u64)?;
            let (part, later) = rest.split_at(length as usize);
            match place {
                Place::At(to) => self.storage.write_all_at(part, to).map_err(io("write"))?,
                Place::Packed(_) => return Err(DiskError::ReadOnly),
                Place::Absent | Place::Zero => {
                    let to = self.allocate(at, length)?;
                    // Order: the content is in the file before a table leads to it.
                    let inside = at % self.grain_bytes;
                    self.storage.write_all_at(part, to + inside).map_err(io("write"))?;
                    self.lead(at, length, to)?;
                }
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    /// Whole grains of nothing: room that is a hole in the file.
    pub(crate) fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        let mut at = offset;
        let end = offset + length;
        while at < end {
            let (place, some) = self.locate(at, end - at)?;
            match place {
                Place::At(to) => self.storage.zero(to, some).map_err(io("write"))?,
                Place::Packed(_) => return Err(DiskError::ReadOnly),
                Place::Zero => {}
                Place::Absent => {
                    let to = self.allocate(at, some)?;
                    self.lead(at, some, to)?;
                }
            }
            at += some;
        }
        Ok(())
    }

    /// Room at the end of the file for all grains of a stretch inside one table.
    fn allocate(&mut self, offset: u64, length: u64) -> Result<u64> {
        let first = offset / self.grain_bytes;
        let last = (offset + length).div_ceil(self.grain_bytes);
        let to = self.end;
        let end = to + (last - first) * self.grain_bytes;
        if end / SECTOR_BYTES > u64::from(u32::MAX) {
            return Err(DiskError::Size { format: NAME, bytes: end });
        }
        self.storage.set_size(end).map_err(io("enlarge"))?;
        self.end = end;
        Ok(to)
    }

    /// Makes the tables lead to new grains, which lie one after another.
    fn lead(&mut self, offset: u64, length: u64, to: u64) -> Result<()> {
        let first = offset / self.grain_bytes;
        let last = (offset + length).div_ceil(self.grain_bytes);
        let mut entries = Vec::with_capacity(((last - first) * 4) as usize);
        for grain in 0..last - first {
            let sector = (to + grain * self.grain_bytes) / SECTOR_BYTES;
            entries.extend_from_slice(&(sector as u32).to_le_bytes());
        }
        // Order: the redundant table first, so that the one we read is never ahead of it.
        for directory in [self.redundant, Some(self.directory)].into_iter().flatten() {
            let table = match self.table(directory, first)? {
                0 => self.new_table(directory, first)?,
                table => table,
            };
            let at = table + first % self.table_entries * 4;
            self.meta.put(&*self.storage, at, &entries)?;
        }
        Ok(())
    }

    fn new_table(&mut self, directory: u64, grain: u64) -> Result<u64> {
        let table = self.end;
        self.end = table + round_up(self.table_entries * 4, SECTOR_BYTES);
        self.storage.set_size(self.end).map_err(io("enlarge"))?;
        let sector = u32::try_from(table / SECTOR_BYTES);
        let sector = sector.map_err(|_| DiskError::Size { format: NAME, bytes: table })?;
        let at = directory + grain / self.table_entries * 4;
        self.meta.put(&*self.storage, at, &sector.to_le_bytes())?;
        Ok(table)
    }
}
