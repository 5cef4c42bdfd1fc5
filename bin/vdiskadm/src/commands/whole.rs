//! A vdisk of an image's files as they are: nothing of their content is looked at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use virt_disk::{Format, Progress, Storage, flat_name, renew, retarget};

use crate::commands::make::{NewVdisk, describe};
use crate::document::active_file;
use crate::failure::{Failure, Result};
use crate::files::{Files, storage};
use crate::staging::Staging;

/// What becomes of the files that a vdisk is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// They are the vdisk's from now on.
    Taken,
    /// They stay, so the copies are images of their own.
    Copied,
}

/// Makes a vdisk of the files of one image: its own, and its flat extent where it has one.
pub(super) fn make_of_files(
    new: &NewVdisk<'_>,
    paths: &[PathBuf],
    origin: Origin,
    progress: &mut dyn Progress,
) -> Result<()> {
    let staging = Staging::new(new.folder)?;
    let files = Files::new(&staging.folder);
    let name = active_file(new.kind.format);
    let flat = (paths.len() > 1).then(|| flat_name(&name));
    for (number, path) in paths.iter().enumerate() {
        let is_first = number == 0;
        let target = if is_first { name.clone() } else { flat_name(&name) };
        let is_changed = is_first && (flat.is_some() || origin == Origin::Copied);
        // Order: each file has both names until the vdisk is whole, so that it is never without one.
        let is_linked = !is_changed
            && origin == Origin::Taken
            && fs::hard_link(path, staging.folder.join(&target)).is_ok();
        if !is_linked {
            let from = storage(path, false, origin == Origin::Taken);
            let from = from.map_err(|error| Failure::io("open", path, error))?;
            let to = files.new_file(&target)?;
            virt_disk::copy_file(&*from, &*to, progress)
                .map_err(|error| Failure::copying(path, new.folder, error))?;
            if is_changed {
                change(new, &*to, origin, flat.as_deref(), path)?;
            }
            to.sync().map_err(|error| Failure::io("synchronise", new.folder, error))?;
        }
        let target = staging.folder.join(&target);
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600))
            .map_err(|error| Failure::io("set the mode of", &target, error))?;
    }
    describe(new, &staging, &staging.folder.join(&name))?;
    staging.commit()?;
    if origin == Origin::Taken {
        for path in paths {
            virt_store::remove(path)?;
        }
    }
    Ok(())
}

/// Changes in a copy what says where its extent is and which image it is.
fn change(
    new: &NewVdisk<'_>,
    to: &dyn Storage,
    origin: Origin,
    flat: Option<&str>,
    path: &Path,
) -> Result<()> {
    let format: Format = new.kind.format;
    let patches = match origin {
        Origin::Taken => retarget(format, to, None, flat),
        Origin::Copied => renew(format, to, new.comment.unwrap_or_default(), flat),
    };
    for patch in patches.map_err(|error| Failure::disk(path, error))? {
        let end = patch.offset.saturating_add(patch.bytes.len() as u64);
        to.write_all_at(&patch.bytes, patch.offset)
            .and_then(|()| if patch.ends_file { to.set_size(end) } else { Ok(()) })
            .map_err(|error| Failure::io("change", new.folder, error))?;
    }
    Ok(())
}
