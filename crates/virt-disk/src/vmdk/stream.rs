//! The stream-optimised form: compressed grains one after another, their tables behind them.

use std::io::Write as _;

use flate2::{Compression, Decompress, FlushDecompress, write::ZlibEncoder};

use crate::bytes::{put, round_up};
use crate::error::{DiskError, Result, io};
use crate::image::{
    Content, Extent, Facts, Format, Identity, Image, Layout, NewImage, check_range,
};
use crate::storage::Storage;
use crate::vmdk::create::{
    DESCRIPTOR_SECTORS, GRAIN_SECTORS, TABLE_BYTES, TABLE_ENTRIES, describe, new_header,
};
use crate::vmdk::descriptor::pad;
use crate::vmdk::sparse::header;
use crate::vmdk::{NAME, SECTOR_BYTES, bad};

const GRAIN_BYTES: u64 = GRAIN_SECTORS * SECTOR_BYTES;

/// Inflates a grain. Limit: what would become longer than a grain is refused, and not made.
pub(super) fn inflate(packed: &[u8], grain_bytes: usize) -> Result<Vec<u8>> {
    // One byte more than is allowed shows that there is more.
    let mut out = Vec::with_capacity(grain_bytes + 1);
    let mut inflater = Decompress::new(true);
    let done = inflater.decompress_vec(packed, &mut out, FlushDecompress::Finish);
    match done {
        Ok(flate2::Status::StreamEnd) if out.len() <= grain_bytes => Ok(out),
        _ => Err(bad("a grain cannot be inflated")),
    }
}

/// A new stream-optimised image: it takes writes in rising order, and can be read only once it is
/// whole and opened anew.
pub(crate) struct Stream {
    facts: Facts,
    storage: Box<dyn Storage>,
    /// Where the next marker goes.
    end: u64,
    /// The grain that is being filled.
    grain: Option<(u64, Vec<u8>)>,
    /// The entries of the table that is being filled, and its number.
    table: (u64, Vec<u32>),
    /// Sectors of the tables written so far.
    directory: Vec<u32>,
    is_whole: bool,
}

/// The kinds of markers that are not grains.
#[derive(Clone, Copy)]
enum Marker {
    End = 0,
    Table = 1,
    Directory = 2,
    Footer = 3,
}

impl Stream {
    pub(super) fn create(new: &NewImage<'_>, storage: Box<dyn Storage>) -> Result<Self> {
        if new.parent.is_some() {
            return Err(DiskError::Unsupported { format: NAME, what: "a compressed difference" });
        }
        if new.size_bytes == 0 || new.size_bytes / SECTOR_BYTES > u64::from(u32::MAX) {
            return Err(DiskError::Size { format: NAME, bytes: new.size_bytes });
        }
        let extent = format!("RW {} SPARSE \"{}\"", new.size_bytes / SECTOR_BYTES, new.name);
        let text = describe(new, "streamOptimized", extent)?;
        let descriptor = pad(&text, DESCRIPTOR_SECTORS * SECTOR_BYTES)?;
        storage.write_all_at(&descriptor, SECTOR_BYTES).map_err(io("write the descriptor"))?;
        let stream = Self {
            facts: Facts {
                format: Format::Vmdk,
                layout: Layout::Stream,
                size_bytes: new.size_bytes,
                unit_bytes: GRAIN_BYTES,
                comment: new.comment.to_owned(),
                identity: Identity::None,
                parent: None,
            },
            storage,
            end: GRAIN_BYTES,
            grain: None,
            table: (0, vec![0; TABLE_ENTRIES as usize]),
            directory: vec![0; new.size_bytes.div_ceil(TABLE_BYTES) as usize],
            is_whole: false,
        };
        stream.write_header(0, u64::MAX)?;
        Ok(stream)
    }

    fn write_header(&self, at: u64, directory: u64) -> Result<()> {
        const VERSION: u32 = 3;
        // Newlines are intact, grains are compressed, markers stand before everything.
        const FLAGS: u32 = 1 | 0x3_0000;
        let mut head = new_header(self.facts.size_bytes);
        put(&mut head, header::VERSION, &VERSION.to_le_bytes());
        put(&mut head, header::FLAGS, &FLAGS.to_le_bytes());
        put(&mut head, header::DIRECTORY, &directory.to_le_bytes());
        put(&mut head, header::OVERHEAD, &GRAIN_SECTORS.to_le_bytes());
        put(&mut head, header::COMPRESSION, &1_u16.to_le_bytes());
        self.storage.write_all_at(&head, at).map_err(io("write the header"))
    }

    /// Writes whole sectors at the end; says in which sector they begin.
    fn append(&mut self, data: &[u8]) -> Result<u32> {
        let sector = u32::try_from(self.end / SECTOR_BYTES);
        let sector = sector.map_err(|_| DiskError::Size { format: NAME, bytes: self.end })?;
        self.storage.write_all_at(data, self.end).map_err(io("write"))?;
        self.end += data.len() as u64;
        Ok(sector)
    }

