//! The log of a VHDX: changes of its tables that a writer announced and may not have made.
//!
//! They are made in memory only: the image is read as it will be, and stays as it is.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use crate::bytes::{le32, le64};
use crate::error::{DiskError, Result};
use crate::storage::{Storage, read_exact};
use crate::vhdx::header::{Header, is_whole};
use crate::vhdx::{NAME, bad, guid};

const PAGE_BYTES: usize = 4096;
/// Limit: writers make logs of 1 MiB; all of it is in memory while it is looked through.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Limit: pages of zeroes that a log may write; they are only remembered by number.
const ZERO_PAGES_MAX: u64 = 1 << 16;
const HEAD_BYTES: usize = 64;
const DESCRIPTOR_BYTES: usize = 32;

/// Puts what the log holds over a file, if it holds anything.
pub(super) fn replay(storage: Box<dyn Storage>, header: &Header) -> Result<Box<dyn Storage>> {
    if header.log == 0 {
        return Ok(storage);
    }
    let file_bytes = storage.size_bytes().map_err(crate::error::io("measure"))?;
    let Range { start, end } = header.log_place;
    if end > file_bytes || end - start > LOG_BYTES_MAX || (end - start) % PAGE_BYTES as u64 != 0 {
        return Err(bad("its log does not lie inside the file"));
    }
    let mut bytes = vec![0; (end - start) as usize];
    read_exact(&*storage, &mut bytes, start, NAME)?;
    let log = Log::parse(bytes, header.log)?;
    let mut replayed = Replayed { below: storage, size_bytes: file_bytes, pages: BTreeMap::new() };
    // A log without a whole sequence announced nothing: its first entry was cut short.
    for entry in log.active().unwrap_or_default() {
        log.apply(&entry, &mut replayed)?;
    }
    Ok(Box::new(replayed))
}

/// One announcement, at some page of the log.
#[derive(Clone, Debug)]
struct Entry {
    page: usize,
    pages: usize,
    /// The page of the oldest entry that had not been carried out when this one was written.
    tail: usize,
    sequence: u64,
}

struct Log {
    bytes: Vec<u8>,
    entries: BTreeMap<usize, Entry>,
}

impl Log {
    fn parse(bytes: Vec<u8>, id: u128) -> Result<Self> {
        let mut log = Self { bytes, entries: BTreeMap::new() };
        // Limit: entries do not lie over one another, so that each byte is summed once, or twice
        // where an old entry was partly overwritten.
        let mut left = 2 * log.pages();
        for page in 0..log.pages() {
            let Some(entry) = log.entry(page, id) else { continue };
            left = left.checked_sub(entry.pages).ok_or(bad("its log makes no sense"))?;
            if is_whole(&log.part(page, entry.pages), b"loge") {
                log.entries.insert(page, entry);
            }
        }
        Ok(log)
    }

    fn pages(&self) -> usize {
        self.bytes.len() / PAGE_BYTES
    }

    /// What looks like an entry; its checksum is not looked at.
    fn entry(&self, page: usize, id: u128) -> Option<Entry> {
        let head = self.bytes.get(page * PAGE_BYTES..)?.get(..HEAD_BYTES)?;
        let (length, tail) = (le32(head, 8) as usize, le32(head, 12) as usize);
        let (sequence, descriptors) = (le64(head, 16), le32(head, 24) as usize);
        let room = length.checked_sub(HEAD_BYTES)?;
        let is_one = head.starts_with(b"loge")
            && guid(head, 32) == id
            && length.is_multiple_of(PAGE_BYTES)
            && tail.is_multiple_of(PAGE_BYTES)
            && length <= self.bytes.len()
            && descriptors <= room / DESCRIPTOR_BYTES
            && sequence != 0;
        let (pages, tail) = (length / PAGE_BYTES, tail / PAGE_BYTES);
        is_one.then_some(Entry { page, pages, tail, sequence })
    }

    /// Pages of the log, which goes round.
    fn part(&self, page: usize, pages: usize) -> Vec<u8> {
        let (from, length) = (page * PAGE_BYTES, pages * PAGE_BYTES);
        self.bytes.iter().cycle().skip(from).take(length).copied().collect()
    }

