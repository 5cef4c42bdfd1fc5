//! VHDX: fixed, dynamic and difference, for reading.

mod header;
mod log;
mod metadata;

use crate::bytes::{field, round_up};
use crate::error::{DiskError, Result, io};
use crate::image::{Content, Extent, Facts, Format, Identity, Image, Layout, Parent, check_range};
use crate::meta::Meta;
use crate::storage::{Storage, read_padded};
use header::{FRONT_BYTES, Header, Regions};
use metadata::Metadata;

const NAME: &str = "vhdx";
/// One block of the bitmap covers as many sectors as it has bits.
const BITMAP_BYTES: u64 = 1 << 20;

fn bad(what: &'static str) -> DiskError {
    DiskError::Bad { format: NAME, what }
}

/// A GUID as it is written, from the order in which Windows keeps its bytes.
fn guid(bytes: &[u8], at: usize) -> u128 {
    let mut bytes: [u8; 16] = field(bytes, at);
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    u128::from_be_bytes(bytes)
}

pub(crate) fn is_one(head: &[u8]) -> bool {
    head.starts_with(b"vhdxfile")
}

/// An open VHDX.
pub(crate) struct Vhdx {
    facts: Facts,
    storage: Box<dyn Storage>,
    meta: Meta,
    /// Where the table of blocks begins.
    table: u64,
    block_bytes: u64,
    sector_bytes: u64,
    /// So many blocks stand in the table before an entry for the bitmap of their sectors.
    chunk_blocks: u64,
    file_bytes: u64,
}

/// Where the content of an offset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Zero,
    /// The image below has it.
    Below,
    At(u64),
}

impl Vhdx {
    pub(crate) fn open(storage: Box<dyn Storage>) -> Result<Self> {
        let mut name = [0; 8];
        read_padded(&*storage, &mut name, 0)?;
        if !is_one(&name) {
            return Err(bad("does not begin as one"));
        }
        let header = Header::read(&*storage)?;
        let storage = log::replay(storage, &header)?;
        let file_bytes = storage.size_bytes().map_err(io("measure"))?;
        let regions = Regions::read(&*storage, file_bytes)?;
        let metadata = Metadata::read(&*storage, &regions.metadata)?;
        let Metadata { size_bytes, block_bytes, sector_bytes, .. } = metadata;
        let chunk_blocks = BITMAP_BYTES * 8 * sector_bytes / block_bytes;
        let blocks = size_bytes.div_ceil(block_bytes);
        let entries = match &metadata.parent {
            Some(_) => round_up(blocks, chunk_blocks) / chunk_blocks * (chunk_blocks + 1),
            None => blocks + (blocks - 1) / chunk_blocks,
        };
        if entries * 8 > regions.blocks.end - regions.blocks.start {
            return Err(bad("its table is too short"));
        }
        let uuid = |number: u128| Identity::Uuid(number.to_be_bytes());
        let facts = Facts {
            format: Format::Vhdx,
            layout: if metadata.is_fixed { Layout::Fixed } else { Layout::Sparse },
            size_bytes,
            unit_bytes: sector_bytes,
            comment: String::new(),
            identity: uuid(header.content),
            parent: metadata
                .parent
                .map(|below| Parent { identity: uuid(below.content), name: below.name }),
        };
        let (meta, table) = (Meta::default(), regions.blocks.start);
        Ok(Self {
            facts,
            storage,
            meta,
            table,
            block_bytes,
            sector_bytes,
            chunk_blocks,
            file_bytes,
        })
    }

    /// An entry of the table: its state, and where it leads to.
    fn entry(&mut self, number: u64) -> Result<(u64, u64)> {
        const STATE: u64 = 7;
        let entry = self.meta.get(&*self.storage, self.table + number * 8, NAME)?;
        let entry = u64::from_le_bytes(entry);
        Ok((entry & STATE, entry & !(FRONT_BYTES - 1)))
    }

    fn checked(&self, at: u64) -> Result<u64> {
        match at >= FRONT_BYTES && at < self.file_bytes {
            true => Ok(at),
            false => Err(bad("a block lies outside of the file")),
        }
    }

