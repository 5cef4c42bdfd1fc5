//! Where a vdisk is and what it is called: `move` and `rename`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use virt_store::Durability;

use crate::commands::moment::refuse_strangers;
use crate::document::snapshot_file;
use crate::failure::{Failure, Result};
use crate::files::{Files, storage};
use crate::moved;
use crate::progress::Progress;
use crate::staging::{self, Staging};
use crate::vdisk::{Access, Change, DOCUMENT, Vdisk, own};
use crate::words::{Name, Words};

/// `move VDNAME DIR`
pub(crate) fn move_vdisk(words: &Words) -> Result<()> {
    let [name, target] = words.operands(["vdname", "directory"])?;
    let folder = Name::vdisk(name)?;
    let target = Path::new(target);
    if !target.is_dir() {
        return Err(Failure::new(format!("'{}' is not a directory", target.display())));
    }
    if target.join(DOCUMENT).exists() {
        return Err(Failure::new(format!("'{}' is a vdisk", target.display())));
    }
    let mut vdisk = Vdisk::open(&folder, Access::Change)?;
    vdisk.check_idle()?;
    let place = target.join(vdisk.name());
    staging::sweep(&place)?;
    if place.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("'{}' already exists", place.display())));
    }
    let is_near = device(&folder)? == device(target)?;
    if is_near {
        staging::put(&folder, &place)?;
        vdisk.has_moved(&place);
        return crate::journal::sync_folder(target);
    }
    refuse_strangers(&vdisk)?;
    let mut progress = Progress::new(words, "moving")?;
    copy_folder(&vdisk, &place, &mut progress)?;
    moved::settle(&folder)
}

fn device(path: &Path) -> Result<u64> {
    let found = fs::metadata(path).map_err(|error| Failure::io("inspect", path, error))?;
    Ok(found.dev())
}

/// Copies all files of a vdisk to another file system.
fn copy_folder(vdisk: &Vdisk, place: &Path, progress: &mut Progress) -> Result<()> {
    let staging = Staging::new(place)?;
    let files = Files::new(&staging.folder);
    for name in vdisk.files()? {
        let source = vdisk.folder.join(&name);
        let from =
            storage(&source, false, false).map_err(|error| Failure::io("open", &source, error))?;
        let to = files.new_file(&name)?;
        virt_disk::copy_file(&*from, &*to, progress)
            .map_err(|error| Failure::copying(&source, place, error))?;
        to.sync()
            .map_err(|error| Failure::io("synchronise", &staging.folder.join(&name), error))?;
        like(&source, &staging.folder.join(&name))?;
    }
    let path = staging.folder.join(DOCUMENT);
    let text = vdisk.document.print();
    virt_store::write(&path, text.as_bytes(), 0o644, Durability::Machine)?;
    like(&vdisk.folder.join(DOCUMENT), &path)?;
    like(&vdisk.folder, &staging.folder)?;
    moved::announce(&vdisk.folder, &staging.folder, place)?;
    staging.commit()
}

/// Gives a file the owner and the mode of another.
fn like(model: &Path, path: &Path) -> Result<()> {
    let found = fs::metadata(model).map_err(|error| Failure::io("inspect", model, error))?;
    own(path, found.uid(), found.gid())?;
    fs::set_permissions(path, fs::Permissions::from_mode(found.mode() & 0o7777))
        .map_err(|error| Failure::io("set the mode of", path, error))
}

/// `rename VDNAME|SNAPSHOT VDNAME|SNAPSHOT`
pub(crate) fn rename(words: &Words) -> Result<()> {
    let [from, to] = words.operands(["name", "new name"])?;
    let (from, to) = (Name::parse(from)?, Name::parse(to)?);
    match (&from.snapshot, &to.snapshot) {
        (None, None) => rename_vdisk(&from, &to),
        (Some(old), Some(new)) => rename_snapshot(&from, &to, old, new),
        _ => Err(Failure::new("a vdisk and a snapshot cannot take each other's name")),
    }
}

fn rename_vdisk(from: &Name, to: &Name) -> Result<()> {
    let real = |path: &Path| {
        let parent = staging::parent(path);
        fs::canonicalize(parent).map_err(|error| Failure::io("find", parent, error))
    };
    if real(&from.folder)? != real(&to.folder)? {
        return Err(Failure::new("a vdisk is renamed inside its directory; use move"));
    }
    let mut vdisk = Vdisk::open(&from.folder, Access::Change)?;
    vdisk.check_idle()?;
    staging::sweep(&to.folder)?;
    // Order: the folder's name is the one that counts. The document follows it, now or, if we are
    // killed here, when the vdisk is opened next.
    staging::put(&from.folder, &to.folder)?;
    vdisk.has_moved(&to.folder);
    let Err(why) = vdisk.follow_the_folder() else { return Ok(()) };
    // The whole command or nothing of it: a document that cannot be written, as on a full disk.
    staging::put(&to.folder, &from.folder)?;
    vdisk.has_moved(&from.folder);
    Err(why)
}

fn rename_snapshot(from: &Name, to: &Name, old: &str, new: &str) -> Result<()> {
    if from.folder != to.folder {
        return Err(Failure::new("a snapshot stays with its vdisk"));
    }
    let vdisk = Vdisk::open(&from.folder, Access::Change)?;
    vdisk.check_idle()?;
    let at = vdisk.snapshot_at(old)?;
    let mut snapshots = vdisk.document.snapshots()?;
    if snapshots.iter().any(|snapshot| snapshot.name == new) {
        return Err(Failure::new(format!("'{}@{new}' already exists", to.folder.display())));
    }
    let images = vdisk.images()?;
    let file = snapshot_file(new, vdisk.format()?);
    let mut change = Change::new(&vdisk)?;
    change.move_image(&images[at], &file, images.get(at + 1).map(String::as_str))?;
    snapshots[at].name = new.to_owned();
    snapshots[at].file = file;
    let mut document = vdisk.document.clone();
    document.set_snapshots(&snapshots);
    change.document(&document)?;
    change.commit()
}
