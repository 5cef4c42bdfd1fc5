//! Raw: the file is the disk, its holes are zeroes.

use crate::error::{DiskError, Result, io};
use crate::image::{
    Content, Extent, Facts, Format, Identity, Image, Layout, NewImage, check_range,
};
use crate::storage::{Storage, read_padded};

/// A raw image, or any stretch of a file that is one: VMDK's flat extents and fixed VHDs too.
pub(crate) struct Raw {
    facts: Facts,
    storage: Box<dyn Storage>,
    /// The stretch of data found last: a file system is asked once for all of it.
    data: Option<std::ops::Range<u64>>,
}

/// The facts of a raw disk of that size.
pub(crate) fn facts(size_bytes: u64) -> Facts {
    Facts {
        format: Format::Raw,
        layout: Layout::Fixed,
        size_bytes,
        unit_bytes: 512,
        comment: String::new(),
        identity: Identity::None,
        parent: None,
    }
}

impl Raw {
    pub(crate) fn open(storage: Box<dyn Storage>) -> Result<Self> {
        let size_bytes = storage.size_bytes().map_err(io("measure"))?;
        Ok(Self { facts: facts(size_bytes), storage, data: None })
    }

    /// The first bytes of a file whose rest is something else, under another format's facts.
    pub(crate) fn part(facts: Facts, storage: Box<dyn Storage>) -> Self {
        Self { facts, storage, data: None }
    }

    pub(crate) fn create(new: &NewImage<'_>, storage: Box<dyn Storage>) -> Result<Self> {
        if new.parent.is_some() || new.layout != Layout::Fixed {
            return Err(DiskError::Unsupported { format: "raw", what: "anything but raw:fixed" });
        }
        storage.set_size(new.size_bytes).map_err(io("enlarge"))?;
        Ok(Self { facts: facts(new.size_bytes), storage, data: None })
    }
}

impl Image for Raw {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        check_range(&self.facts, offset, limit)?;
        if self.data.as_ref().is_none_or(|data| data.end <= offset || data.start > offset) {
            self.data = self.storage.next_data(offset).map_err(io("find holes"))?;
        }
        Ok(match &self.data {
            Some(data) if data.start <= offset => {
                Extent::new((data.end - offset).min(limit), Content::Data)
            }
            Some(data) => Extent::new((data.start - offset).min(limit), Content::Absent),
            None => Extent::new(limit, Content::Absent),
        })
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(&self.facts, offset, buffer.len() as u64)?;
        read_padded(&*self.storage, buffer, offset)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(&self.facts, offset, data.len() as u64)?;
        self.data = None;
        self.storage.write_all_at(data, offset).map_err(io("write"))
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        check_range(&self.facts, offset, length)?;
        self.data = None;
        self.storage.zero(offset, length).map_err(io("write"))
    }

    fn flush(&mut self, durable: bool) -> Result<()> {
        if durable {
            self.storage.sync().map_err(io("synchronise"))?;
        }
        Ok(())
    }
}