    /// The place of the first byte of a block; `None` where the bitmap has to be asked.
    fn block(&mut self, block: u64) -> Result<(Option<Place>, u64)> {
        let is_child = self.facts.parent.is_some();
        let (state, at) = self.entry(block + block / self.chunk_blocks)?;
        let place = match state {
            0 if is_child => Some(Place::Below),
            // Never written, written with zeroes, or given back: zeroes are right for all.
            0..=3 => Some(Place::Zero),
            6 => Some(Place::At(self.checked(at)?)),
            7 if is_child => None,
            _ => return Err(bad("a block is in no known state")),
        };
        Ok((place, at))
    }

    /// Whether a sector of a partly filled block is in this image.
    fn is_here(&mut self, bitmap: u64, sector: u64) -> Result<bool> {
        let sector = sector % (BITMAP_BYTES * 8);
        let [bits] = self.meta.get(&*self.storage, bitmap + sector / 8, NAME)?;
        Ok(bits & (1 << (sector % 8)) != 0)
    }

    /// The place of `offset` and how far, at most `limit`, it goes on in the same way.
    fn locate(&mut self, offset: u64, limit: u64) -> Result<(Place, u64)> {
        let block = offset / self.block_bytes;
        let inside = offset % self.block_bytes;
        let (place, at) = self.block(block)?;
        let Some(place) = place else { return self.locate_sector(offset, limit, at) };
        let mut length = self.block_bytes - inside;
        let mut next = block + 1;
        while length < limit {
            let expected = match place {
                Place::At(at) => Place::At(at + (next - block) * self.block_bytes),
                other => other,
            };
            if self.block(next)?.0 != Some(expected) {
                break;
            }
            length += self.block_bytes;
            next += 1;
        }
        let place = match place {
            Place::At(at) => Place::At(at + inside),
            other => other,
        };
        Ok((place, length.min(limit)))
    }

    /// The same in a partly filled block at `at`.
    fn locate_sector(&mut self, offset: u64, limit: u64, at: u64) -> Result<(Place, u64)> {
        let inside = offset % self.block_bytes;
        let limit = limit.min(self.block_bytes - inside);
        let at = self.checked(at)?;
        let chunk = offset / self.block_bytes / self.chunk_blocks;
        let (state, bitmap) = self.entry(chunk * (self.chunk_blocks + 1) + self.chunk_blocks)?;
        if state != 6 {
            return Err(bad("a block's sectors have no bitmap"));
        }
        let bitmap = self.checked(bitmap)?;
        let first = offset / self.sector_bytes;
        let last = (offset + limit).div_ceil(self.sector_bytes);
        let is_here = self.is_here(bitmap, first)?;
        let mut sector = first + 1;
        while sector < last && self.is_here(bitmap, sector)? == is_here {
            sector += 1;
        }
        let length = (sector * self.sector_bytes - offset).min(limit);
        let place = if is_here { Place::At(at + inside) } else { Place::Below };
        Ok((place, length))
    }
}

impl Image for Vhdx {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        check_range(&self.facts, offset, limit)?;
        let (place, length) = self.locate(offset, limit)?;
        let content = match place {
            Place::Zero => Content::Zero,
            Place::Below => Content::Absent,
            Place::At(_) => Content::Data,
        };
        Ok(Extent::new(length, content))
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(&self.facts, offset, buffer.len() as u64)?;
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (place, length) = self.locate(at, rest.len() as u64)?;
            let (part, later) = rest.split_at_mut(length as usize);
            match place {
                Place::Zero | Place::Below => part.fill(0),
                Place::At(from) => read_padded(&*self.storage, part, from)?,
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    fn write(&mut self, _offset: u64, _data: &[u8]) -> Result<()> {
        Err(DiskError::ReadOnly)
    }

    fn write_zeroes(&mut self, _offset: u64, _length: u64) -> Result<()> {
        Err(DiskError::ReadOnly)
    }

    fn flush(&mut self, _durable: bool) -> Result<()> {
        Ok(())
    }

    fn stored_at(&mut self, offset: u64, limit: u64) -> Result<Option<(u64, u64)>> {
        let (place, length) = self.locate(offset, limit)?;
        Ok(match place {
            Place::At(at) => Some((at, length)),
            Place::Zero | Place::Below => None,
        })
    }
}
