//! Image files that are no vdisks: told by their content, opened with their extents.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use virt_disk::{Chain, Format, Layout, Storage, probe};

use crate::failure::{Failure, Result};
use crate::files::{Files, storage};
use crate::staging;
use crate::words::Kind;

/// An open image file or block device.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) format: Format,
    pub(super) disk: Chain,
    pub(super) is_device: bool,
    /// The file itself, and those it names.
    pub(super) paths: Vec<PathBuf>,
}

impl Source {
    /// Opens an image: of the format that was typed, or of the one that it shows.
    pub(super) fn open(path: &Path, typed: Option<&str>) -> Result<Self> {
        let image = File::open(path, false)?;
        let format = match typed {
            Some(typed) => Kind::parse_source(typed)?.format,
            None => {
                let is_raw = matches!(extension(path), Some("iso" | "raw"));
                let shown = match image.is_device || is_raw {
                    true => Some(Format::Raw),
                    false => probe(&*image.storage).map_err(|error| Failure::disk(path, error))?,
                };
                shown.ok_or_else(|| {
                    let path = path.display();
                    Failure::new(format!("'{path}': the type is not known; say it with -x"))
                })?
            }
        };
        Self::open_as(path, format, image, false)
    }

    /// Opens an image as a guest's disk. The name alone says its format, for a guest could write
    /// into a raw disk what looks like another.
    pub(super) fn open_for_guest(path: &Path, writable: bool) -> Result<Self> {
        let image = File::open(path, writable)?;
        let named = extension(path).and_then(|extension| extension.parse().ok());
        let format = named.filter(|_| !image.is_device).unwrap_or(Format::Raw);
        let source = Self::open_as(path, format, image, writable)?;
        if writable && (source.kind().layout == Layout::Stream || !source.kind().is_made()) {
            return Err(Failure::new(format!("'{}' can only be read", path.display())));
        }
        Ok(source)
    }

    fn open_as(path: &Path, format: Format, image: File, writable: bool) -> Result<Self> {
        let File { storage, is_device } = image;
        let files = Files::new(staging::parent(path));
        let mut image = virt_disk::open(format, storage, &files, writable)
            .map_err(|error| Failure::disk(path, error))?;
        virt_disk::check_overlaps(&mut *image).map_err(|error| Failure::disk(path, error))?;
        if image.facts().parent.is_some() {
            let path = path.display();
            return Err(Failure::new(format!("'{path}' is not whole: it stands on another image")));
        }
        let disk = Chain::new(vec![image]).map_err(|error| Failure::disk(path, error))?;
        let mut paths = vec![path.to_owned()];
        paths.extend(files.asked.borrow().iter().map(|name| files.folder.join(name)));
        Ok(Self { format, disk, is_device, paths })
    }

    /// What the image is, as a vdisk would have it.
    pub(super) fn kind(&self) -> Kind {
        Kind { format: self.format, layout: self.disk.facts().layout }
    }
}

/// An open file that may be an image.
struct File {
    storage: Box<dyn Storage>,
    is_device: bool,
}

impl File {
    fn open(path: &Path, writable: bool) -> Result<Self> {
        let failed = |error| Failure::io("open", path, error);
        let found = fs::metadata(path).map_err(failed)?;
        let is_device = found.file_type().is_block_device();
        if !is_device && !found.is_file() {
            return Err(Failure::new(format!("'{}' is no image", path.display())));
        }
        let storage = storage(path, writable, true).map_err(failed)?;
        Ok(Self { storage, is_device })
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}
