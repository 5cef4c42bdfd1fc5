//! A vdisk: a folder with a document, an image that is written, and those below it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use virt_disk::{Chain, Format, Image, NewImage, flat_name, retarget};
use virt_store::Durability;

use crate::document::{DOCUMENT_BYTES_MAX, Document};
use crate::failure::{Failure, Result};
use crate::files::Files;
use crate::holders::{self, HOLDERS, Holder};
use crate::journal::{self, Step};
use crate::lock::Lock;
use crate::moved;
use crate::staging;

pub(crate) const DOCUMENT: &str = "vdisk.xml";

/// What an opened vdisk is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To be looked at, by somebody who may not be allowed to change it.
    Look,
    Change,
}

/// An open vdisk. Nobody else opens it before this is dropped, unless we only look at it.
#[derive(Debug)]
pub(crate) struct Vdisk {
    pub(crate) folder: PathBuf,
    pub(crate) document: Document,
    pub(crate) lock: Option<Lock>,
}

/// Why a folder is no vdisk.
fn none_here(folder: &Path) -> Failure {
    let folder_name = folder.display();
    Failure::new(match folder.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("'{folder_name}' does not exist")
        }
        Err(error) => return Failure::io("look at", folder, error),
        Ok(_) => format!("'{folder_name}' is not a vdisk: a vdisk is a folder with {DOCUMENT}"),
    })
}

impl Vdisk {
    /// Locks a vdisk, mends what a killed process left, and reads its document.
    pub(crate) fn open(folder: &Path, access: Access) -> Result<Self> {
        let swept = staging::sweep(folder);
        if access == Access::Change {
            swept?;
        }
        let path = folder.join(DOCUMENT);
        if !path.is_file() {
            return Err(none_here(folder));
        }
        let lock = match (Lock::acquire(folder), access) {
            (Ok(lock), _) => Some(lock),
            (Err(failure), Access::Change) => return Err(failure),
            (Err(failure), Access::Look) if journal::is_pending(folder) => return Err(failure),
            (Err(_), Access::Look) => None,
        };
        if lock.is_some() {
            journal::recover(folder)?;
            moved::settle(folder)?;
        }
        if !path.is_file() {
            return Err(none_here(folder));
        }
        let document = Document::parse(&virt_store::read_text(&path, DOCUMENT_BYTES_MAX)?)?;
        let mut vdisk = Self { folder: folder.to_owned(), document, lock };
        match vdisk.follow_the_folder().and_then(|()| vdisk.forget_the_dead()) {
            // On a full disk nothing can be mended, and everything can be looked at.
            Err(failure) if access == Access::Change => Err(failure),
            _ => Ok(vdisk),
        }
    }

    /// The folder has another name now, or lies elsewhere.
    pub(crate) fn has_moved(&mut self, folder: &Path) {
        folder.clone_into(&mut self.folder);
        if let Some(lock) = &mut self.lock {
            lock.moved_to(folder);
        }
    }

    /// A folder is renamed at once, its document after it: the folder's name is the true one.
    pub(crate) fn follow_the_folder(&mut self) -> Result<()> {
        let name = self.name();
        let said = |property| self.document.text(property).is_some_and(|said| said == name);
        if said("name") && said("filename") {
            return Ok(());
        }
        self.document.set("name", &name);
        self.document.set("filename", &name);
        if self.lock.is_some() { self.save() } else { Ok(()) }
    }

    /// Takes back what processes that have ended were counted for.
    fn forget_the_dead(&mut self) -> Result<()> {
        let held = holders::read(&self.folder)?;
        if held.is_empty() {
            return Ok(());
        }
        let alive = holders::bury(&mut self.document, held.clone())?;
        match alive != held && self.lock.is_some() {
            true => self.save_with_holders(&alive),
            false => Ok(()),
        }
    }

