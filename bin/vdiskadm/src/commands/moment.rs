//! Snapshots: made, gone back to, and removed; and the end of a whole vdisk.

use virt_disk::{Chain, Format};

use crate::commands::image::{stage_difference, stage_merged};
use crate::document::{Document, Snapshot, snapshot_file};
use crate::failure::{Failure, Result};
use crate::files::STAGED;
use crate::holders::HOLDERS;
use crate::lock::LOCK_FILE;
use crate::moved::TOKEN;
use crate::progress::Progress;
use crate::staging;
use crate::vdisk::{Access, Change, DOCUMENT, Vdisk, change_epoch, now_epoch};
use crate::words::{Name, Words};

/// Opens an idle vdisk whose images can stand on one another.
fn open(name: &Name) -> Result<Vdisk> {
    let vdisk = Vdisk::open(&name.folder, Access::Change)?;
    if vdisk.format()? == Format::Raw {
        return Err(Failure::new("a vdisk of type raw has no snapshots"));
    }
    vdisk.check_idle()?;
    Ok(vdisk)
}

fn snapshot_name(text: &str) -> Result<(Name, String)> {
    let name = Name::parse(text)?;
    let snapshot = name
        .snapshot
        .clone()
        .ok_or_else(|| Failure::usage(format!("'{text}' is not of the form vdname@snapname")))?;
    Ok((name, snapshot))
}

/// `snapshot VDNAME@SNAPNAME`
pub(crate) fn snapshot(words: &Words) -> Result<()> {
    let [text] = words.operands(["vdname@snapname"])?;
    let (name, snapshot) = snapshot_name(text)?;
    let mut vdisk = open(&name)?;
    let mut snapshots = vdisk.document.snapshots()?;
    if snapshots.iter().any(|held| held.name == snapshot) {
        return Err(Failure::new(format!("'{text}' already exists")));
    }
    if snapshots.len() + 2 > virt_disk::CHAIN_IMAGES_MAX {
        return Err(Failure::new(format!("'{}' has too many snapshots", name.folder.display())));
    }
    let format = vdisk.format()?;
    let (active, kept) = (vdisk.active(), snapshot_file(&snapshot, format));
    let disk: Chain = vdisk.disk()?;
    let mut change = Change::new(&vdisk)?;
    change.move_image(&active, &kept, None)?;
    stage_difference(&mut change, &active, disk.facts(), &kept)?;
    drop(disk);
    let created_epoch = i64::try_from(now_epoch()).unwrap_or(i64::MAX);
    snapshots.push(Snapshot { name: snapshot, file: kept.clone(), created_epoch });
    let mut document = vdisk.document.clone();
    document.set_snapshots(&snapshots);
    change.document(&document)?;
    change.commit()?;
    stamp(&mut vdisk, document, snapshots, &kept)
}

/// Compat: a snapshot's time is the change time of its file, which its new name has just changed.
/// It is rarely another second than the one that is written already.
fn stamp(
    vdisk: &mut Vdisk,
    mut document: Document,
    mut snapshots: Vec<Snapshot>,
    file: &str,
) -> Result<()> {
    let epoch = change_epoch(&vdisk.folder.join(file))?;
    match snapshots.last_mut() {
        Some(last) if last.created_epoch != epoch => last.created_epoch = epoch,
        _ => return Ok(()),
    }
    document.set_snapshots(&snapshots);
    vdisk.document = document;
    vdisk.save()
}

/// `rollback [-r] VDNAME@SNAPNAME`
pub(crate) fn rollback(words: &Words) -> Result<()> {
    let [text] = words.operands(["snapshot"])?;
    let (name, snapshot) = snapshot_name(text)?;
    let vdisk = open(&name)?;
    let at = vdisk.snapshot_at(&snapshot)?;
    let mut snapshots = vdisk.document.snapshots()?;
    if at + 1 != snapshots.len() && !words.has('r') {
        return Err(Failure::new(format!("there are newer snapshots than '{text}' (use -r)")));
    }
    let kept = snapshots[at].file.clone();
    let disk = vdisk.chain(at + 1)?;
    let mut change = Change::new(&vdisk)?;
    for gone in snapshots.drain(at + 1..) {
        for file in vdisk.files_of(&gone.file)? {
            change.remove(&file);
        }
    }
    stage_difference(&mut change, &vdisk.active(), disk.facts(), &kept)?;
    let mut document = vdisk.document.clone();
    document.set_snapshots(&snapshots);
    change.document(&document)?;
    change.commit()
}

/// `destroy [-r] VDNAME|SNAPSHOT`
pub(crate) fn destroy(words: &Words) -> Result<()> {
    let [text] = words.operands(["vdname or snapshot"])?;
    let name = Name::parse(text)?;
    match &name.snapshot {
        Some(snapshot) => destroy_snapshot(words, &name, snapshot),
        None => destroy_vdisk(words, &name),
    }
}

/// What a snapshot holds goes into the image above it.
fn destroy_snapshot(words: &Words, name: &Name, snapshot: &str) -> Result<()> {
    let vdisk = open(name)?;
    let at = vdisk.snapshot_at(snapshot)?;
    let mut change = Change::new(&vdisk)?;
    let mut progress = Progress::new(words, "merging")?;
    stage_merged(&mut change, &vdisk, at, &mut progress)?;
    let mut snapshots = vdisk.document.snapshots()?;
    let gone = snapshots.remove(at);
    for file in vdisk.files_of(&gone.file)? {
        change.remove(&file);
    }
    let mut document = vdisk.document.clone();
    document.set_snapshots(&snapshots);
    change.document(&document)?;
    change.commit()
}

fn destroy_vdisk(words: &Words, name: &Name) -> Result<()> {
    let vdisk = Vdisk::open(&name.folder, Access::Change)?;
    vdisk.check_idle()?;
    let folder = name.folder.display();
    if !vdisk.document.snapshots()?.is_empty() && !words.has('r') {
        return Err(Failure::new(format!("'{folder}' has snapshots (use -r)")));
    }
    refuse_strangers(&vdisk)?;
    staging::discard(&vdisk.folder)
}

/// What is not the vdisk's own is not removed with it.
pub(super) fn refuse_strangers(vdisk: &Vdisk) -> Result<()> {
    let mut own = vdisk.files()?;
    own.extend([DOCUMENT, LOCK_FILE, TOKEN, HOLDERS].map(str::to_owned));
    let entries = std::fs::read_dir(&vdisk.folder);
    let entries = entries.map_err(|error| Failure::io("list", &vdisk.folder, error))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !own.contains(&name) && !name.starts_with(STAGED) {
            let folder = vdisk.folder.display();
            return Err(Failure::new(format!("'{folder}/{name}' does not belong to the vdisk")));
        }
    }
    Ok(())
}
