//! Looking at vdisks: `list` and `verify`.

use std::path::Path;

use serde_json::json;

use crate::document::Document;
use crate::failure::{Failure, Result};
use crate::out;
use crate::vdisk::{Access, DOCUMENT, Vdisk};
use crate::words::{Name, Words};

/// `list [-fp] VDNAME`
pub(crate) fn list(words: &Words) -> Result<()> {
    let [name] = words.operands(["vdname"])?;
    let folder = Name::vdisk(name)?;
    let vdisk = Vdisk::open(&folder, Access::Look)?;
    if words.is_json()? {
        return list_json(&vdisk);
    }
    let lines = match words.has('f') {
        true => files(&vdisk)?,
        false => names(&vdisk)?,
    };
    for (kind, line) in lines {
        match words.has('p') {
            true => out(&format!("{kind}:{line}"))?,
            false => out(&line)?,
        }
    }
    Ok(())
}

/// The snapshots, oldest first, and the vdisk.
fn names(vdisk: &Vdisk) -> Result<Vec<(&'static str, String)>> {
    let name = vdisk.name();
    let snapshots = vdisk.document.snapshots()?.into_iter();
    let mut lines: Vec<_> =
        snapshots.map(|snapshot| ("snapshot", format!("{name}@{}", snapshot.name))).collect();
    lines.push(("file", name));
    Ok(lines)
}

/// The document, and every file with content.
fn files(vdisk: &Vdisk) -> Result<Vec<(&'static str, String)>> {
    let path = |file: &str| vdisk.folder.join(file).display().to_string();
    let mut lines = vec![("store", path(DOCUMENT))];
    for file in vdisk.files()? {
        let kind = if file.contains('@') { "snapshot" } else { "file" };
        lines.push((kind, path(&file)));
    }
    Ok(lines)
}

fn list_json(vdisk: &Vdisk) -> Result<()> {
    let path = |file: &String| vdisk.folder.join(file).display().to_string();
    let entry = |name: String, file: &str, created: Option<i64>| -> Result<serde_json::Value> {
        let files: Vec<String> = vdisk.files_of(file)?.iter().map(path).collect();
        Ok(json!({ "name": name, "creation-time-epoch": created, "files": files }))
    };
    let name = vdisk.name();
    let mut snapshots = Vec::new();
    for snapshot in vdisk.document.snapshots()? {
        let full = format!("{name}@{}", snapshot.name);
        snapshots.push(entry(full, &snapshot.file, Some(snapshot.created_epoch))?);
    }
    let created = vdisk.document.text("creation-time-epoch").and_then(|text| text.parse().ok());
    let mut whole = entry(name, &vdisk.active(), created)?;
    whole["store"] = json!(path(&DOCUMENT.to_owned()));
    whole["snapshots"] = json!(snapshots);
    out(&whole.to_string())
}

/// `verify VDNAME`: says nothing, but by its exit code.
pub(crate) fn verify(words: &Words) -> Result<()> {
    let [name] = words.operands(["vdname"])?;
    let is_json = words.is_json()?;
    let found = Name::vdisk(name).and_then(|folder| check(&folder));
    if is_json {
        let error = found.as_ref().err().map(ToString::to_string);
        out(&json!({ "vdisk": name, "ok": found.is_ok(), "error": error }).to_string())?;
    }
    found.map_err(|_| Failure::new(""))
}

/// All images open, belong together, and are as large as the document says.
fn check(folder: &Path) -> Result<()> {
    let vdisk = Vdisk::open(folder, Access::Look)?;
    let disk = vdisk.disk()?;
    let size_bytes = disk.size_bytes();
    for mut image in disk.into_images() {
        virt_disk::check_overlaps(&mut *image).map_err(|error| Failure::disk(folder, error))?;
    }
    if size_bytes != vdisk.document.size_bytes()? {
        return Err(Failure::new("its size is not the one that it had"));
    }
    Document::kind(&vdisk.document).map(|_| ())
}
