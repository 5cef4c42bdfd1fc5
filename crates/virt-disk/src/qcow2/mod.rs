//! qcow2: clusters found through two levels of tables, counted in a third.

mod counts;
mod create;
mod header;

pub(crate) use create::create;
pub(crate) use header::{is_one, retarget};

use flate2::{Decompress, FlushDecompress};

use crate::error::{DiskError, Result, io};
use crate::image::{Content, Extent, Facts, Format, Identity, Image, Layout, Parent, check_range};
use crate::meta::Meta;
use crate::storage::{Storage, read_padded};
use counts::Counts;
use header::Header;

pub(crate) const NAME: &str = "qcow2";

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

pub(crate) fn bad(what: &'static str) -> DiskError {
    DiskError::Bad { format: NAME, what }
}

/// An open qcow2.
pub(crate) struct Qcow2 {
    facts: Facts,
    storage: Box<dyn Storage>,
    meta: Meta,
    header: Header,
    cluster_bytes: u64,
    /// Where the file ends, and the next cluster begins.
    end: u64,
    /// How clusters are counted, once something was written.
    counts: Option<Counts>,
    /// The compressed cluster inflated last, by its entry.
    inflated: Option<(u64, Vec<u8>)>,
}

/// Where a cluster is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Absent,
    /// Zeroes, with room for its content or none.
    Zero(u64),
    At(u64),
    Packed(u64),
}

impl Qcow2 {
    pub(crate) fn open(storage: Box<dyn Storage>) -> Result<Self> {
        let file_bytes = storage.size_bytes().map_err(io("measure"))?;
        let header = Header::read(&*storage, file_bytes)?;
        let cluster_bytes = header.cluster_bytes();
        let parent = header.backing.clone().map(|name| Parent { identity: Identity::Name, name });
        let facts = Facts {
            format: Format::Qcow2,
            layout: Layout::Sparse,
            size_bytes: header.size_bytes,
            unit_bytes: cluster_bytes,
            comment: String::new(),
            identity: Identity::None,
            parent,
        };
        Ok(Self {
            facts,
            storage,
            meta: Meta::default(),
            header,
            cluster_bytes,
            end: crate::bytes::round_up(file_bytes, cluster_bytes),
            counts: None,
            inflated: None,
        })
    }

    fn number(&mut self, at: u64) -> Result<u64> {
        Ok(u64::from_be_bytes(self.meta.get(&*self.storage, at, NAME)?))
    }

    /// What one table of the second level covers.
    fn table_bytes(&self) -> u64 {
        self.cluster_bytes / 8 * self.cluster_bytes
    }

    /// A cluster's place as a table says it; never in the header, never behind the end.
    fn checked(&self, entry: u64) -> Result<u64> {
        let at = entry & OFFSET;
        if at == 0 || at.is_multiple_of(self.cluster_bytes) && at < self.end {
            Ok(at)
        } else {
            Err(bad("a table leads out of the file"))
        }
    }

    /// The table of the second level for an offset; 0 for none.
    fn table(&mut self, offset: u64) -> Result<u64> {
        let entry = self.number(self.header.l1 + offset / self.table_bytes() * 8)?;
        self.checked(entry)
    }

    fn entry(&mut self, table: u64, cluster: u64) -> Result<Place> {
        let entry = self.number(table + cluster % (self.cluster_bytes / 8) * 8)?;
        if entry & COMPRESSED != 0 {
            return Ok(Place::Packed(entry));
        }
        let at = self.checked(entry)?;
        Ok(match (entry & ZERO != 0 && self.header.version >= 3, at) {
            (true, at) => Place::Zero(at),
            (false, 0) => Place::Absent,
            (false, at) => Place::At(at),
        })
    }

    /// The place of `offset` and how far, at most `limit`, it goes on in the same way.
    fn locate(&mut self, offset: u64, limit: u64) -> Result<(Place, u64)> {
        let limit = limit.min(self.table_bytes() - offset % self.table_bytes());
        let table = self.table(offset)?;
        if table == 0 {
            return Ok((Place::Absent, limit));
        }
        let cluster = offset / self.cluster_bytes;
        let inside = offset % self.cluster_bytes;
        let first = self.entry(table, cluster)?;
        let mut length = self.cluster_bytes - inside;
        let mut next = cluster + 1;
        while length < limit {
            let expected = match first {
                Place::At(at) => Place::At(at + (next - cluster) * self.cluster_bytes),
                Place::Absent | Place::Zero(0) => first,
                Place::Packed(_) | Place::Zero(_) => break,
            };
            if self.entry(table, next)? != expected {
                break;
            }
            length += self.cluster_bytes;
            next += 1;
        }
        let place = match first {
            Place::At(at) => Place::At(at + inside),
            other => other,
        };
        Ok((place, length.min(limit)))
    }

    /// The content of a compressed cluster. Limit: no more than a cluster is ever made.
    fn inflate(&mut self, entry: u64) -> Result<&[u8]> {
        if self.inflated.as_ref().is_none_or(|(held, _)| *held != entry) {
            let bits = 62 - (self.header.cluster_bits - 8);
            let at = entry & ((1 << bits) - 1);
            let sectors = ((entry & !(COPIED | COMPRESSED)) >> bits) + 1;
            let length = (sectors * 512 - at % 512).min(2 * self.cluster_bytes);
            let mut packed = vec![0; length as usize];
            read_padded(&*self.storage, &mut packed, at)?;
            let mut cluster = vec![0; self.cluster_bytes as usize];
            let mut inflater = Decompress::new(false);
            let done = inflater.decompress(&packed, &mut cluster, FlushDecompress::Finish);
            if done.is_err() || inflater.total_out() != self.cluster_bytes {
                return Err(bad("a compressed cluster cannot be inflated"));
            }
            self.inflated = Some((entry, cluster));
        }
        Ok(self.inflated.as_ref().map(|(_, cluster)| cluster.as_slice()).unwrap_or_default())
    }

