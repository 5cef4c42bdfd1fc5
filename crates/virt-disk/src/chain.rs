//! Images on top of each other, read as one disk and written at the top.

use crate::error::{DiskError, Result};
use crate::image::{Content, Extent, Facts, Image, check_range};

/// Limit: more images than this on top of each other are refused.
pub const CHAIN_IMAGES_MAX: usize = 256;

/// A disk: the oldest image first, the one that is written last.
pub struct Chain {
    images: Vec<Box<dyn Image>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.images.iter().map(|image| image.facts())).finish()
    }
}

impl Chain {
    /// Puts images together, oldest first. Each must be a child of the one before it.
    pub fn new(images: Vec<Box<dyn Image>>) -> Result<Self> {
        let Some(first) = images.first() else {
            return Err(DiskError::Bad { format: "disk", what: "has no image" });
        };
        if images.len() > CHAIN_IMAGES_MAX {
            return Err(DiskError::Bad { format: "disk", what: "has too many images" });
        }
        if let Some(parent) = &first.facts().parent {
            let child = first.facts().format.to_string();
            return Err(DiskError::NotAChild { child, parent: parent.name.clone() });
        }
        for pair in images.windows(2) {
            let [parent, child] = pair else { continue };
            let (parent, child) = (parent.facts(), child.facts());
            if !child.is_child_of(parent) {
                let name = child.parent.as_ref().map_or("", |named| &named.name).to_owned();
                return Err(DiskError::NotAChild { child: child.format.to_string(), parent: name });
            }
        }
        Ok(Self { images })
    }

    /// What the disk is: the facts of the image that is written.
    pub fn facts(&self) -> &Facts {
        self.images[self.images.len() - 1].facts()
    }

    pub fn size_bytes(&self) -> u64 {
        self.facts().size_bytes
    }

    /// The images, oldest first.
    pub fn images(&self) -> impl Iterator<Item = &dyn Image> {
        self.images.iter().map(|image| &**image)
    }

    /// What stands at `offset`: data, or zeroes (never [`Content::Absent`]).
    pub fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        let (extent, _) = self.find(self.images.len(), offset, limit)?;
        Ok(extent)
    }

    /// The image below the first `height` ones that holds `offset`, and for how long.
    fn find(&mut self, height: usize, offset: u64, limit: u64) -> Result<(Extent, usize)> {
        let mut limit = limit;
        for level in (0..height).rev() {
            let image = &mut self.images[level];
            let size_bytes = image.facts().size_bytes;
            // A child may be larger than its parent: what lies behind the parent's end is zeroes.
            let Some(left) = size_bytes.checked_sub(offset).filter(|left| *left > 0) else {
                continue;
            };
            let extent = image.map(offset, limit.min(left))?;
            limit = extent.length.min(limit);
            if extent.content != Content::Absent {
                return Ok((Extent::new(limit, extent.content), level));
            }
        }
        Ok((Extent::new(limit, Content::Zero), 0))
    }

    pub fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.facts(), offset, buffer.len() as u64)?;
        self.read_below(self.images.len(), offset, buffer)
    }

    /// Reads what the first `height` images show together.
    fn read_below(&mut self, height: usize, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut rest = buffer;
        let mut at = offset;
        while !rest.is_empty() {
            let (extent, level) = self.find(height, at, rest.len() as u64)?;
            let length = usize::try_from(extent.length).unwrap_or(usize::MAX).min(rest.len());
            let (part, later) = rest.split_at_mut(length);
            match extent.content {
                Content::Data => self.images[level].read(at, part)?,
                Content::Zero | Content::Absent => part.fill(0),
            }
            at += extent.length;
            rest = later;
        }
        Ok(())
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(self.facts(), offset, data.len() as u64)?;
        let top = self.images.len() - 1;
        if top == 0 {
            return self.images[0].write(offset, data);
        }
        let unit_bytes = self.facts().unit_bytes;
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let unit = at - at % unit_bytes;
            let unit_end = unit.saturating_add(unit_bytes).min(self.size_bytes());
            // Whole units need nothing from below.
            let whole = match at == unit {
                true => (rest.len() as u64) - (rest.len() as u64) % unit_bytes,
                false => 0,
            };
            let length = if whole > 0 { whole } else { (unit_end - at).min(rest.len() as u64) };
            let (part, later) = rest.split_at(length as usize);
            let partial = whole == 0 && length < unit_end - unit;
            let stored = self.images[top].map(unit, unit_end - unit)?;
            let is_mixed = stored.length < unit_end - unit;
            if partial && (stored.content == Content::Absent || is_mixed) {
                self.complete(unit, unit_end, at, part)?;
            } else {
                self.images[top].write(at, part)?;
            }
            at += length;
            rest = later;
        }
        Ok(())
    }

    /// Writes a part of a unit together with what lies below the rest of it.
    fn complete(&mut self, unit: u64, unit_end: u64, at: u64, part: &[u8]) -> Result<()> {
        let mut whole = vec![0; (unit_end - unit) as usize];
        let height = self.images.len();
        self.read_below(height, unit, &mut whole)?;
        let from = (at - unit) as usize;
        whole[from..from + part.len()].copy_from_slice(part);
        self.images[height - 1].write(unit, &whole)
    }

    /// Makes a stretch read as zeroes, storing as little as the format allows.
    pub fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        check_range(self.facts(), offset, length)?;
        let unit_bytes = self.facts().unit_bytes;
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let extent = self.map(at, end - at)?;
            let stop = at + extent.length;
            if extent.content == Content::Data {
                let first = (at.next_multiple_of(unit_bytes)).min(stop);
                let last = match stop == self.size_bytes() {
                    true => stop,
                    false => (stop - stop % unit_bytes).max(first),
                };
                self.write_literal_zeroes(at, first)?;
                if last > first {
                    let top = self.images.len() - 1;
                    self.images[top].write_zeroes(first, last - first)?;
                }
                self.write_literal_zeroes(last, stop)?;
            }
            at = stop;
        }
        Ok(())
    }

    fn write_literal_zeroes(&mut self, from: u64, to: u64) -> Result<()> {
        static ZEROES: [u8; 65536] = [0; 65536];
        let mut at = from;
        while at < to {
            let some = (to - at).min(ZEROES.len() as u64);
            self.write(at, &ZEROES[..some as usize])?;
            at += some;
        }
        Ok(())
    }

    pub fn flush(&mut self, durable: bool) -> Result<()> {
        let top = self.images.len() - 1;
        self.images[top].flush(durable)
    }

    /// Takes the images apart again.
    pub fn into_images(self) -> Vec<Box<dyn Image>> {
        self.images
    }
}