    /// The folder's own name.
    pub(crate) fn name(&self) -> String {
        let real = fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        real.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn format(&self) -> Result<Format> {
        Ok(self.document.kind()?.format)
    }

    /// The name of the file that is written.
    pub(crate) fn active(&self) -> String {
        self.document.text("vdfile").unwrap_or_default()
    }

    /// The names of all images, oldest first.
    pub(crate) fn images(&self) -> Result<Vec<String>> {
        let snapshots = self.document.snapshots()?.into_iter();
        let mut files: Vec<String> = snapshots.map(|snapshot| snapshot.file).collect();
        files.push(self.active());
        Ok(files)
    }

    /// The files of one image: its own, and its flat extent where it has one.
    pub(crate) fn files_of(&self, image: &str) -> Result<Vec<String>> {
        let mut files = vec![image.to_owned()];
        let flat = flat_name(image);
        if self.format()? == Format::Vmdk && self.folder.join(&flat).exists() {
            files.push(flat);
        }
        Ok(files)
    }

    /// All files with content, oldest first.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for image in self.images()? {
            files.extend(self.files_of(&image)?);
        }
        Ok(files)
    }

    /// The first `count` images as one disk; all of them are only read.
    pub(crate) fn chain(&self, count: usize) -> Result<Chain> {
        self.open_images(count, false)
    }

    /// The whole disk, its newest image to be written.
    pub(crate) fn open_disk(&self, writable: bool) -> Result<Chain> {
        self.open_images(usize::MAX, writable)
    }

    fn open_images(&self, count: usize, writable: bool) -> Result<Chain> {
        let format = self.format()?;
        let active = self.active();
        let files = Files::new(&self.folder);
        let mut images: Vec<Box<dyn Image>> = Vec::new();
        for name in self.images()?.iter().take(count) {
            let writable = writable && *name == active;
            let storage = files.storage(name, writable)?;
            let image = virt_disk::open(format, storage, &files, writable);
            let failed = |error| Failure::disk(&self.folder.join(name), error);
            let mut image = image.map_err(failed)?;
            // A guest that was served before may have had a hand in it.
            if writable {
                virt_disk::check_overlaps(&mut *image).map_err(failed)?;
            }
            images.push(image);
        }
        Chain::new(images).map_err(|error| Failure::disk(&self.folder, error))
    }

    /// The disk as its user sees it.
    pub(crate) fn disk(&self) -> Result<Chain> {
        self.chain(usize::MAX)
    }

    /// The place of a snapshot in the list of images.
    pub(crate) fn snapshot_at(&self, name: &str) -> Result<usize> {
        let snapshots = self.document.snapshots()?;
        let found = snapshots.iter().position(|snapshot| snapshot.name == name);
        found.ok_or_else(|| {
            let folder = self.folder.display();
            Failure::new(format!("'{folder}@{name}' does not exist"))
        })
    }

    /// Refuses where somebody uses the vdisk.
    pub(crate) fn check_idle(&self) -> Result<()> {
        match self.document.users()? {
            (0, 0) => Ok(()),
            _ => Err(Failure::new(format!("'{}' is in use", self.folder.display()))),
        }
    }

    /// Writes the document anew, owned as before.
    pub(crate) fn save(&mut self) -> Result<()> {
        let mut change = Change::new(self)?;
        change.document(&self.document)?;
        change.commit()?;
        self.reload()
    }

    /// Writes the document together with the processes that use the vdisk.
    pub(crate) fn save_with_holders(&mut self, all: &[Holder]) -> Result<()> {
        let mut change = Change::new(self)?;
        change.document(&self.document)?;
        match all {
            [] => change.remove(HOLDERS),
            all => change.text(HOLDERS, &holders::print(all))?,
        }
        change.commit()?;
        self.reload()
    }

    fn reload(&mut self) -> Result<()> {
        let path = self.folder.join(DOCUMENT);
        self.document = Document::parse(&virt_store::read_text(&path, DOCUMENT_BYTES_MAX)?)?;
        Ok(())
    }
}

/// A change of a vdisk's files that is made as one.
#[derive(Debug)]
pub(crate) struct Change {
    files: Files,
    format: Format,
    /// Who owns the files with content, and who the document.
    owners: [(u32, u32); 2],
    moves: Vec<Step>,
    removals: Vec<Step>,
    is_done: bool,
}

impl Change {
    pub(crate) fn new(vdisk: &Vdisk) -> Result<Self> {
        let owner = |name: &str| -> Result<(u32, u32)> {
            let path = vdisk.folder.join(name);
            let found = fs::symlink_metadata(&path);
            let found = found.map_err(|error| Failure::io("inspect", &path, error))?;
            Ok((found.uid(), found.gid()))
        };
        Ok(Self {
            files: Files::staged(&vdisk.folder),
            format: vdisk.format()?,
            owners: [owner(&vdisk.active())?, owner(DOCUMENT)?],
            moves: Vec::new(),
            removals: Vec::new(),
            is_done: false,
        })
    }

    /// Makes an image that is put in its place with the rest.
    pub(crate) fn create(&mut self, new: &NewImage<'_>) -> Result<Box<dyn Image>> {
        let storage = self.files.new_file(new.name)?;
        let made = virt_disk::create(new, storage, &self.files);
        made.map_err(|error| Failure::disk(&self.files.folder.join(new.name), error))
    }

