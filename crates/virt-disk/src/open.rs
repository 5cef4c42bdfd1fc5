//! The one place that knows all formats: telling, opening, making, and renaming parents.

use crate::bytes::text;
use crate::error::{DiskError, Result, io};
use crate::image::{Format, Image, Neighbours, NewImage};
use crate::raw::Raw;
use crate::storage::{Storage, read_padded};
use crate::vdi::Vdi;
use crate::vhdx::Vhdx;
use crate::vmdk::{Descriptor, Vmdk};
use crate::{qcow2, vdi, vhd, vhdx, vmdk};

/// What a file's content says that it is; `None` where nothing does, as for raw disks.
pub fn probe(storage: &dyn Storage) -> Result<Option<Format>> {
    let mut head = [0; 512];
    read_padded(storage, &mut head, 0)?;
    let found = if head.starts_with(b"KDMV") || Descriptor::is_one(&head) {
        Format::Vmdk
    } else if vdi::is_one(&head) {
        Format::Vdi
    } else if qcow2::is_one(&head) {
        Format::Qcow2
    } else if vhd::is_one(&head) {
        Format::Vhd
    } else if vhdx::is_one(&head) {
        Format::Vhdx
    } else {
        let size_bytes = storage.size_bytes().map_err(io("measure"))?;
        let Some(last) = size_bytes.checked_sub(512) else { return Ok(None) };
        let mut tail = [0; 512];
        read_padded(storage, &mut tail, last)?;
        if !vhd::is_one(&tail) {
            return Ok(None);
        }
        Format::Vhd
    };
    Ok(Some(found))
}

/// Opens an image of a known format. What lies below it is not opened.
pub fn open(
    format: Format,
    storage: Box<dyn Storage>,
    files: &dyn Neighbours,
    writable: bool,
) -> Result<Box<dyn Image>> {
    match format {
        Format::Raw => Ok(Box::new(Raw::open(storage)?)),
        Format::Vmdk => Ok(Box::new(Vmdk::open(storage, files, writable)?)),
        Format::Vdi => Ok(Box::new(Vdi::open(storage)?)),
        Format::Vhd => vhd::open(storage),
        Format::Qcow2 => Ok(Box::new(qcow2::Qcow2::open(storage)?)),
        Format::Vhdx => Ok(Box::new(Vhdx::open(storage)?)),
    }
}

/// Makes an image in an empty file.
pub fn create(
    new: &NewImage<'_>,
    storage: Box<dyn Storage>,
    files: &dyn Neighbours,
) -> Result<Box<dyn Image>> {
    if new.size_bytes > crate::image::DISK_BYTES_MAX {
        return Err(DiskError::Size { format: new.format.name(), bytes: new.size_bytes });
    }
    match new.format {
        Format::Raw => Ok(Box::new(Raw::create(new, storage)?)),
        Format::Vmdk => vmdk::create(new, storage, files),
        Format::Vdi => Ok(Box::new(Vdi::create(new, storage)?)),
        Format::Vhd => vhd::create(new, storage),
        Format::Qcow2 => Ok(Box::new(qcow2::create(new, storage)?)),
        Format::Vhdx => Err(DiskError::Unsupported { format: "vhdx", what: "making images" }),
    }
}

/// Bytes to be written into an image's file, and whether the file ends behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    pub offset: u64,
    pub bytes: Vec<u8>,
    pub ends_file: bool,
}

/// What must change in an image's file when its parent, or its own flat extent, gets another name.
///
/// Nothing is written here: the caller may have to write several files together.
pub fn retarget(
    format: Format,
    storage: &dyn Storage,
    parent: Option<&str>,
    flat: Option<&str>,
) -> Result<Vec<Patch>> {
    match (format, parent) {
        (Format::Vmdk, _) => vmdk_patch(storage, |descriptor| descriptor.rename(parent, flat))
            .map(|patch| vec![patch]),
        (Format::Vhd, Some(name)) => Ok(patches(vhd::retarget(storage, name)?)),
        (Format::Qcow2, Some(name)) => Ok(patches(qcow2::retarget(storage, name)?)),
        // Their links are numbers, or there are none.
        _ => Ok(Vec::new()),
    }
}

/// What must change in a copy of an image's file, so that the two are told apart: its identity and
/// its comment, and the name of its own flat extent.
pub fn renew(
    format: Format,
    storage: &dyn Storage,
    comment: &str,
    flat: Option<&str>,
) -> Result<Vec<Patch>> {
    match format {
        Format::Vmdk => {
            let patch = vmdk_patch(storage, |descriptor| {
                descriptor.rename(None, flat);
                descriptor.renew(comment);
            });
            Ok(vec![patch?])
        }
        Format::Vdi => Ok(patches(vdi::renew(comment))),
        Format::Vhd => Ok(patches(vhd::renew(storage)?)),
        // Nothing in these tells one from another.
        Format::Raw | Format::Qcow2 | Format::Vhdx => Ok(Vec::new()),
    }
}

fn patches(changes: Vec<(u64, Vec<u8>)>) -> Vec<Patch> {
    let plain = |(offset, bytes)| Patch { offset, bytes, ends_file: false };
    changes.into_iter().map(plain).collect()
}

fn vmdk_patch(storage: &dyn Storage, change: impl FnOnce(&mut Descriptor)) -> Result<Patch> {
    let image = Vmdk::peek_descriptor(storage)?;
    let mut bytes = vec![0; image.bytes_max as usize];
    read_padded(storage, &mut bytes, image.offset)?;
    let mut descriptor = Descriptor::parse(&text(&bytes))?;
    change(&mut descriptor);
    let changed = descriptor.render();
    if image.is_embedded {
        let bytes = vmdk::pad(&changed, image.bytes_max)?;
        return Ok(Patch { offset: image.offset, bytes, ends_file: false });
    }
    Ok(Patch { offset: 0, bytes: changed.into_bytes(), ends_file: true })
}
