//! VHD: fixed (raw with a footer), dynamic, and difference with a bitmap of its sectors.

mod footer;

use crate::bytes::{new_uuid, round_up};
use crate::error::{DiskError, Result, io};
use crate::image::{
    Content, Extent, Facts, Format, Identity, Image, Layout, NewImage, Parent, check_range,
};
use crate::meta::Meta;
use crate::raw::Raw;
use crate::storage::{Storage, read_exact, read_padded};
use footer::{FOOTER_BYTES, Footer, HEADER_BYTES, Header, LOCATOR_BYTES};

const NAME: &str = "vhd";
const SECTOR_BYTES: u64 = 512;
const BLOCK_BYTES: u64 = 2 << 20;
/// Limit: everybody makes blocks of 512 KiB or 2 MiB.
const BLOCK_BYTES_MAX: u64 = 32 << 20;
const UNUSED: u32 = 0xffff_ffff;
/// Compat: the original leaves room for four names of a parent behind the table, in any image.
const LOCATORS_BYTES: u64 = 3072;

fn bad(what: &'static str) -> DiskError {
    DiskError::Bad { format: NAME, what }
}

/// Whether these are the first bytes of a sparse VHD, or the last sector of any.
pub(crate) fn is_one(sector: &[u8]) -> bool {
    Footer::is_one(sector)
}

/// Opens a VHD of any kind.
pub(crate) fn open(storage: Box<dyn Storage>) -> Result<Box<dyn Image>> {
    let file_bytes = storage.size_bytes().map_err(io("measure"))?;
    let read_footer = |at: u64| {
        let mut bytes = [0; FOOTER_BYTES];
        read_exact(&*storage, &mut bytes, at, NAME)?;
        Footer::parse(bytes)
    };
    let last = file_bytes.checked_sub(SECTOR_BYTES).ok_or(bad("ends too early"))?;
    // A writer that was killed may have left the copy in front as the only one.
    let (footer, end) = match read_footer(last) {
        Ok(footer) => (footer, last),
        Err(error) => match read_footer(0) {
            Ok(footer) if footer.kind != footer::FIXED => {
                (footer, round_up(file_bytes, SECTOR_BYTES))
            }
            _ => return Err(error),
        },
    };
    match footer.kind {
        footer::FIXED => {
            if footer.size_bytes > last {
                return Err(bad("is shorter than it says"));
            }
            Ok(Box::new(Raw::part(facts(&footer, Layout::Fixed, None), storage)))
        }
        footer::DYNAMIC | footer::DIFFERENCE => {
            Ok(Box::new(Vhd::open(storage, footer, end, file_bytes)?))
        }
        _ => Err(DiskError::Unsupported { format: NAME, what: "its type" }),
    }
}

fn facts(footer: &Footer, layout: Layout, parent: Option<Parent>) -> Facts {
    Facts {
        format: Format::Vhd,
        layout,
        size_bytes: footer.size_bytes,
        unit_bytes: SECTOR_BYTES,
        comment: String::new(),
        identity: Identity::Uuid(footer.uuid),
        parent,
    }
}

