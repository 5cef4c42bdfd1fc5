//! The files of one folder: opened by plain names only, new ones under names that say so.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use virt_disk::{DiskError, FileStorage, Neighbours, Storage};

use crate::failure::{Failure, Result};

/// How the names of files begin that are not in their place yet.
pub(crate) const STAGED: &str = ".vdisk-new.";

/// A folder with images in it.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    /// Whether new files wait under other names until a change is made as a whole.
    is_staged: bool,
    /// Final names of the files made here.
    pub(crate) made: RefCell<Vec<String>>,
    /// Names of the files that images asked for.
    pub(crate) asked: RefCell<Vec<String>>,
}

impl Files {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            is_staged: false,
            made: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    pub(crate) fn staged(folder: &Path) -> Self {
        Self { is_staged: true, ..Self::new(folder) }
    }

    /// The file that stands for a name now.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match self.is_staged && self.made.borrow().iter().any(|made| made == name) {
            true => self.folder.join(format!("{STAGED}{name}")),
            false => self.folder.join(name),
        }
    }

    /// Opens a file; a link in its place is not followed.
    pub(crate) fn storage(&self, name: &str, writable: bool) -> Result<Box<dyn Storage>> {
        let path = self.path(name);
        storage(&path, writable, false).map_err(|error| Failure::io("open", &path, error))
    }

    /// Makes a file that only its owner may read.
    pub(crate) fn new_file(&self, name: &str) -> Result<Box<dyn Storage>> {
        self.made.borrow_mut().push(name.to_owned());
        let path = self.path(name);
        let made = || {
            let mut options = OpenOptions::new();
            FileStorage::new(
                options.read(true).write(true).create_new(true).mode(0o600).open(&path)?,
            )
        };
        match made() {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(Failure::io("create", &path, error)),
        }
    }
}

/// A file or device as storage.
pub(crate) fn storage(
    path: &Path,
    writable: bool,
    follow_links: bool,
) -> std::io::Result<Box<dyn Storage>> {
    let mut options = OpenOptions::new();
    options.read(true).write(writable);
    // A pipe in an image's place must not hold us up.
    let mut flags = rustix::fs::OFlags::NONBLOCK;
    if !follow_links {
        flags |= rustix::fs::OFlags::NOFOLLOW;
    }
    let file: File = options.custom_flags(flags.bits() as i32).open(path)?;
    Ok(Box::new(FileStorage::new(file)?))
}

impl Neighbours for Files {
    fn open(&self, name: &str, writable: bool) -> virt_disk::Result<Box<dyn Storage>> {
        let foreign = || DiskError::ForeignFile(name.to_owned());
        virt_store::check_name(name).map_err(|_| foreign())?;
        self.asked.borrow_mut().push(name.to_owned());
        storage(&self.path(name), writable, false)
            .map_err(|source| DiskError::Io { what: "open an extent", source })
    }

    fn create(&self, name: &str) -> virt_disk::Result<Box<dyn Storage>> {
        virt_store::check_name(name).map_err(|_| DiskError::ForeignFile(name.to_owned()))?;
        self.new_file(name).map_err(|failure| DiskError::Io {
            what: "create an extent",
            source: std::io::Error::other(failure.to_string()),
        })
    }
}
