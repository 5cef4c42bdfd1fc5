//! What the commands that make images have in common.

use std::path::Path;

use virt_disk::{Chain, Facts, Identity, Image, Layout, NewImage};

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::vdisk::{Change, Vdisk, now_epoch};
use crate::words::Kind;

const SNAPSHOT_COMMENT: &str = "Snapshot image";

/// Stages an empty image on top of others.
pub(super) fn stage_difference(
    change: &mut Change,
    name: &str,
    below: &Facts,
    below_name: &str,
) -> Result<()> {
    let new = NewImage {
        format: below.format,
        layout: Layout::Sparse,
        size_bytes: below.size_bytes,
        comment: SNAPSHOT_COMMENT,
        name,
        parent: Some((below, below_name)),
        now_epoch: now_epoch(),
        identity: None,
    };
    flush(&mut *change.create(&new)?, name)
}

/// Stages an image that takes the place of two neighbours in the chain, the lower one at `at`.
pub(super) fn stage_merged(
    change: &mut Change,
    vdisk: &Vdisk,
    at: usize,
    progress: &mut Progress,
) -> Result<()> {
    let names = vdisk.images()?;
    let mut images = vdisk.chain(at + 2)?.into_images();
    let (Some(mut upper), Some(mut lower)) = (images.pop(), images.pop()) else {
        return Err(Failure::new("there is nothing to merge"));
    };
    let below = images.last().map(|image| image.facts());
    let below = below.zip(at.checked_sub(1).and_then(|at| names.get(at)));
    let name = &names[at + 1];
    let facts = upper.facts();
    let new = NewImage {
        format: facts.format,
        layout: lower.facts().layout,
        size_bytes: facts.size_bytes,
        comment: &lower.facts().comment,
        name,
        parent: below.map(|(facts, name)| (facts, name.as_str())),
        now_epoch: now_epoch(),
        // The children of the upper one know it by this.
        identity: Some(facts.identity.clone()).filter(|identity| *identity != Identity::None),
    };
    let mut merged = change.create(&new)?;
    virt_disk::merge(&mut *lower, &mut *upper, &mut *merged, progress)
        .map_err(|error| Failure::disk(&vdisk.folder, error))?;
    flush(&mut *merged, name)
}

/// Stages an image with all that a disk shows.
pub(super) fn stage_copy(
    change: &mut Change,
    name: &str,
    kind: Kind,
    comment: &str,
    disk: &mut Chain,
    progress: &mut Progress,
) -> Result<()> {
    let new = NewImage {
        format: kind.format,
        layout: kind.layout,
        size_bytes: disk.size_bytes(),
        comment,
        name,
        parent: None,
        now_epoch: now_epoch(),
        identity: None,
    };
    let mut image = change.create(&new)?;
    copy(disk, &mut *image, (name.as_ref(), name.as_ref()), progress)?;
    flush(&mut *image, name)
}

/// Copies a disk into a new image; the names are of what is read and of what is written.
pub(super) fn copy(
    disk: &mut Chain,
    image: &mut dyn Image,
    (from, to): (&Path, &Path),
    progress: &mut Progress,
) -> Result<()> {
    virt_disk::copy(disk, image, progress).map_err(|error| Failure::copying(from, to, error))
}

/// Brings an image to the disk.
pub(super) fn flush(image: &mut dyn Image, name: &str) -> Result<()> {
    image.flush(true).map_err(|error| Failure::disk(name.as_ref(), error))
}
