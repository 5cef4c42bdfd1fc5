//! VMDK: a descriptor, and extents that are flat, sparse, compressed or nothing but zeroes.

mod create;
mod descriptor;
mod sparse;
mod stream;

pub(crate) use create::create;
pub use create::flat_name;
pub(crate) use descriptor::{Descriptor, pad};

use crate::bytes::random;
use crate::error::{DiskError, Result, io};
use crate::image::{
    Content, Extent, Facts, Format, Identity, Image, Layout, Neighbours, Parent, check_range,
};
use crate::raw::{self, Raw};
use crate::storage::{Storage, read_exact};
use descriptor::ExtentKind;
use sparse::Sparse;

pub(crate) const NAME: &str = "vmdk";
pub(crate) const SECTOR_BYTES: u64 = 512;

/// Limit: VMware's own descriptors are below 20 sectors; split disks of 2 TB need some 100 KiB.
const DESCRIPTOR_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn bad(what: &'static str) -> DiskError {
    DiskError::Bad { format: NAME, what }
}

/// A VMDK of any kind.
pub(crate) struct Vmdk {
    facts: Facts,
    extents: Vec<Piece>,
    descriptor: Descriptor,
    place: DescriptorPlace,
    /// Whether the content number was changed since the image was opened.
    is_marked: bool,
}

/// Where the descriptor is, to write it again.
pub(crate) enum DescriptorPlace {
    /// Inside the first extent.
    Embedded { offset: u64, bytes_max: u64 },
    /// A file of its own.
    File(Box<dyn Storage>),
}

/// The place of a descriptor in its file.
pub(crate) struct DescriptorSpot {
    pub(crate) offset: u64,
    pub(crate) bytes_max: u64,
    pub(crate) is_embedded: bool,
}

/// One extent, where it begins on the disk, and how long it is.
struct Piece {
    start: u64,
    length: u64,
    body: Body,
}

enum Body {
    Flat { raw: Raw, offset: u64 },
    Sparse(Sparse),
    Zero,
}

impl Vmdk {
    /// Opens a VMDK by either of its faces: a sparse extent, or a descriptor by itself.
    pub(crate) fn open(
        storage: Box<dyn Storage>,
        files: &dyn Neighbours,
        writable: bool,
    ) -> Result<Self> {
        let mut magic = [0; 4];
        read_exact(&*storage, &mut magic, 0, NAME)?;
        if &magic == b"KDMV" {
            return Self::open_embedded(storage);
        }
        let size_bytes = storage.size_bytes().map_err(io("measure"))?;
        let descriptor = Descriptor::parse(&read_text(&*storage, 0, size_bytes)?)?;
        let mut extents = Vec::new();
        let mut start: u64 = 0;
        for line in &descriptor.extents {
            let length = line.sectors.checked_mul(SECTOR_BYTES).ok_or(bad("is too large"))?;
            let body = match line.kind {
                ExtentKind::Zero => Body::Zero,
                ExtentKind::Flat => {
                    let file = files.open(&line.file, writable)?;
                    let offset = line.offset.checked_mul(SECTOR_BYTES);
                    let offset = offset.ok_or(bad("an extent lies too far away"))?;
                    let end = offset.checked_add(length).ok_or(bad("is too large"))?;
                    if file.size_bytes().map_err(io("measure"))? < end {
                        return Err(bad("an extent is shorter than the descriptor says"));
                    }
                    Body::Flat { raw: Raw::part(raw::facts(end), file), offset }
                }
                ExtentKind::Sparse => {
                    let sparse = Sparse::open(files.open(&line.file, writable)?)?;
                    if sparse.size_bytes() < length {
                        return Err(bad("an extent is shorter than the descriptor says"));
                    }
                    Body::Sparse(sparse)
                }
            };
            extents.push(Piece { start, length, body });
            start = start.checked_add(length).ok_or(bad("is too large"))?;
        }
        Self::assemble(extents, descriptor, DescriptorPlace::File(storage))
    }

    /// Opens what was just made: nobody knows its content number yet.
    pub(crate) fn open_new(storage: Box<dyn Storage>, files: &dyn Neighbours) -> Result<Self> {
        let image = Self::open(storage, files, true)?;
        Ok(Self { is_marked: true, ..image })
    }

