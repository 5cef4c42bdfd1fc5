//! Tables of an image: pages of them in memory, written through.
//!
//! Limit: however large the tables say they are, [`PAGES_MAX`] pages are held.

use std::collections::HashMap;

use crate::error::{Result, io};
use crate::storage::{Storage, read_exact};

const PAGE_BYTES: u64 = 16384;

/// Limit: 8 MiB, the tables of 128 GiB in VMDK and of terabytes in the others.
const PAGES_MAX: usize = 512;

/// The pages of one storage that were looked at last.
#[derive(Default)]
pub(crate) struct Meta {
    pages: HashMap<u64, Vec<u8>>,
    /// The page looked at last: nearly always the next one too.
    last: Option<(u64, Vec<u8>)>,
}

impl Meta {
    /// `N` bytes at an offset; fields are aligned to their size, so none lies in two pages.
    pub(crate) fn get<const N: usize>(
        &mut self,
        storage: &dyn Storage,
        offset: u64,
        format: &'static str,
    ) -> Result<[u8; N]> {
        let number = offset / PAGE_BYTES;
        let inside = (offset % PAGE_BYTES) as usize;
        if self.last.as_ref().is_none_or(|(held, _)| *held != number) {
            self.turn_to(storage, number)?;
        }
        let page = self.last.as_ref().map(|(_, page)| page.as_slice()).unwrap_or_default();
        match page.get(inside..inside + N) {
            Some(bytes) => {
                let mut out = [0; N];
                out.copy_from_slice(bytes);
                Ok(out)
            }
            None => {
                let mut out = [0; N];
                read_exact(storage, &mut out, offset, format)?;
                Ok(out)
            }
        }
    }

    fn turn_to(&mut self, storage: &dyn Storage, number: u64) -> Result<()> {
        if let Some((held, page)) = self.last.take() {
            self.pages.insert(held, page);
        }
        if self.pages.len() >= PAGES_MAX {
            self.pages.clear();
        }
        let page = match self.pages.remove(&number) {
            Some(page) => page,
            None => {
                let mut page = vec![0; PAGE_BYTES as usize];
                let at = number.saturating_mul(PAGE_BYTES);
                let read = storage.read_at(&mut page, at).map_err(io("read a table"))?;
                page.truncate(read);
                page
            }
        };
        self.last = Some((number, page));
        Ok(())
    }

    /// Writes bytes of a table.
    pub(crate) fn put(&mut self, storage: &dyn Storage, offset: u64, data: &[u8]) -> Result<()> {
        storage.write_all_at(data, offset).map_err(io("write a table"))?;
        let end = offset.saturating_add(data.len() as u64);
        for number in offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES) {
            let start = number.saturating_mul(PAGE_BYTES);
            let page = match &mut self.last {
                Some((held, page)) if *held == number => Some(page),
                _ => self.pages.get_mut(&number),
            };
            let Some(page) = page else { continue };
            let from = offset.saturating_sub(start) as usize;
            let to = (end.saturating_sub(start) as usize).min(PAGE_BYTES as usize);
            // A page that was read at the end of the file may be short of what is now written.
            if page.len() < to {
                page.resize(to, 0);
            }
            let source = (start.saturating_add(from as u64) - offset) as usize;
            page[from..to].copy_from_slice(&data[source..source + (to - from)]);
        }
        Ok(())
    }
}