    /// Everything that must hold before the first write.
    fn begin_writing(&mut self) -> Result<()> {
        if self.counts.is_none() {
            self.counts = Some(self.header.begin_writing(&*self.storage)?);
        }
        Ok(())
    }

    /// Puts `count` new clusters at the end of the file.
    fn allocate(&mut self, count: u64) -> Result<u64> {
        let first = self.end;
        let length = count * self.cluster_bytes;
        let counts = self.counts.as_ref().ok_or(DiskError::ReadOnly)?;
        // Order: a cluster is counted before anything leads to it; one that is counted in vain is
        // only room lost.
        self.end = counts.add(&mut self.meta, &*self.storage, first, first + length)?;
        self.storage.set_size(self.end).map_err(io("enlarge"))?;
        Ok(first)
    }

    /// The table of the second level for an offset, made where there is none.
    fn table_for(&mut self, offset: u64) -> Result<u64> {
        let table = self.table(offset)?;
        if table != 0 {
            return Ok(table);
        }
        let table = self.allocate(1)?;
        let at = self.header.l1 + offset / self.table_bytes() * 8;
        self.meta.put(&*self.storage, at, &(table | COPIED).to_be_bytes())?;
        Ok(table)
    }

    /// Sets the entries of the clusters that a stretch inside one table touches.
    fn set_entries(&mut self, offset: u64, length: u64, entry: impl Fn(u64) -> u64) -> Result<()> {
        let first = offset / self.cluster_bytes;
        let last = (offset + length).div_ceil(self.cluster_bytes);
        let table = self.table_for(offset)?;
        let entries: Vec<u8> =
            (0..last - first).flat_map(|number| entry(number).to_be_bytes()).collect();
        let at = table + first % (self.cluster_bytes / 8) * 8;
        self.meta.put(&*self.storage, at, &entries)
    }

    /// Writes into clusters that have no place yet.
    fn write_new(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let length = data.len() as u64;
        let first = offset / self.cluster_bytes;
        let count = (offset + length).div_ceil(self.cluster_bytes) - first;
        let to = self.allocate(count)?;
        // Order: the content is in the file before a table leads to it.
        let inside = offset % self.cluster_bytes;
        self.storage.write_all_at(data, to + inside).map_err(io("write"))?;
        let cluster_bytes = self.cluster_bytes;
        self.set_entries(offset, length, |number| (to + number * cluster_bytes) | COPIED)
    }

    /// Writes over a part of a compressed cluster: it gets a place of its own.
    fn write_packed(&mut self, entry: u64, offset: u64, data: &[u8]) -> Result<()> {
        let mut cluster = self.inflate(entry)?.to_vec();
        let inside = (offset % self.cluster_bytes) as usize;
        let part = cluster.get_mut(inside..inside + data.len()).ok_or(DiskError::OutOfRange)?;
        part.copy_from_slice(data);
        self.write_new(offset - inside as u64, &cluster)
    }
}

impl Image for Qcow2 {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        check_range(&self.facts, offset, limit)?;
        let (place, length) = self.locate(offset, limit)?;
        let content = match place {
            Place::Absent => Content::Absent,
            Place::Zero(_) => Content::Zero,
            Place::At(_) | Place::Packed(_) => Content::Data,
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
                Place::Absent | Place::Zero(_) => part.fill(0),
                Place::At(from) => read_padded(&*self.storage, part, from)?,
                Place::Packed(entry) => {
                    let inside = (at % self.cluster_bytes) as usize;
                    let held = self.inflate(entry)?.get(inside..inside + part.len());
                    part.copy_from_slice(held.ok_or(bad("a cluster is short"))?);
                }
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(&self.facts, offset, data.len() as u64)?;
        self.begin_writing()?;
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (place, length) = self.locate(at, rest.len() as u64)?;
            let (part, later) = rest.split_at(length as usize);
            match place {
                Place::At(to) => self.storage.write_all_at(part, to).map_err(io("write"))?,
                Place::Absent | Place::Zero(0) => self.write_new(at, part)?,
                Place::Zero(_) => {
                    // Its room may hold anything: the cluster is written whole, elsewhere.
                    self.write_new(at, part)?;
                }
                Place::Packed(entry) => self.write_packed(entry, at, part)?,
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        check_range(&self.facts, offset, length)?;
        self.begin_writing()?;
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let (place, some) = self.locate(at, end - at)?;
            match place {
                Place::Zero(_) => {}
                Place::At(to) => self.storage.zero(to, some).map_err(io("write"))?,
                Place::Absent | Place::Packed(_) if self.header.version >= 3 => {
                    self.set_entries(at, some, |_| ZERO)?;
                }
                Place::Absent | Place::Packed(_) => {
                    let count = (at + some).div_ceil(self.cluster_bytes) - at / self.cluster_bytes;
                    let to = self.allocate(count)?;
                    let cluster_bytes = self.cluster_bytes;
                    self.set_entries(at, some, |number| (to + number * cluster_bytes) | COPIED)?;
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
        let (place, length) = self.locate(offset, limit)?;
        Ok(match place {
            Place::At(at) => Some((at, length)),
            _ => None,
        })
    }
}
