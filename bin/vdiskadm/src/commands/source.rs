//! Image files that are no vdisks: told by their content, opened with their extents.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use virt_disk::{Chain, Format, probe};

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
        let found = fs::metadata(path).map_err(|error| Failure::io("open", path, error))?;
        let is_device = found.file_type().is_block_device();
        if !is_device && !found.is_file() {
            return Err(Failure::new(format!("'{}' is no image", path.display())));
        }
        let image = storage(path, false, true).map_err(|error| Failure::io("open", path, error))?;
        let format = match typed {
            Some(typed) => Kind::parse_source(typed)?.format,
            None => {
                let extension = path.extension().and_then(|extension| extension.to_str());
                let is_raw = matches!(extension, Some("iso" | "raw"));
                let shown = match is_device || is_raw {
                    true => Some(Format::Raw),
                    false => probe(&*image).map_err(|error| Failure::disk(path, error))?,
                };
                shown.ok_or_else(|| {
                    let path = path.display();
                    Failure::new(format!("'{path}': the type is not known; say it with -x"))
                })?
            }
        };
        let files = Files::new(staging::parent(path));
        let mut image = virt_disk::open(format, image, &files, false)
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