    /// One file with header, descriptor and content. The name it gives itself is of no interest.
    fn open_embedded(storage: Box<dyn Storage>) -> Result<Self> {
        let sparse = Sparse::open(storage)?;
        let (offset, bytes_max) = sparse.descriptor_place();
        if bytes_max == 0 {
            return Err(DiskError::Unsupported { format: NAME, what: "an extent by itself" });
        }
        let descriptor = Descriptor::parse(&read_text(sparse.storage(), offset, bytes_max)?)?;
        let piece = Piece { start: 0, length: sparse.size_bytes(), body: Body::Sparse(sparse) };
        Self::assemble(vec![piece], descriptor, DescriptorPlace::Embedded { offset, bytes_max })
    }

    /// Where the descriptor of a file stands, by either of its faces.
    pub(crate) fn peek_descriptor(storage: &dyn Storage) -> Result<DescriptorSpot> {
        let mut head = [0; sparse::header::BYTES];
        crate::storage::read_padded(storage, &mut head, 0)?;
        let is_embedded = head.starts_with(b"KDMV");
        let size_bytes = storage.size_bytes().map_err(io("measure"))?;
        let (offset, bytes_max) = match is_embedded {
            true => sparse::descriptor_place(&head)?,
            false => (0, size_bytes),
        };
        if bytes_max > DESCRIPTOR_BYTES_MAX {
            return Err(bad("has too long a descriptor"));
        }
        Ok(DescriptorSpot { offset, bytes_max, is_embedded })
    }

    fn assemble(
        extents: Vec<Piece>,
        descriptor: Descriptor,
        place: DescriptorPlace,
    ) -> Result<Self> {
        let last = extents.last().ok_or(bad("has no extents"))?;
        let size_bytes = last.start.saturating_add(last.length);
        if size_bytes > crate::image::DISK_BYTES_MAX {
            return Err(DiskError::Size { format: NAME, bytes: size_bytes });
        }
        let mut unit_bytes = SECTOR_BYTES;
        let mut layout = Layout::Fixed;
        for piece in &extents {
            if let Body::Sparse(sparse) = &piece.body {
                unit_bytes = unit_bytes.max(sparse.grain_bytes());
                layout = if sparse.is_stream() { Layout::Stream } else { Layout::Sparse };
            }
        }
        let is_child = descriptor.parent_cid != descriptor::NO_PARENT;
        if is_child && layout == Layout::Fixed {
            return Err(DiskError::Unsupported { format: NAME, what: "a flat difference image" });
        }
        let parent = is_child.then(|| Parent {
            identity: Identity::Content(descriptor.parent_cid),
            name: descriptor.parent_hint.clone(),
        });
        let facts = Facts {
            format: Format::Vmdk,
            layout,
            size_bytes,
            unit_bytes,
            comment: descriptor.comment.clone(),
            identity: Identity::Content(descriptor.cid),
            parent,
        };
        Ok(Self { facts, extents, descriptor, place, is_marked: false })
    }

    /// The extent that holds an offset, the offset in it, and what is left of it.
    fn piece(&mut self, offset: u64) -> Result<(&mut Body, u64, u64)> {
        let at = self.extents.partition_point(|piece| piece.start <= offset);
        let piece = at.checked_sub(1).and_then(|at| self.extents.get_mut(at));
        let piece = piece.ok_or(DiskError::OutOfRange)?;
        let inside = offset - piece.start;
        let left = piece.length.checked_sub(inside).filter(|left| *left > 0);
        Ok((&mut piece.body, inside, left.ok_or(DiskError::OutOfRange)?))
    }

