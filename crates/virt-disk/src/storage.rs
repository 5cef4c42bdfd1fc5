//! What an image lies on: bytes at offsets, with holes.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::error::{DiskError, Result, io as failed};

/// A file, a block device or memory. Shared: every method takes `&self`.
pub trait Storage: Send + Sync {
    /// Reads at most `buffer`, less only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    fn size_bytes(&self) -> io::Result<u64>;
    /// Makes it shorter, or longer by a hole.
    fn set_size(&self, size_bytes: u64) -> io::Result<()>;
    /// Returns when everything written outlives a power cut.
    fn sync(&self) -> io::Result<()>;
    /// The first stretch at or after `offset` that is not a hole.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>>;
    /// Makes a stretch read as zeroes, by a hole where that can be.
    fn zero(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Makes it that long with room on the disk for every byte, all zeroes; it was empty before.
    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        self.set_size(size_bytes)
    }
    /// The same stretch of bytes copied by the kernel; how many it copied, 0 where it cannot.
    fn copy_to(&self, _offset: u64, _to: &dyn Storage, _at: u64, _length: u64) -> io::Result<u64> {
        Ok(0)
    }
    /// Makes `to`, which is empty, share all content until either is written; whether it could.
    fn share_with(&self, _to: &dyn Storage) -> bool {
        false
    }
    /// The descriptor below, for [`Storage::copy_to`] and [`Storage::share_with`].
    fn file(&self) -> Option<&std::fs::File> {
        None
    }
}

/// Fills `buffer`; what lies behind the end is an error of that format.
pub(crate) fn read_exact(
    storage: &dyn Storage,
    buffer: &mut [u8],
    offset: u64,
    format: &'static str,
) -> Result<()> {
    let length = buffer.len();
    let read = storage.read_at(buffer, offset).map_err(failed("read"))?;
    if read == length { Ok(()) } else { Err(DiskError::Bad { format, what: "ends too early" }) }
}

/// Fills `buffer`; what lies behind the end reads as zeroes.
pub(crate) fn read_padded(storage: &dyn Storage, buffer: &mut [u8], offset: u64) -> Result<()> {
    let read = storage.read_at(buffer, offset).map_err(failed("read"))?;
    if let Some(rest) = buffer.get_mut(read..) {
        rest.fill(0);
    }
    Ok(())
}

const PAGE_BYTES: usize = 4096;

/// Sparse bytes in memory, for tests and small images.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    inner: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
    size_bytes: u64,
}

impl MemoryStorage {
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory that holds these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let memory = Self::new();
        memory.with(|inner| inner.write(bytes, 0));
        memory
    }

    fn with<R>(&self, work: impl FnOnce(&mut Memory) -> R) -> R {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The parts of a stretch that lie in one page each: page, offset in it, position and length.
fn pages(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset.saturating_add(done as u64);
        let inside = (at % PAGE_BYTES as u64) as usize;
        let some = (PAGE_BYTES - inside).min(length - done);
        let part = (at / PAGE_BYTES as u64, inside, done, some);
        done += some;
        Some(part)
    })
}

impl Memory {
    fn write(&mut self, data: &[u8], offset: u64) {
        for (page, inside, done, some) in pages(offset, data.len()) {
            let page = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE_BYTES]));
            page[inside..inside + some].copy_from_slice(&data[done..done + some]);
        }
        self.size_bytes = self.size_bytes.max(offset.saturating_add(data.len() as u64));
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let left = usize::try_from(self.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        for (page, inside, done, some) in pages(offset, length) {
            let part = &mut buffer[done..done + some];
            match self.pages.get(&page) {
                Some(page) => part.copy_from_slice(&page[inside..inside + some]),
                None => part.fill(0),
            }
        }
        length
    }
}

impl Storage for MemoryStorage {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.with(|inner| inner.read(buffer, offset)))
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.with(|inner| inner.write(data, offset));
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.with(|inner| inner.size_bytes))
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.with(|inner| {
            if size_bytes < inner.size_bytes {
                let first_gone = size_bytes.div_ceil(PAGE_BYTES as u64);
                inner.pages.split_off(&first_gone);
                if let Some(page) = inner.pages.get_mut(&(size_bytes / PAGE_BYTES as u64)) {
                    page[(size_bytes % PAGE_BYTES as u64) as usize..].fill(0);
                }
            }
            inner.size_bytes = size_bytes;
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok(self.with(|inner| {
            let first = offset / PAGE_BYTES as u64;
            let mut found = inner.pages.range(first..).map(|(page, _)| *page);
            let start = found.next()?;
            let mut end = start + 1;
            for page in found {
                if page != end {
                    break;
                }
                end += 1;
            }
            let start = (start * PAGE_BYTES as u64).max(offset);
            let end = (end * PAGE_BYTES as u64).min(inner.size_bytes);
            (start < end).then_some(start..end)
        }))
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        self.with(|inner| {
            let end = offset.saturating_add(length);
            let first = offset / PAGE_BYTES as u64;
            let last = end.div_ceil(PAGE_BYTES as u64);
            let touched: Vec<u64> = inner.pages.range(first..last).map(|(page, _)| *page).collect();
            for number in touched {
                let start = number * PAGE_BYTES as u64;
                let from = offset.saturating_sub(start).min(PAGE_BYTES as u64) as usize;
                let to = end.saturating_sub(start).min(PAGE_BYTES as u64) as usize;
                if let Some(page) = inner.pages.get_mut(&number) {
                    page[from..to].fill(0);
                }
            }
            inner.size_bytes = inner.size_bytes.max(end);
        });
        Ok(())
    }
}
