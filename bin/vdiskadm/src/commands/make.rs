//! Making a vdisk: `create`, and what `clone` and `import` share with it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use virt_disk::{Image, NewImage};
use virt_store::Durability;

use crate::document::{Document, NewDocument, active_file};
use crate::failure::{Failure, Result};
use crate::files::Files;
use crate::staging::Staging;
use crate::users;
use crate::vdisk::{DOCUMENT, change_epoch, now_epoch};
use crate::words::{Kind, Name, Words, parse_size};

/// What a new vdisk is.
pub(super) struct NewVdisk<'a> {
    pub(super) folder: &'a Path,
    pub(super) kind: Kind,
    pub(super) size_bytes: u64,
    /// Also kept inside the image, where its format can.
    pub(super) comment: Option<&'a str>,
}

/// `create -s SIZE [-t TYPE[:OPTION]] [-c COMMENT] VDNAME`
pub(crate) fn create(words: &Words) -> Result<()> {
    let size_bytes = parse_size(words.needed('s', "size")?)?;
    let kind = Kind::parse_vdisk(words.value('t'))?;
    let [name] = words.operands(["vdname"])?;
    let folder = Name::vdisk(name)?;
    let new = NewVdisk { folder: &folder, kind, size_bytes, comment: words.value('c') };
    make(&new, |_| Ok(()))
}

/// Makes a vdisk whose image `fill` writes. Until all of it is there, nothing of it is.
pub(super) fn make(
    new: &NewVdisk<'_>,
    fill: impl FnOnce(&mut dyn Image) -> Result<()>,
) -> Result<()> {
    let staging = Staging::new(new.folder)?;
    let files = Files::new(&staging.folder);
    let name = active_file(new.kind.format);
    let path = staging.folder.join(&name);
    let image = NewImage {
        format: new.kind.format,
        layout: new.kind.layout,
        size_bytes: new.size_bytes,
        comment: new.comment.unwrap_or_default(),
        name: &name,
        parent: None,
        now_epoch: now_epoch(),
        identity: None,
    };
    let made = virt_disk::create(&image, files.new_file(&name)?, &files);
    let mut image = made.map_err(|error| Failure::disk(new.folder, error))?;
    fill(&mut *image)?;
    image.flush(true).map_err(|error| Failure::disk(new.folder, error))?;
    drop(image);
    for file in files.made.borrow().iter() {
        let path = staging.folder.join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(|error| Failure::io("set the mode of", &path, error))?;
    }
    describe(new, &staging, &path)?;
    staging.commit()
}

/// Writes the document beside the data.
pub(super) fn describe(new: &NewVdisk<'_>, staging: &Staging, data: &Path) -> Result<()> {
    let found = fs::metadata(data).map_err(|error| Failure::io("inspect", data, error))?;
    let document = Document::new(&NewDocument {
        name: &new.folder.file_name().unwrap_or_default().to_string_lossy(),
        kind: new.kind,
        size_bytes: new.size_bytes,
        owner: &users::name(found.uid()),
        description: new.comment.filter(|comment| !comment.is_empty()).unwrap_or("none"),
        created_epoch: change_epoch(data)?,
    });
    let path = staging.folder.join(DOCUMENT);
    virt_store::write(&path, document.print().as_bytes(), 0o644, Durability::Machine)?;
    // Whatever the umask says, others may read what a vdisk is.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
        .map_err(|error| Failure::io("set the mode of", &path, error))
}