    /// Runs `work` on the part of each extent that a stretch covers.
    fn each(
        &mut self,
        offset: u64,
        length: u64,
        mut work: impl FnMut(&mut Body, u64, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<()> {
        check_range(&self.facts, offset, length)?;
        let mut done = 0;
        while done < length {
            let (body, inside, left) = self.piece(offset + done)?;
            let some = left.min(length - done);
            work(body, inside, done as usize..(done + some) as usize)?;
            done += some;
        }
        Ok(())
    }

    /// Order: before the first write the content number changes, so that a child made on the old
    /// content is never joined with the new one.
    fn mark_written(&mut self) -> Result<()> {
        if self.facts.layout == Layout::Stream {
            return Err(DiskError::ReadOnly);
        }
        if !self.is_marked {
            self.descriptor.cid = new_content_id();
            self.write_descriptor()?;
            self.facts.identity = Identity::Content(self.descriptor.cid);
            self.is_marked = true;
        }
        Ok(())
    }

    fn write_descriptor(&mut self) -> Result<()> {
        let text = self.descriptor.render();
        match &self.place {
            DescriptorPlace::File(storage) => {
                storage.write_all_at(text.as_bytes(), 0).map_err(io("write the descriptor"))?;
                storage.set_size(text.len() as u64).map_err(io("write the descriptor"))
            }
            DescriptorPlace::Embedded { offset, bytes_max } => {
                let padded = descriptor::pad(&text, *bytes_max)?;
                let Some(Piece { body: Body::Sparse(sparse), .. }) = self.extents.first() else {
                    return Err(bad("has lost its descriptor"));
                };
                let storage = sparse.storage();
                storage.write_all_at(&padded, *offset).map_err(io("write the descriptor"))
            }
        }
    }
}

/// A content number that stands for neither "none" nor "unknown".
pub(crate) fn new_content_id() -> u32 {
    (u32::from_le_bytes(random()) & 0x7fff_ffff) | 1
}

fn read_text(storage: &dyn Storage, offset: u64, length: u64) -> Result<String> {
    if length > DESCRIPTOR_BYTES_MAX {
        return Err(bad("has too long a descriptor"));
    }
    let mut bytes = vec![0; length as usize];
    let read = storage.read_at(&mut bytes, offset).map_err(io("read the descriptor"))?;
    bytes.truncate(read);
    Ok(crate::bytes::text(&bytes))
}

impl Image for Vmdk {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn map(&mut self, offset: u64, limit: u64) -> Result<Extent> {
        check_range(&self.facts, offset, limit)?;
        let (body, inside, left) = self.piece(offset)?;
        let limit = limit.min(left);
        match body {
            Body::Flat { raw, offset } => raw.map(*offset + inside, limit),
            Body::Sparse(sparse) => sparse.map(inside, limit),
            Body::Zero => Ok(Extent::new(limit, Content::Zero)),
        }
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = buffer.len() as u64;
        self.each(offset, length, |body, inside, range| {
            let part = buffer.get_mut(range).ok_or(DiskError::OutOfRange)?;
            match body {
                Body::Flat { raw, offset } => raw.read(*offset + inside, part),
                Body::Sparse(sparse) => sparse.read(inside, part),
                Body::Zero => {
                    part.fill(0);
                    Ok(())
                }
            }
        })
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.mark_written()?;
        self.each(offset, data.len() as u64, |body, inside, range| {
            let part = data.get(range).ok_or(DiskError::OutOfRange)?;
            match body {
                Body::Flat { raw, offset } => raw.write(*offset + inside, part),
                Body::Sparse(sparse) => sparse.write(inside, part),
                Body::Zero => Err(DiskError::ReadOnly),
            }
        })
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        self.mark_written()?;
        self.each(offset, length, |body, inside, range| {
            let some = (range.end - range.start) as u64;
            match body {
                Body::Flat { raw, offset } => raw.write_zeroes(*offset + inside, some),
                Body::Sparse(sparse) => sparse.write_zeroes(inside, some),
                Body::Zero => Ok(()),
            }
        })
    }

    fn flush(&mut self, durable: bool) -> Result<()> {
        for piece in &mut self.extents {
            match &mut piece.body {
                Body::Flat { raw, .. } => raw.flush(durable)?,
                Body::Sparse(sparse) if durable => {
                    sparse.storage().sync().map_err(io("synchronise"))?;
                }
                Body::Sparse(_) | Body::Zero => {}
            }
        }
        match &self.place {
            DescriptorPlace::File(storage) if durable => storage.sync().map_err(io("synchronise")),
            _ => Ok(()),
        }
    }

    fn stored_at(&mut self, offset: u64, limit: u64) -> Result<Option<(u64, u64)>> {
        // Of several extents each has a file of its own.
        let is_one = self.extents.len() == 1;
        let (body, inside, left) = self.piece(offset)?;
        match body {
            Body::Sparse(sparse) if is_one => sparse.stored_at(inside, limit.min(left)),
            _ => Ok(None),
        }
    }
}
