//! The counts of clusters: how often each is used, two bytes each.

use crate::error::{DiskError, Result};
use crate::meta::Meta;
use crate::qcow2::{NAME, bad};
use crate::storage::Storage;

/// Where counts are found.
pub(super) struct Counts {
    pub(super) table: u64,
    pub(super) table_bytes: u64,
    pub(super) cluster_bytes: u64,
}

impl Counts {
    /// Counts the clusters of a stretch at the end of the file once each. Blocks of counts that are
    /// missing are put behind it; says where the file ends then.
    pub(super) fn add(
        &self,
        meta: &mut Meta,
        storage: &dyn Storage,
        start: u64,
        end: u64,
    ) -> Result<u64> {
        let mut file_end = end;
        let mut at = start;
        while at < file_end {
            // Counts of a run of clusters inside one block are written at once.
            let per_block = self.block_covers();
            let stop = (at - at % per_block + per_block).min(file_end);
            let block = match self.block(meta, storage, at)? {
                0 => {
                    let block = file_end;
                    file_end += self.cluster_bytes;
                    self.set_block(meta, storage, at, block)?;
                    // The new block may lie in the stretch that it counts itself.
                    continue;
                }
                block => block,
            };
            let ones: Vec<u8> =
                (0..(stop - at) / self.cluster_bytes).flat_map(|_| 1_u16.to_be_bytes()).collect();
            meta.put(storage, block + at % per_block / self.cluster_bytes * 2, &ones)?;
            at = stop;
        }
        Ok(file_end)
    }

    /// How many bytes of the file one block counts.
    fn block_covers(&self) -> u64 {
        self.cluster_bytes / 2 * self.cluster_bytes
    }

    fn entry_at(&self, at: u64) -> Result<u64> {
        let inside = at / self.block_covers() * 8;
        if inside >= self.table_bytes {
            // Everybody makes the table large enough for terabytes.
            return Err(DiskError::Unsupported { format: NAME, what: "a longer table of counts" });
        }
        Ok(self.table + inside)
    }

    fn block(&self, meta: &mut Meta, storage: &dyn Storage, at: u64) -> Result<u64> {
        let entry = meta.get(storage, self.entry_at(at)?, NAME)?;
        let block = u64::from_be_bytes(entry);
        if block.is_multiple_of(self.cluster_bytes) {
            Ok(block)
        } else {
            Err(bad("a block of counts does not lie on a cluster"))
        }
    }

    fn set_block(&self, meta: &mut Meta, storage: &dyn Storage, at: u64, block: u64) -> Result<()> {
        let zeroes = vec![0; self.cluster_bytes as usize];
        meta.put(storage, block, &zeroes)?;
        meta.put(storage, self.entry_at(at)?, &block.to_be_bytes())
    }
}