    fn append_marker(&mut self, kind: Marker, sectors: u64) -> Result<()> {
        let mut marker = [0; SECTOR_BYTES as usize];
        put(&mut marker, 0, &sectors.to_le_bytes());
        put(&mut marker, 12, &(kind as u32).to_le_bytes());
        self.append(&marker).map(|_| ())
    }

    fn append_entries(&mut self, kind: Marker, entries: &[u32]) -> Result<u32> {
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        bytes.resize(round_up(bytes.len() as u64, SECTOR_BYTES) as usize, 0);
        self.append_marker(kind, bytes.len() as u64 / SECTOR_BYTES)?;
        self.append(&bytes)
    }

    fn end_grain(&mut self) -> Result<()> {
        let Some((number, grain)) = self.grain.take() else { return Ok(()) };
        if crate::copy::is_zero(&grain) {
            return Ok(());
        }
        if number / TABLE_ENTRIES != self.table.0 {
            self.end_table()?;
            self.table.0 = number / TABLE_ENTRIES;
        }
        let mut packed = vec![0; 12];
        put(&mut packed, 0, &(number * GRAIN_SECTORS).to_le_bytes());
        let mut deflater = ZlibEncoder::new(packed, Compression::new(6));
        let done = deflater.write_all(&grain).and_then(|()| deflater.finish());
        let mut packed = done.map_err(io("compress"))?;
        let size = (packed.len() as u32) - 12;
        put(&mut packed, 8, &size.to_le_bytes());
        packed.resize(round_up(packed.len() as u64, SECTOR_BYTES) as usize, 0);
        let sector = self.append(&packed)?;
        self.table.1[(number % TABLE_ENTRIES) as usize] = sector;
        Ok(())
    }

    fn end_table(&mut self) -> Result<()> {
        if self.table.1.iter().all(|entry| *entry == 0) {
            return Ok(());
        }
        let entries = std::mem::replace(&mut self.table.1, vec![0; TABLE_ENTRIES as usize]);
        let sector = self.append_entries(Marker::Table, &entries)?;
        self.directory[self.table.0 as usize] = sector;
        Ok(())
    }

    /// The tables that are still held, the directory, and the footer with the real header.
    fn finish(&mut self) -> Result<()> {
        self.end_grain()?;
        self.end_table()?;
        let entries = std::mem::take(&mut self.directory);
        let directory = self.append_entries(Marker::Directory, &entries)?;
        self.append_marker(Marker::Footer, 1)?;
        self.write_header(self.end, u64::from(directory))?;
        self.end += SECTOR_BYTES;
        self.append_marker(Marker::End, 0)?;
        self.is_whole = true;
        Ok(())
    }
}

impl Image for Stream {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        check_range(&self.facts, offset, limit)?;
        Ok(Extent::new(limit, Content::Absent))
    }

    fn read(&mut self, _offset: u64, _buffer: &mut [u8]) -> Result<()> {
        let what = "reading what is still being written";
        Err(DiskError::Unsupported { format: NAME, what })
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(&self.facts, offset, data.len() as u64)?;
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let number = at / GRAIN_BYTES;
            match &self.grain {
                Some((held, _)) if *held == number => {}
                Some((held, _)) if *held > number => return Err(DiskError::ReadOnly),
                _ => {
                    self.end_grain()?;
                    self.grain = Some((number, vec![0; GRAIN_BYTES as usize]));
                }
            }
            if self.is_whole {
                return Err(DiskError::ReadOnly);
            }
            let inside = (at % GRAIN_BYTES) as usize;
            let (part, later) = rest.split_at(rest.len().min(GRAIN_BYTES as usize - inside));
            if let Some((_, grain)) = &mut self.grain {
                grain[inside..inside + part.len()].copy_from_slice(part);
            }
            at += part.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        check_range(&self.facts, offset, length)
    }

    fn flush(&mut self, durable: bool) -> Result<()> {
        if !self.is_whole {
            self.finish()?;
        }
        if durable {
            self.storage.sync().map_err(io("synchronise"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grain_that_inflates_without_end_is_refused() {
        let deflated = |length: usize| {
            let mut deflater = ZlibEncoder::new(Vec::new(), Compression::best());
            deflater.write_all(&vec![0; length]).unwrap();
            deflater.finish().unwrap()
        };
        assert_eq!(inflate(&deflated(65536), 65536).unwrap(), vec![0; 65536]);
        assert!(inflate(&deflated(65537), 65536).is_err());
        assert!(inflate(&deflated(50 << 20), 65536).is_err());
        assert!(inflate(&deflated(65536)[..20], 65536).is_err());
    }
}