/// Makes a VHD in an empty file.
pub(crate) fn create(new: &NewImage<'_>, storage: Box<dyn Storage>) -> Result<Box<dyn Image>> {
    let size_bytes = new.size_bytes;
    if !size_bytes.is_multiple_of(SECTOR_BYTES)
        || size_bytes == 0
        || size_bytes > footer::SIZE_BYTES_MAX
    {
        return Err(DiskError::Size { format: NAME, bytes: size_bytes });
    }
    let kind = match (new.layout, &new.parent) {
        (Layout::Fixed, None) => footer::FIXED,
        (Layout::Sparse, None) => footer::DYNAMIC,
        (Layout::Sparse, Some(_)) => footer::DIFFERENCE,
        _ => return Err(DiskError::Unsupported { format: NAME, what: "this layout" }),
    };
    let uuid = match new.identity {
        Some(Identity::Uuid(uuid)) => uuid,
        _ => new_uuid(),
    };
    let foot = Footer::new(kind, size_bytes, new.now_epoch, uuid);
    if kind == footer::FIXED {
        storage.reserve(size_bytes).map_err(io("reserve room"))?;
        storage.write_all_at(&foot.bytes, size_bytes).map_err(io("write the footer"))?;
        return open(storage);
    }
    let table = (FOOTER_BYTES + HEADER_BYTES) as u64;
    let entries = size_bytes.div_ceil(BLOCK_BYTES);
    let locators = table + round_up(entries * 4, SECTOR_BYTES);
    let end = locators + LOCATORS_BYTES;
    let mut parent = None;
    if let Some((below, name)) = &new.parent {
        let Identity::Uuid(uuid) = &below.identity else {
            let what = "a parent of another format";
            return Err(DiskError::Unsupported { format: NAME, what });
        };
        parent = Some((uuid, *name, footer::time(new.now_epoch)));
    }
    let relative = parent.map(|(_, name, _)| footer::relative(name)).unwrap_or_default();
    let locator = parent.map(|_| (locators, relative.len() as u32));
    let head = footer::new_header(table, entries as u32, BLOCK_BYTES as u32, parent, locator);
    let unused = vec![0xff; (entries * 4) as usize];
    for (bytes, at) in [
        (&unused[..], table),
        (&relative[..], locators),
        (&foot.bytes[..], end),
        (&head[..], FOOTER_BYTES as u64),
        (&foot.bytes[..], 0),
    ] {
        storage.write_all_at(bytes, at).map_err(io("write the header"))?;
    }
    open(storage)
}

/// The changes that give a difference image a parent of another name: places and bytes.
pub(crate) fn retarget(storage: &dyn Storage, name: &str) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut head = [0; HEADER_BYTES];
    read_exact(storage, &mut head, FOOTER_BYTES as u64, NAME)?;
    let header = Header::parse(&head)?;
    let mut relative = footer::relative(name);
    footer::rename(&mut head, name, relative.len() as u32);
    relative.resize(LOCATOR_BYTES, 0);
    let locators = header.table + round_up(header.entries * 4, SECTOR_BYTES);
    Ok(vec![(FOOTER_BYTES as u64, head.to_vec()), (locators, relative)])
}

/// The changes that make a copy an image of its own: places and bytes.
pub(crate) fn renew(storage: &dyn Storage) -> Result<Vec<(u64, Vec<u8>)>> {
    let uuid = new_uuid();
    let last = storage.size_bytes().map_err(io("measure"))?.saturating_sub(SECTOR_BYTES);
    let mut changes = Vec::new();
    for at in [last, 0] {
        let mut bytes = [0; FOOTER_BYTES];
        read_exact(storage, &mut bytes, at, NAME)?;
        let Ok(mut footer) = Footer::parse(bytes) else { continue };
        footer.set_uuid(uuid);
        changes.push((at, footer.bytes.to_vec()));
        // Where there is no copy in front, there is content.
        if footer.kind == footer::FIXED {
            break;
        }
    }
    Ok(changes)
}

/// An open dynamic or difference VHD.
struct Vhd {
    facts: Facts,
    storage: Box<dyn Storage>,
    meta: Meta,
    footer: [u8; FOOTER_BYTES],
    table: u64,
    block_bytes: u64,
    bitmap_bytes: u64,
    /// Where the footer is, and the next block begins.
    end: u64,
    /// The bitmap looked at last: of which block at which place.
    bitmap: Option<(u64, Vec<u8>)>,
}

/// Where the content of an offset is.
#[derive(Clone, Copy)]
enum Place {
    /// The whole block is not there.
    NoBlock,
    /// The block is there, but the bitmap says that the sector's content lies below.
    Below,
    At(u64),
}

