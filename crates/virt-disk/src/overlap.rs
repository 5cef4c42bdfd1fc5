//! Whether an image keeps two parts of its disk in one place of its file.
//!
//! Reading such an image does no harm; writing to one part of it would change the other.

use crate::error::{DiskError, Result};
use crate::image::{Content, Image};

/// Limit: stretches of an image that lie apart from each other; their places take 16 MiB.
const STRETCHES_MAX: usize = 1 << 20;

/// Refuses an image whose stretches lie over one another.
pub fn check_overlaps(image: &mut dyn Image) -> Result<()> {
    let format = image.facts().format.name();
    let size_bytes = image.facts().size_bytes;
    let mut places: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size_bytes {
        let extent = image.map(at, size_bytes - at)?;
        let stored = match extent.content {
            Content::Data => image.stored_at(at, extent.length)?,
            Content::Zero | Content::Absent => None,
        };
        let Some((place, length)) = stored else {
            at += extent.length;
            continue;
        };
        let is_full = places.len() == STRETCHES_MAX;
        match places.last_mut() {
            Some((start, held)) if *start + *held == place => *held += length,
            _ if is_full => {
                return Err(DiskError::Bad { format, what: "lies in too many pieces" });
            }
            _ => places.push((place, length)),
        }
        at += length;
    }
    places.sort_unstable();
    match places.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
        true => Err(DiskError::Bad { format, what: "keeps two parts of the disk in one place" }),
        false => Ok(()),
    }
}