    /// The entries that count, oldest first: the newest one that is whole together with all those
    /// that it needs.
    fn active(&self) -> Option<Vec<Entry>> {
        let mut heads: Vec<&Entry> = self.entries.values().collect();
        heads.sort_by_key(|entry| std::cmp::Reverse(entry.sequence));
        heads.into_iter().find_map(|head| {
            let mut found = Vec::new();
            let mut entry = self.entries.get(&head.tail)?;
            while entry.sequence < head.sequence {
                found.push(entry.clone());
                let next = self.entries.get(&((entry.page + entry.pages) % self.pages()))?;
                if Some(next.sequence) != entry.sequence.checked_add(1) {
                    return None;
                }
                entry = next;
            }
            found.push(entry.clone());
            (entry.page == head.page).then_some(found)
        })
    }

    /// Does what an entry announces.
    fn apply(&self, entry: &Entry, to: &mut Replayed) -> Result<()> {
        let bytes = self.part(entry.page, entry.pages);
        let odd = || bad("its log makes no sense");
        let count = le32(&bytes, 24) as usize;
        let (flushed, last) = (le64(&bytes, 48), le64(&bytes, 56));
        if flushed > to.below.size_bytes().map_err(crate::error::io("measure"))? {
            return Err(bad("is shorter than its log says"));
        }
        to.size_bytes = to.size_bytes.max(last);
        let data = (HEAD_BYTES + count * DESCRIPTOR_BYTES).next_multiple_of(PAGE_BYTES);
        let mut pages = bytes.get(data..).ok_or_else(odd)?.chunks_exact(PAGE_BYTES);
        let descriptors = bytes.get(HEAD_BYTES..).ok_or_else(odd)?;
        for descriptor in descriptors.chunks_exact(DESCRIPTOR_BYTES).take(count) {
            let place = le64(descriptor, 16);
            let page = place / PAGE_BYTES as u64;
            if !place.is_multiple_of(PAGE_BYTES as u64) || le64(descriptor, 24) != entry.sequence {
                return Err(odd());
            }
            match descriptor.first_chunk() {
                Some(b"zero") => to.zero_pages(page, le64(descriptor, 8))?,
                Some(b"desc") => {
                    let content = pages.next().ok_or_else(odd)?;
                    let sequence = u64::from(le32(content, 4)) << 32
                        | u64::from(le32(content, PAGE_BYTES - 4));
                    if !content.starts_with(b"data") || sequence != entry.sequence {
                        return Err(odd());
                    }
                    // The ends of the page are in the descriptor; its own mark what it is.
                    let mut content = content.to_vec();
                    content[..8].copy_from_slice(&descriptor[8..16]);
                    content[PAGE_BYTES - 4..].copy_from_slice(&descriptor[4..8]);
                    to.pages.insert(page, Some(content));
                }
                _ => return Err(odd()),
            }
        }
        Ok(())
    }
}

/// A file under pages that were announced for it.
struct Replayed {
    below: Box<dyn Storage>,
    size_bytes: u64,
    /// The pages by number; `None` is one of zeroes.
    pages: BTreeMap<u64, Option<Vec<u8>>>,
}

impl Replayed {
    fn zero_pages(&mut self, first: u64, length: u64) -> Result<()> {
        let count = length / PAGE_BYTES as u64;
        if count + self.pages.len() as u64 > ZERO_PAGES_MAX {
            return Err(DiskError::Unsupported { format: NAME, what: "so long a log" });
        }
        self.pages.extend((first..first.saturating_add(count)).map(|page| (page, None)));
        Ok(())
    }
}

impl Storage for Replayed {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..length).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let read = self.below.read_at(buffer, offset)?;
        buffer.get_mut(read..).unwrap_or_default().fill(0);
        let page_bytes = PAGE_BYTES as u64;
        let end = offset.saturating_add(length as u64);
        for (page, content) in self.pages.range(offset / page_bytes..end.div_ceil(page_bytes)) {
            let start = page.saturating_mul(page_bytes);
            let (from, to) = (start.max(offset), start.saturating_add(page_bytes).min(end));
            let target = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            match content {
                Some(content) => {
                    target
                        .copy_from_slice(&content[(from - start) as usize..(to - start) as usize]);
                }
                None => target.fill(0),
            }
        }
        Ok(length)
    }

    fn write_all_at(&self, _data: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.size_bytes)
    }

    fn set_size(&self, _size_bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok((offset < self.size_bytes).then_some(offset..self.size_bytes))
    }

    fn zero(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