impl Vhd {
    fn open(storage: Box<dyn Storage>, footer: Footer, end: u64, file_bytes: u64) -> Result<Self> {
        let mut head = [0; HEADER_BYTES];
        read_exact(&*storage, &mut head, footer.header, NAME)?;
        let header = Header::parse(&head)?;
        let block_bytes = header.block_bytes;
        if !block_bytes.is_power_of_two() || !(512..=BLOCK_BYTES_MAX).contains(&block_bytes) {
            return Err(bad("has blocks of an odd size"));
        }
        if header.entries < footer.size_bytes.div_ceil(block_bytes) {
            return Err(bad("its table is too short"));
        }
        let table_end = header.table.checked_add(header.entries * 4);
        if header.table % 4 != 0 || table_end.is_none_or(|table_end| table_end > file_bytes) {
            return Err(bad("its table does not lie inside the file"));
        }
        let parent = (footer.kind == footer::DIFFERENCE).then(|| Parent {
            identity: Identity::Uuid(header.parent_uuid),
            name: header.parent_name.clone(),
        });
        Ok(Self {
            facts: facts(&footer, Layout::Sparse, parent),
            storage,
            meta: Meta::default(),
            footer: footer.bytes,
            table: header.table,
            block_bytes,
            bitmap_bytes: round_up(block_bytes / SECTOR_BYTES / 8, SECTOR_BYTES),
            end,
            bitmap: None,
        })
    }

    /// Where a block begins, with its bitmap.
    fn block(&mut self, number: u64) -> Result<Option<u64>> {
        let entry = self.meta.get(&*self.storage, self.table + number * 4, NAME)?;
        match u32::from_be_bytes(entry) {
            UNUSED => Ok(None),
            sector => {
                let at = u64::from(sector) * SECTOR_BYTES;
                let inside = at >= (FOOTER_BYTES + HEADER_BYTES) as u64 && at < self.end;
                if inside { Ok(Some(at)) } else { Err(bad("a block lies outside of the file")) }
            }
        }
    }

    /// Looks the bitmap of the block at `block` up, or makes it the one that is held.
    fn bitmap(&mut self, block: u64) -> Result<&mut Vec<u8>> {
        if self.bitmap.as_ref().is_none_or(|(held, _)| *held != block) {
            let mut bits = vec![0; self.bitmap_bytes as usize];
            read_exact(&*self.storage, &mut bits, block, NAME)?;
            self.bitmap = Some((block, bits));
        }
        match &mut self.bitmap {
            Some((_, bits)) => Ok(bits),
            None => Err(bad("has lost a bitmap")),
        }
    }

    /// The place of `offset` and how far, at most `limit`, it goes on in the same way.
    fn locate(&mut self, offset: u64, limit: u64) -> Result<(Place, u64)> {
        let inside = offset % self.block_bytes;
        let limit = limit.min(self.block_bytes - inside);
        let Some(block) = self.block(offset / self.block_bytes)? else {
            return Ok((Place::NoBlock, limit));
        };
        let data = block + self.bitmap_bytes;
        // Without a parent, what was never written is zeroes in the block.
        if self.facts.parent.is_none() {
            return Ok((Place::At(data + inside), limit));
        }
        let first = inside / SECTOR_BYTES;
        let last = (inside + limit).div_ceil(SECTOR_BYTES);
        let bits = self.bitmap(block)?;
        let is_set = bit(bits, first);
        let mut sector = first + 1;
        while sector < last && bit(bits, sector) == is_set {
            sector += 1;
        }
        let length = (sector * SECTOR_BYTES - inside).min(limit);
        let place = if is_set { Place::At(data + inside) } else { Place::Below };
        Ok((place, length))
    }

