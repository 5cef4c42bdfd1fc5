//! Content that goes from one place to another: clone, convert, import, export, translate.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use virt_disk::{Chain, Format, Layout, NewImage};

use crate::commands::image::{copy, flush, stage_copy};
use crate::commands::make::{NewVdisk, make};
use crate::commands::source::Source;
use crate::commands::whole::{Origin, make_of_files};
use crate::document::active_file;
use crate::failure::{Failure, Result};
use crate::files::{Files, storage};
use crate::out;
use crate::progress::Progress;
use crate::staging::Staging;
use crate::vdisk::{Access, Change, Vdisk, now_epoch};
use crate::words::{Kind, Name, Words};

/// `clone [-c COMMENT] VDNAME|SNAPSHOT CLONE_VDNAME`
pub(crate) fn clone(words: &Words) -> Result<()> {
    let [from, to] = words.operands(["vdname or snapshot", "clone_vdname"])?;
    let (from, to) = (Name::parse(from)?, Name::vdisk(to)?);
    let vdisk = Vdisk::open(&from.folder, Access::Look)?;
    vdisk.check_idle()?;
    let count = match &from.snapshot {
        Some(snapshot) => vdisk.snapshot_at(snapshot)? + 1,
        None => usize::MAX,
    };
    let mut disk = vdisk.chain(count)?;
    let mut progress = Progress::new(words, "cloning")?;
    let new = NewVdisk {
        folder: &to,
        kind: vdisk.document.kind()?,
        size_bytes: disk.size_bytes(),
        comment: words.value('c'),
    };
    // An image that stands alone is copied as it is: the file system may do it without copying.
    if disk.images().count() == 1 && new.kind.layout == disk.facts().layout {
        let files = vdisk.files_of(vdisk.images()?.first().map_or("", String::as_str))?;
        let paths: Vec<PathBuf> = files.iter().map(|file| vdisk.folder.join(file)).collect();
        return make_of_files(&new, &paths, Origin::Copied, &mut progress);
    }
    make(&new, |image| copy(&mut disk, image, (&from.folder, &to), &mut progress))
}

/// `convert [-r] [-t TYPE[:OPTION]] VDNAME`
pub(crate) fn convert(words: &Words) -> Result<()> {
    let kind = Kind::parse_vdisk(words.value('t'))?;
    let [name] = words.operands(["vdname"])?;
    let vdisk = Vdisk::open(&Name::vdisk(name)?, Access::Change)?;
    vdisk.check_idle()?;
    if vdisk.document.kind()? == kind {
        return Err(Failure::new(format!("'{name}' is of this type already")));
    }
    if !vdisk.document.snapshots()?.is_empty() && !words.has('r') {
        return Err(Failure::new(format!("'{name}' has snapshots, which would be lost (use -r)")));
    }
    let mut disk = vdisk.disk()?;
    let mut change = Change::new(&vdisk)?;
    let mut progress = Progress::new(words, "converting")?;
    let active = active_file(kind.format);
    let description = vdisk.document.text("description").unwrap_or_default();
    let comment = if description == "none" { "" } else { &description };
    stage_copy(&mut change, &active, kind, comment, &mut disk, &mut progress)?;
    for file in vdisk.files()? {
        change.remove(&file);
    }
    let mut document = vdisk.document.clone();
    document.set("vtype", kind.format.name());
    document.set("sparse", if kind.layout == Layout::Sparse { "true" } else { "false" });
    document.set("vdfile", &active);
    document.set_snapshots(&[]);
    change.document(&document)?;
    change.commit()
}

/// `import [-fnpqm] [-x TYPE] -d FILE|DEVICE [-t TYPE[:OPTION]] VDNAME`
pub(crate) fn import(words: &Words) -> Result<()> {
    let path = Path::new(words.needed('d', "file or device")?);
    let kind = Kind::parse_vdisk(words.value('t'))?;
    let [name] = words.operands(["vdname"])?;
    let folder = Name::vdisk(name)?;
    let mut source = Source::open(path, words.value('x'))?;
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("'{name}' already exists")));
    }
    if words.has('f') {
        for path in &source.paths {
            let prefix = if words.has('p') { "file:" } else { "" };
            out(&format!("{prefix}{}", path.display()))?;
        }
    }
    if words.has('m') {
        check_movable(&source, kind, words.value('t').is_some())?;
    }
    if words.has('n') {
        return Ok(());
    }
    let comment = source.disk.facts().comment.clone();
    let size_bytes = source.disk.size_bytes();
    let kind = if words.has('m') { source.kind() } else { kind };
    let new = NewVdisk {
        folder: &folder,
        kind,
        size_bytes: size_bytes.next_multiple_of(512),
        comment: Some(comment.as_str()),
    };
    if words.has('m') {
        return make_of_files(&new, &source.paths, Origin::Taken, &mut virt_disk::Quiet);
    }
    let mut progress = Progress::new(words, "importing")?;
    make(&new, |image| copy(&mut source.disk, image, (path, &folder), &mut progress))
}