    /// Stages a document.
    pub(crate) fn document(&mut self, document: &Document) -> Result<()> {
        self.text(DOCUMENT, &document.print())
    }

    fn text(&mut self, name: &str, text: &str) -> Result<()> {
        self.files.made.borrow_mut().push(name.to_owned());
        let path = self.files.path(name);
        Ok(virt_store::write(&path, text.as_bytes(), 0o644, Durability::Machine)?)
    }

    /// Gives an image another name, its flat extent with it, and tells its child.
    pub(crate) fn move_image(&mut self, from: &str, to: &str, child: Option<&str>) -> Result<()> {
        let flat = flat_name(from);
        let has_flat = self.format == Format::Vmdk && self.files.folder.join(&flat).exists();
        self.move_file(from, to)?;
        if has_flat {
            let flat_to = flat_name(to);
            self.move_file(&flat, &flat_to)?;
            self.patch(from, to, None, Some(&flat_to))?;
        }
        match child {
            Some(child) => self.patch(child, child, Some(to), None),
            None => Ok(()),
        }
    }

    fn move_file(&mut self, from: &str, to: &str) -> Result<()> {
        if self.files.folder.join(to).symlink_metadata().is_ok() {
            let folder = self.files.folder.display();
            return Err(Failure::new(format!("'{folder}/{to}' is in the way")));
        }
        self.moves.push(Step::Move { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    /// Changes names inside the file that is `now` and will be `then` when that is done.
    fn patch(
        &mut self,
        now: &str,
        then: &str,
        parent: Option<&str>,
        flat: Option<&str>,
    ) -> Result<()> {
        let storage = self.files.storage(now, false)?;
        let patches = retarget(self.format, &*storage, parent, flat);
        let patches =
            patches.map_err(|error| Failure::disk(&self.files.folder.join(now), error))?;
        self.moves.extend(patches.into_iter().map(|patch| Step::Patch {
            file: then.to_owned(),
            offset: patch.offset,
            bytes: patch.bytes,
            ends_file: patch.ends_file,
        }));
        Ok(())
    }

    pub(crate) fn remove(&mut self, file: &str) {
        self.removals.push(Step::Remove { file: file.to_owned() });
    }

    /// Makes the change. The images are flushed durably already.
    pub(crate) fn commit(mut self) -> Result<()> {
        let made = self.files.made.borrow().clone();
        for name in &made {
            let path = self.files.path(name);
            let is_document = name == DOCUMENT || name == HOLDERS;
            let (uid, gid) = self.owners[usize::from(is_document)];
            let mode = if is_document { 0o644 } else { 0o600 };
            own(&path, uid, gid)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(|error| Failure::io("set the mode of", &path, error))?;
        }
        // A file that is put over an old one is not removed with the old ones.
        self.removals.retain(|step| match step {
            Step::Remove { file } => !made.contains(file),
            _ => true,
        });
        let mut steps = std::mem::take(&mut self.moves);
        steps.extend(made.iter().map(|name| Step::Place { to: name.clone() }));
        steps.append(&mut self.removals);
        // From here on, the journal decides whether the staged files are leftovers.
        self.is_done = true;
        match &steps[..] {
            // One file in the place of another is one step by itself.
            [Step::Place { to }] => {
                staging_rename(&self.files.path(to), &self.files.folder.join(to))?;
                journal::sync_folder(&self.files.folder)
            }
            steps => journal::commit(&self.files.folder, steps),
        }
    }
}

fn staging_rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Failure::io("put in place", from, error))
}

impl Drop for Change {
    fn drop(&mut self) {
        if !self.is_done {
            for name in self.files.made.borrow().iter() {
                let _ = fs::remove_file(self.files.path(name));
            }
        }
    }
}

/// Gives a file to somebody, unless it is theirs already.
pub(crate) fn own(path: &Path, uid: u32, gid: u32) -> Result<()> {
    let now = fs::symlink_metadata(path).map_err(|error| Failure::io("inspect", path, error))?;
    if (now.uid(), now.gid()) == (uid, gid) {
        return Ok(());
    }
    chown(path, Some(uid), Some(gid)).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Failure::new(format!(
            "only root or its owner can give '{}' to another user",
            path.display()
        )),
        _ => Failure::io("change the owner of", path, error),
    })
}

/// When a file's own facts changed last: its creation time, as far as a vdisk knows one.
pub(crate) fn change_epoch(path: &Path) -> Result<i64> {
    let found = fs::symlink_metadata(path).map_err(|error| Failure::io("inspect", path, error))?;
    Ok(found.ctime())
}

/// Seconds since 1970, now.
pub(crate) fn now_epoch() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