    /// Puts a block of zeroes at the end of the file; its bitmap says `bits` of every sector.
    fn allocate(&mut self, number: u64, bits: u8) -> Result<u64> {
        let block = self.end;
        let end = block + self.bitmap_bytes + self.block_bytes;
        let sector = u32::try_from(block / SECTOR_BYTES).ok().filter(|sector| *sector != UNUSED);
        let sector = sector.ok_or(DiskError::Size { format: NAME, bytes: block })?;
        // Order: there is a whole footer at every moment: the new one first, then the bitmap takes
        // the old one's place, and only then does the table lead to the block.
        self.storage.write_all_at(&self.footer, end).map_err(io("write the footer"))?;
        let bitmap = vec![bits; self.bitmap_bytes as usize];
        self.storage.write_all_at(&bitmap, block).map_err(io("write a bitmap"))?;
        self.end = end;
        self.meta.put(&*self.storage, self.table + number * 4, &sector.to_be_bytes())?;
        self.bitmap = Some((block, bitmap));
        Ok(block)
    }

    /// The block of an offset, made where there is none.
    fn block_for(&mut self, offset: u64) -> Result<u64> {
        let number = offset / self.block_bytes;
        match self.block(number)? {
            Some(block) => Ok(block),
            None => {
                let bits = if self.facts.parent.is_none() { 0xff } else { 0 };
                self.allocate(number, bits)
            }
        }
    }

    /// Says in the bitmap that these sectors are here.
    fn mark(&mut self, block: u64, inside: u64, length: u64) -> Result<()> {
        if self.facts.parent.is_none() {
            return Ok(());
        }
        let first = inside / SECTOR_BYTES;
        let last = (inside + length).div_ceil(SECTOR_BYTES);
        let bits = self.bitmap(block)?;
        for sector in first..last {
            if let Some(byte) = bits.get_mut((sector / 8) as usize) {
                *byte |= 0x80 >> (sector % 8);
            }
        }
        let from = (first / 8) as usize;
        let to = last.div_ceil(8) as usize;
        let changed = bits.get(from..to).unwrap_or_default().to_vec();
        let at = block + from as u64;
        self.storage.write_all_at(&changed, at).map_err(io("write a bitmap"))
    }

    /// Runs `work` on the part of each block that a stretch covers: where it lies in the file, and
    /// where in the stretch.
    fn each_block(
        &mut self,
        offset: u64,
        length: u64,
        work: impl Fn(&dyn Storage, u64, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<()> {
        check_range(&self.facts, offset, length)?;
        let mut done = 0;
        while done < length {
            let at = offset + done;
            let inside = at % self.block_bytes;
            let some = (self.block_bytes - inside).min(length - done);
            let block = self.block_for(at)?;
            let place = block + self.bitmap_bytes + inside;
            // Order: the content is in the file before the bitmap says so.
            work(&*self.storage, place, done as usize..(done + some) as usize)?;
            self.mark(block, inside, some)?;
            done += some;
        }
        Ok(())
    }
}

fn bit(bits: &[u8], sector: u64) -> bool {
    bits.get((sector / 8) as usize).is_some_and(|byte| byte & (0x80 >> (sector % 8)) != 0)
}

impl Image for Vhd {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        check_range(&self.facts, offset, limit)?;
        let (place, length) = self.locate(offset, limit)?;
        let content = match place {
            Place::NoBlock | Place::Below => Content::Absent,
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
                Place::NoBlock | Place::Below => part.fill(0),
                Place::At(from) => read_padded(&*self.storage, part, from)?,
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.each_block(offset, data.len() as u64, |storage, place, range| {
            let part = data.get(range).ok_or(DiskError::OutOfRange)?;
            storage.write_all_at(part, place).map_err(io("write"))
        })
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        self.each_block(offset, length, |storage, place, range| {
            storage.zero(place, (range.end - range.start) as u64).map_err(io("write"))
        })
    }

    fn flush(&mut self, durable: bool) -> Result<()> {
        if durable {
            self.storage.sync().map_err(io("synchronise"))?;
        }
        Ok(())
    }

    fn stored_at(&mut self, offset: u64, limit: u64) -> Result<Option<(u64, u64)>> {
        let (place, length) = self.locate(offset, limit)?;
        Ok(match place {
            Place::At(at) => Some((at, length)),
            Place::NoBlock | Place::Below => None,
        })
    }
}
