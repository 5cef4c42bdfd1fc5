//! The header of a qcow2: what it says, and what of it keeps us from reading or writing.

use crate::bytes::{be32, be64, put};
use crate::error::{DiskError, Result, io};
use crate::qcow2::counts::Counts;
use crate::qcow2::{NAME, bad};
use crate::storage::{Storage, read_padded};

pub(super) const MAGIC: &[u8; 4] = b"QFI\xfb";
pub(super) const HEADER_BYTES: usize = 104;

/// Limit: as everywhere.
const BACKING_BYTES_MAX: usize = 1023;

/// The file was not closed: its counts may be wrong. Content is right.
const DIRTY: u64 = 1;
/// The compression's kind is told; only when it is another than deflate is the header different.
const COMPRESSION_KIND: u64 = 1 << 3;

/// Places of the header's fields.
pub(super) mod at {
    pub(crate) const VERSION: usize = 4;
    pub(crate) const BACKING: usize = 8;
    pub(crate) const BACKING_SIZE: usize = 16;
    pub(crate) const CLUSTER_BITS: usize = 20;
    pub(crate) const SIZE: usize = 24;
    pub(crate) const ENCRYPTION: usize = 32;
    pub(crate) const L1_ENTRIES: usize = 36;
    pub(crate) const L1: usize = 40;
    pub(crate) const COUNTS: usize = 48;
    pub(crate) const COUNTS_CLUSTERS: usize = 56;
    pub(crate) const SNAPSHOTS: usize = 60;
    pub(crate) const INCOMPATIBLE: usize = 72;
    pub(crate) const AUTOCLEAR: usize = 88;
    pub(crate) const COUNT_ORDER: usize = 96;
    pub(crate) const HEADER_SIZE: usize = 100;
}

pub(crate) fn is_one(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// What a header says.
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) size_bytes: u64,
    pub(super) l1: u64,
    pub(super) backing: Option<String>,
    counts: u64,
    counts_clusters: u64,
    count_order: u32,
    snapshots: u32,
    is_dirty: bool,
}

impl Header {
    pub(super) fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    pub(super) fn read(storage: &dyn Storage, file_bytes: u64) -> Result<Self> {
        let mut head = [0; HEADER_BYTES];
        read_padded(storage, &mut head, 0)?;
        let version = be32(&head, at::VERSION);
        if !is_one(&head) || !(2..=3).contains(&version) {
            return Err(bad("has an unknown version"));
        }
        let unsupported = |what| Err(DiskError::Unsupported { format: NAME, what });
        let incompatible = if version >= 3 { be64(&head, at::INCOMPATIBLE) } else { 0 };
        if incompatible & COMPRESSION_KIND != 0 {
            return unsupported("its compression");
        }
        if incompatible & !DIRTY != 0 {
            return unsupported("one of its features");
        }
        if be32(&head, at::ENCRYPTION) != 0 {
            return unsupported("encryption");
        }
        let cluster_bits = be32(&head, at::CLUSTER_BITS);
        if !(9..=21).contains(&cluster_bits) {
            return Err(bad("has clusters of an odd size"));
        }
        let cluster_bytes = 1_u64 << cluster_bits;
        let size_bytes = be64(&head, at::SIZE);
        let entries = u64::from(be32(&head, at::L1_ENTRIES));
        let l1 = be64(&head, at::L1);
        let needed = size_bytes.div_ceil(cluster_bytes * (cluster_bytes / 8));
        if size_bytes > crate::image::DISK_BYTES_MAX || needed > entries {
            return Err(DiskError::Size { format: NAME, bytes: size_bytes });
        }
        let l1_end = l1.checked_add(entries * 8);
        if !l1.is_multiple_of(cluster_bytes) || l1 == 0 || l1_end.is_none_or(|end| end > file_bytes)
        {
            return Err(bad("its table does not lie inside the file"));
        }
        Ok(Self {
            version,
            cluster_bits,
            size_bytes,
            l1,
            backing: backing(storage, &head)?,
            counts: be64(&head, at::COUNTS),
            counts_clusters: u64::from(be32(&head, at::COUNTS_CLUSTERS)),
            count_order: if version >= 3 { be32(&head, at::COUNT_ORDER) } else { 4 },
            snapshots: be32(&head, at::SNAPSHOTS),
            is_dirty: incompatible & DIRTY != 0,
        })
    }

    /// Refuses what cannot be written, and forgets what a writer that does not know it must.
    pub(super) fn begin_writing(&self, storage: &dyn Storage) -> Result<Counts> {
        let unsupported = |what| Err(DiskError::Unsupported { format: NAME, what });
        if self.is_dirty {
            return unsupported("writing to an image that was not closed");
        }
        if self.snapshots != 0 {
            return unsupported("writing to an image with snapshots inside");
        }
        if self.count_order != 4 {
            return unsupported("writing with counts of this width");
        }
        if !self.counts.is_multiple_of(self.cluster_bytes()) || self.counts == 0 {
            return Err(bad("its table of counts does not lie on a cluster"));
        }
        if self.version >= 3 {
            let cleared = 0_u64.to_be_bytes();
            let place = at::AUTOCLEAR as u64;
            storage.write_all_at(&cleared, place).map_err(io("write the header"))?;
        }
        Ok(Counts {
            table: self.counts,
            table_bytes: self.counts_clusters.saturating_mul(self.cluster_bytes()),
            cluster_bytes: self.cluster_bytes(),
        })
    }
}

/// The name of the image below, as the header has it.
fn backing(storage: &dyn Storage, head: &[u8]) -> Result<Option<String>> {
    let (offset, length) = (be64(head, at::BACKING), be32(head, at::BACKING_SIZE) as usize);
    if offset == 0 {
        return Ok(None);
    }
    if length > BACKING_BYTES_MAX {
        return Err(bad("names a backing file of absurd length"));
    }
    let mut name = vec![0; length];
    read_padded(storage, &mut name, offset)?;
    Ok(Some(String::from_utf8_lossy(&name).into_owned()))
}

/// The changes that give an image a parent of another name: places and bytes.
pub(crate) fn retarget(storage: &dyn Storage, name: &str) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut head = [0; HEADER_BYTES];
    read_padded(storage, &mut head, 0)?;
    let offset = be64(&head, at::BACKING);
    let cluster_bytes = 1_u64 << be32(&head, at::CLUSTER_BITS).clamp(9, 21);
    let end = offset.checked_add(name.len() as u64);
    if offset == 0 || name.len() > BACKING_BYTES_MAX || end.is_none_or(|end| end > cluster_bytes) {
        return Err(bad("has no room for the name of its backing file"));
    }
    let mut size = [0; 4];
    put(&mut size, 0, &(name.len() as u32).to_be_bytes());
    Ok(vec![(offset, name.as_bytes().to_vec()), (at::BACKING_SIZE as u64, size.to_vec())])
}
