//! Folders that come and go as a whole: made under a hidden name, and removed under one.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::failure::{Failure, Result};
use crate::journal::sync_folder;
use crate::lock::Lock;

/// The hidden name beside a folder, or beside a file.
fn hidden(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

const NEW: &str = ".vdisk-new";
const GONE: &str = ".vdisk-gone";

/// A folder that is being made; gone again unless it is put in place.
#[derive(Debug)]
pub(crate) struct Staging {
    place: PathBuf,
    pub(crate) folder: PathBuf,
    lock: Option<Lock>,
    /// Parents that were not there before, the uppermost first.
    parents: Vec<PathBuf>,
    is_done: bool,
}

impl Staging {
    /// Makes a hidden folder beside `place`, which must be free, and the parents of both.
    pub(crate) fn new(place: &Path) -> Result<Self> {
        sweep(place)?;
        if place.symlink_metadata().is_ok() {
            return Err(Failure::new(format!("'{}' already exists", place.display())));
        }
        let folder = hidden(place, NEW);
        let mut staging = Self {
            place: place.to_owned(),
            folder,
            lock: None,
            parents: Vec::new(),
            is_done: false,
        };
        staging.make_parents()?;
        make_folder(&staging.folder)?;
        staging.lock = Some(Lock::acquire(&staging.folder)?);
        Ok(staging)
    }

    fn make_parents(&mut self) -> Result<()> {
        let missing: Vec<PathBuf> = self
            .place
            .ancestors()
            .skip(1)
            .take_while(|parent| !parent.as_os_str().is_empty() && !parent.exists())
            .map(Path::to_owned)
            .collect();
        for parent in missing.into_iter().rev() {
            make_folder(&parent)?;
            self.parents.push(parent);
        }
        Ok(())
    }

    /// Gives the folder its name. Order: its content is on the disk before, its name behind it.
    pub(crate) fn commit(mut self) -> Result<()> {
        sync_folder(&self.folder)?;
        put(&self.folder, &self.place)?;
        self.is_done = true;
        sync_folder(parent(&self.place))?;
        if let Some(lock) = &mut self.lock {
            lock.moved_to(&self.place);
        }
        Ok(())
    }

    /// Gives single files their names beside the folder, in this order, and ends the folder.
    ///
    /// Nothing is synchronised: these files are copies of what is still there.
    pub(crate) fn release(mut self, names: &[String]) -> Result<()> {
        for name in names {
            put(&self.folder.join(name), &self.place.with_file_name(name))?;
        }
        // What was put in place stays, and so do the folders it lies in.
        self.parents.clear();
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_dir_all(&self.folder);
            for parent in self.parents.iter().rev() {
                let _ = fs::remove_dir(parent);
            }
        }
    }
}

/// The folder that something lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn make_folder(path: &Path) -> Result<()> {
    let made = DirBuilder::new().mode(0o755).create(path);
    made.map_err(|error| Failure::io("make the folder", path, error))
}

/// Renames onto a name that must be free.
pub(crate) fn put(from: &Path, to: &Path) -> Result<()> {
    let mut done = renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
    if matches!(done, Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS)) {
        // A file system that cannot promise it.
        if to.symlink_metadata().is_ok() {
            return Err(Failure::new(format!("'{}' already exists", to.display())));
        }
        done = rustix::fs::rename(from, to);
    }
    match done {
        Err(rustix::io::Errno::EXIST) => {
            Err(Failure::new(format!("'{}' already exists", to.display())))
        }
        done => done.map_err(|error| Failure::io("rename to", to, error)),
    }
}

/// Removes a folder: it is gone at once, and its content a little later.
pub(crate) fn discard(folder: &Path) -> Result<()> {
    let gone = hidden(folder, GONE);
    remove_all(&gone)?;
    fs::rename(folder, &gone).map_err(|error| Failure::io("remove", folder, error))?;
    sync_folder(parent(folder))?;
    remove_all(&gone)
}

/// Removes what earlier processes that were killed left beside `place`.
pub(crate) fn sweep(place: &Path) -> Result<()> {
    remove_all(&hidden(place, GONE))?;
    let new = hidden(place, NEW);
    if !new.is_dir() {
        return Ok(());
    }
    match Lock::try_acquire(&new)? {
        Some(_lock) => remove_all(&new),
        None => {
            Err(Failure::new(format!("'{}' is being made by another process", place.display())))
        }
    }
}

fn remove_all(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|error| Failure::io("remove", folder, error)),
    }
}
