//! Copying a disk into an empty image: holes stay holes, zeroes become holes.

use crate::chain::Chain;
use crate::error::{DiskError, Result, io};
use crate::image::{Content, Image};

/// One step; progress is told and a cancel is seen between two.
const STEP_BYTES: u64 = 2 << 20;

/// Stretches of zeroes this long are not stored.
const ZERO_BYTES: usize = 65536;

/// What a long copy tells, and asks, between its steps.
pub trait Progress {
    /// Called often; `true` ends the copy with [`DiskError::Cancelled`].
    fn step(&mut self, done_bytes: u64, total_bytes: u64) -> bool;
}

/// Says nothing and never cancels.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&mut self, _done_bytes: u64, _total_bytes: u64) -> bool {
        false
    }
}

/// Copies all content of `from` into `to`, which is new and reads as zeroes.
pub fn copy(from: &mut Chain, to: &mut dyn Image, progress: &mut dyn Progress) -> Result<()> {
    let total = from.size_bytes().min(to.facts().size_bytes);
    let mut buffer = vec![0; STEP_BYTES as usize];
    let mut at = 0;
    while at < total {
        if progress.step(at, total) {
            return Err(DiskError::Cancelled);
        }
        let extent = from.map(at, total - at)?;
        let end = at + extent.length;
        if extent.content != Content::Data {
            at = end;
        }
        while at < end {
            if progress.step(at, total) {
                return Err(DiskError::Cancelled);
            }
            // Steps end where units end, so that no unit is written twice.
            let step = (STEP_BYTES - at % STEP_BYTES).min(end - at);
            let part = &mut buffer[..step as usize];
            from.read(at, part)?;
            copy_stored(to, at, part)?;
            at += step;
        }
    }
    progress.step(total, total);
    Ok(())
}

/// Copies what two neighbouring images of a chain hold, the upper one first, into a new image that
/// is to stand in the place of both.
pub fn merge(
    lower: &mut dyn Image,
    upper: &mut dyn Image,
    to: &mut dyn Image,
    progress: &mut dyn Progress,
) -> Result<()> {
    let total = to.facts().size_bytes;
    let has_below = to.facts().parent.is_some();
    let mut buffer = vec![0; STEP_BYTES as usize];
    let mut at = 0;
    while at < total {
        if progress.step(at, total) {
            return Err(DiskError::Cancelled);
        }
        let mut found = upper.map(at, STEP_BYTES.min(total - at))?;
        let is_upper = found.content != Content::Absent;
        let lower_left = lower.facts().size_bytes.saturating_sub(at);
        if !is_upper && lower_left > 0 {
            found = lower.map(at, found.length.min(lower_left))?;
        }
        let part = &mut buffer[..found.length as usize];
        match found.content {
            Content::Absent => {}
            Content::Data if is_upper => upper.read(at, part)?,
            Content::Data => lower.read(at, part)?,
            Content::Zero => part.fill(0),
        }
        match found.content {
            Content::Absent => {}
            _ if has_below => to.write(at, part)?,
            _ => copy_stored(to, at, part)?,
        }
        at += found.length;
    }
    progress.step(total, total);
    Ok(())
}

/// Writes what is not zeroes, in pieces that lie as units do.
fn copy_stored(to: &mut dyn Image, offset: u64, data: &[u8]) -> Result<()> {
    let mut start = None;
    let mut at = 0;
    while at < data.len() {
        let position = offset + at as u64;
        let aligned = ZERO_BYTES - (position % ZERO_BYTES as u64) as usize;
        let end = (at + aligned).min(data.len());
        match (is_zero(&data[at..end]), start) {
            (true, Some(from)) => {
                to.write(offset + from as u64, &data[from..at])?;
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
        at = end;
    }
    if let Some(from) = start {
        to.write(offset + from as u64, &data[from..])?;
    }
    Ok(())
}

/// Whether all bytes are zero; most stretches that are not differ in their first bytes.
pub(crate) fn is_zero(data: &[u8]) -> bool {
    let (head, body) = data.split_at(data.len().min(16));
    if head.iter().any(|byte| *byte != 0) {
        return false;
    }
    let chunks = body.chunks_exact(64);
    let rest = chunks.remainder().iter().all(|byte| *byte == 0);
    rest && chunks.into_iter().all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

/// Copies one file's bytes to another, which is empty: shared where the file system can, else by
/// the kernel where that can, holes as holes.
pub fn copy_file(
    from: &dyn crate::Storage,
    to: &dyn crate::Storage,
    progress: &mut dyn Progress,
) -> Result<()> {
    let total = from.size_bytes().map_err(io("measure"))?;
    if from.share_with(to) {
        progress.step(total, total);
        return Ok(());
    }
    to.set_size(total).map_err(io("enlarge"))?;
    let mut buffer = Vec::new();
    let mut at = 0;
    while let Some(data) = from.next_data(at).map_err(io("find holes"))? {
        at = data.start;
        while at < data.end {
            if progress.step(at, total) {
                return Err(DiskError::Cancelled);
            }
            let step = STEP_BYTES.min(data.end - at);
            let copied = from.copy_to(at, to, at, step).map_err(io("copy"))?;
            if copied < step {
                buffer.resize(STEP_BYTES as usize, 0);
                let rest = &mut buffer[..(step - copied) as usize];
                let read = from.read_at(rest, at + copied).map_err(io("read"))?;
                to.write_all_at(&rest[..read], at + copied).map_err(io("write"))?;
            }
            at += step;
        }
    }
    progress.step(total, total);
    Ok(())
}
