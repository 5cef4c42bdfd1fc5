//! New VMDKs: sparse, flat, stream-optimised, and differences.

use crate::bytes::{new_uuid, put, round_up, uuid_text};
use crate::error::{DiskError, Result, io};
use crate::image::{Identity, Image, Layout, Neighbours, NewImage};
use crate::storage::Storage;
use crate::vmdk::descriptor::{Descriptor, NewDescriptor, pad};
use crate::vmdk::sparse::header;
use crate::vmdk::stream::Stream;
use crate::vmdk::{NAME, SECTOR_BYTES, Vmdk, new_content_id};

pub(super) const GRAIN_SECTORS: u64 = 128;
pub(super) const TABLE_ENTRIES: u64 = 512;
pub(super) const DESCRIPTOR_SECTORS: u64 = 20;

/// What one grain table covers.
pub(super) const TABLE_BYTES: u64 = GRAIN_SECTORS * TABLE_ENTRIES * SECTOR_BYTES;

/// Makes a VMDK in an empty file.
pub(crate) fn create(
    new: &NewImage<'_>,
    storage: Box<dyn Storage>,
    files: &dyn Neighbours,
) -> Result<Box<dyn Image>> {
    if !new.size_bytes.is_multiple_of(SECTOR_BYTES) {
        return Err(DiskError::Size { format: NAME, bytes: new.size_bytes });
    }
    match new.layout {
        Layout::Sparse => {
            sparse(new, &*storage)?;
            Ok(Box::new(Vmdk::open_new(storage, files)?))
        }
        Layout::Fixed => {
            flat(new, &*storage, files)?;
            Ok(Box::new(Vmdk::open_new(storage, files)?))
        }
        Layout::Stream => Ok(Box::new(Stream::create(new, storage)?)),
    }
}

/// The text of a new descriptor with one extent.
pub(super) fn describe(new: &NewImage<'_>, create_type: &str, extent: String) -> Result<String> {
    let parent = match &new.parent {
        None => None,
        Some((facts, name)) => match facts.identity {
            Identity::Content(cid) => Some((cid, *name)),
            _ => {
                let what = "a parent of another format";
                return Err(DiskError::Unsupported { format: NAME, what });
            }
        },
    };
    Ok(NewDescriptor {
        cid: match new.identity {
            Some(Identity::Content(cid)) => cid,
            _ => new_content_id(),
        },
        parent,
        create_type,
        extent,
        size_bytes: new.size_bytes,
        comment: new.comment,
        uuid: &uuid_text(&new_uuid()),
    }
    .render())
}

/// The fields that all sparse extents of ours share.
pub(super) fn new_header(size_bytes: u64) -> [u8; header::BYTES] {
    let mut head = [0; header::BYTES];
    put(&mut head, 0, b"KDMV");
    put(&mut head, header::CAPACITY, &(size_bytes / SECTOR_BYTES).to_le_bytes());
    put(&mut head, header::GRAIN, &GRAIN_SECTORS.to_le_bytes());
    put(&mut head, header::DESCRIPTOR, &1_u64.to_le_bytes());
    put(&mut head, header::DESCRIPTOR_SIZE, &DESCRIPTOR_SECTORS.to_le_bytes());
    put(&mut head, header::TABLE_ENTRIES, &(TABLE_ENTRIES as u32).to_le_bytes());
    put(&mut head, header::NEWLINES, b"\n \r\n");
    head
}

/// Header, descriptor, and two directories, each before its tables; then comes the first grain.
fn sparse(new: &NewImage<'_>, storage: &dyn Storage) -> Result<()> {
    const VERSION: u32 = 1;
    // Newlines are intact, and there is a redundant directory.
    const FLAGS: u32 = 1 | 2;
    let tables = new.size_bytes.div_ceil(TABLE_BYTES);
    let directory_sectors = (tables * 4).div_ceil(SECTOR_BYTES);
    let table_sectors = TABLE_ENTRIES * 4 / SECTOR_BYTES;
    let redundant = 1 + DESCRIPTOR_SECTORS;
    let main = redundant + directory_sectors + tables * table_sectors;
    let overhead = round_up(main + directory_sectors + tables * table_sectors, GRAIN_SECTORS);
    // The tables hold sectors in 32 bits.
    let full = overhead + new.size_bytes / SECTOR_BYTES;
    if new.size_bytes == 0 || full > u64::from(u32::MAX) {
        return Err(DiskError::Size { format: NAME, bytes: new.size_bytes });
    }

    let mut head = new_header(new.size_bytes);
    put(&mut head, header::VERSION, &VERSION.to_le_bytes());
    put(&mut head, header::FLAGS, &FLAGS.to_le_bytes());
    put(&mut head, header::REDUNDANT_DIRECTORY, &redundant.to_le_bytes());
    put(&mut head, header::DIRECTORY, &main.to_le_bytes());
    put(&mut head, header::OVERHEAD, &overhead.to_le_bytes());

    let extent = format!("RW {} SPARSE \"{}\"", new.size_bytes / SECTOR_BYTES, new.name);
    let text = describe(new, "monolithicSparse", extent)?;
    let descriptor = pad(&text, DESCRIPTOR_SECTORS * SECTOR_BYTES)?;
    let write = |data: &[u8], sector: u64| {
        storage.write_all_at(data, sector * SECTOR_BYTES).map_err(io("write the header"))
    };
    storage.set_size(overhead * SECTOR_BYTES).map_err(io("enlarge"))?;
    for start in [redundant, main] {
        let first = start + directory_sectors;
        let directory: Vec<u8> = (0..tables)
            .flat_map(|table| ((first + table * table_sectors) as u32).to_le_bytes())
            .collect();
        write(&directory, start)?;
    }
    write(&descriptor, 1)?;
    write(&head, 0)
}

/// A descriptor, and all bytes of the disk in the file beside it.
fn flat(new: &NewImage<'_>, storage: &dyn Storage, files: &dyn Neighbours) -> Result<()> {
    if new.parent.is_some() {
        return Err(DiskError::Unsupported { format: NAME, what: "a flat difference image" });
    }
    let name = flat_name(new.name);
    let extent = format!("RW {} FLAT \"{name}\" 0", new.size_bytes / SECTOR_BYTES);
    let text = describe(new, "monolithicFlat", extent)?;
    Descriptor::parse(&text)?;
    let body = files.create(&name)?;
    body.reserve(new.size_bytes).map_err(io("reserve room"))?;
    storage.write_all_at(text.as_bytes(), 0).map_err(io("write the descriptor"))
}

/// The name of the flat extent that belongs to a descriptor.
pub fn flat_name(name: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, NAME));
    format!("{stem}-flat.{extension}")
}