/// Only an image that a vdisk could have made itself becomes one as it is.
fn check_movable(source: &Source, kind: Kind, is_typed: bool) -> Result<()> {
    let own = source.kind();
    let is_odd = own.format == Format::Raw || own.layout == Layout::Stream || !own.is_made();
    if source.is_device || is_odd {
        return Err(Failure::new("this image can only be copied, not moved"));
    }
    if is_typed && own != kind || source.paths.len() > 2 {
        return Err(Failure::new("an image that changes its type is copied, not moved"));
    }
    Ok(())
}

/// `export -x TYPE[:OPTION] -d FILE|DEVICE VDNAME`
pub(crate) fn export(words: &Words) -> Result<()> {
    let kind = Kind::parse(words.needed('x', "type")?)?;
    let target = words.needed('d', "file or device")?;
    let [name] = words.operands(["vdname"])?;
    let vdisk = Vdisk::open(&Name::vdisk(name)?, Access::Look)?;
    vdisk.check_idle()?;
    let description = vdisk.document.text("description").unwrap_or_default();
    let comment = if description == "none" { "" } else { &description };
    let mut progress = Progress::new(words, "exporting")?;
    let names = (vdisk.folder.as_path(), Path::new(target));
    write_out(&mut vdisk.disk()?, kind, names, comment, &mut progress)
}

/// `translate [-i TYPE[:OPTION]] -I INPUT -x TYPE[:OPTION] -d OUTPUT`
pub(crate) fn translate(words: &Words) -> Result<()> {
    let input = words.needed('I', "input file")?;
    let kind = Kind::parse(words.needed('x', "type")?)?;
    let target = words.needed('d', "output file")?;
    words.operands([])?;
    let mut source = Source::open(Path::new(input), words.value('i'))?;
    let comment = source.disk.facts().comment.clone();
    let mut progress = Progress::new(words, "translating")?;
    let names = (Path::new(input), Path::new(target));
    write_out(&mut source.disk, kind, names, &comment, &mut progress)
}

/// Writes a disk to a file that is not there yet, or to a device.
fn write_out(
    disk: &mut Chain,
    kind: Kind,
    names: (&Path, &Path),
    comment: &str,
    progress: &mut Progress,
) -> Result<()> {
    let (_, target) = names;
    let found = fs::metadata(target).ok();
    if found.is_some_and(|found| found.file_type().is_block_device()) {
        return write_device(disk, kind, names, progress);
    }
    let staging = Staging::new(target)?;
    let files = Files::new(&staging.folder);
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let new = NewImage {
        format: kind.format,
        layout: kind.layout,
        size_bytes: disk.size_bytes().next_multiple_of(512),
        comment,
        name: &name,
        parent: None,
        now_epoch: now_epoch(),
        identity: None,
    };
    let made = virt_disk::create(&new, files.new_file(&name)?, &files);
    let mut image = made.map_err(|error| Failure::disk(target, error))?;
    copy(disk, &mut *image, names, progress)?;
    // What was copied is still in its source: the system may write it when it likes, as after `cp`.
    image.flush(false).map_err(|error| Failure::disk(target, error))?;
    drop(image);
    // Order: the file that is asked for comes last; what it leads to is there then.
    let mut names = files.made.take();
    names.reverse();
    staging.release(&names)
}

fn write_device(
    disk: &mut Chain,
    kind: Kind,
    names: (&Path, &Path),
    progress: &mut Progress,
) -> Result<()> {
    let (_, target) = names;
    if kind.format != Format::Raw {
        return Err(Failure::new("a device takes type raw only"));
    }
    let failed = |error| Failure::io("write to", target, error);
    let device = storage(target, true, true).map_err(failed)?;
    let size_bytes = disk.size_bytes();
    if device.size_bytes().map_err(failed)? < size_bytes {
        return Err(Failure::new(format!("'{}' is too small", target.display())));
    }
    // What the disk does not hold has to be zeroes there, too.
    device.zero(0, size_bytes).map_err(failed)?;
    let files = Files::new(target);
    let image = virt_disk::open(Format::Raw, device, &files, true);
    let mut image = image.map_err(|error| Failure::disk(target, error))?;
    copy(disk, &mut *image, names, progress)?;
    flush(&mut *image, &target.to_string_lossy())
}
