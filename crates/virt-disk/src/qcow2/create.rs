//! New qcow2 images, of version 3.

use crate::bytes::put;
use crate::error::{DiskError, Result, io};
use crate::image::{Layout, NewImage};
use crate::qcow2::header::{HEADER_BYTES, MAGIC, at};
use crate::qcow2::{NAME, Qcow2};
use crate::storage::Storage;

const CLUSTER_BITS: u32 = 16;
const CLUSTER_BYTES: u64 = 1 << CLUSTER_BITS;
/// Behind the header and its extensions, with room to the end of the cluster.
const BACKING_PLACE: u64 = 1024;
const BACKING_FORMAT: u32 = 0xe279_2aca;

/// Makes an image in an empty file: header, table of counts, one block of them, first table.
pub(crate) fn create(new: &NewImage<'_>, storage: Box<dyn Storage>) -> Result<Qcow2> {
    if new.layout != Layout::Sparse {
        return Err(DiskError::Unsupported { format: NAME, what: "anything but sparse" });
    }
    const COUNTS: u64 = CLUSTER_BYTES;
    const BLOCK: u64 = 2 * CLUSTER_BYTES;
    const L1: u64 = 3 * CLUSTER_BYTES;
    let entries = new.size_bytes.div_ceil(CLUSTER_BYTES / 8 * CLUSTER_BYTES).max(1);
    let l1_clusters = (entries * 8).div_ceil(CLUSTER_BYTES);
    let used = 3 + l1_clusters;
    // Limit: the first block of counts has to count everything made here: 16 PiB.
    if new.size_bytes == 0 || used > CLUSTER_BYTES / 2 || !new.size_bytes.is_multiple_of(512) {
        return Err(DiskError::Size { format: NAME, bytes: new.size_bytes });
    }
    let mut head = vec![0; BACKING_PLACE as usize];
    put(&mut head, 0, MAGIC);
    put(&mut head, at::VERSION, &3_u32.to_be_bytes());
    put(&mut head, at::CLUSTER_BITS, &CLUSTER_BITS.to_be_bytes());
    put(&mut head, at::SIZE, &new.size_bytes.to_be_bytes());
    put(&mut head, at::L1_ENTRIES, &(entries as u32).to_be_bytes());
    put(&mut head, at::L1, &L1.to_be_bytes());
    put(&mut head, at::COUNTS, &COUNTS.to_be_bytes());
    put(&mut head, at::COUNTS_CLUSTERS, &1_u32.to_be_bytes());
    put(&mut head, at::COUNT_ORDER, &4_u32.to_be_bytes());
    put(&mut head, at::HEADER_SIZE, &(HEADER_BYTES as u32).to_be_bytes());
    if let Some((below, name)) = &new.parent {
        let format = below.format.name();
        put(&mut head, at::BACKING, &BACKING_PLACE.to_be_bytes());
        put(&mut head, at::BACKING_SIZE, &(name.len() as u32).to_be_bytes());
        put(&mut head, HEADER_BYTES, &BACKING_FORMAT.to_be_bytes());
        put(&mut head, HEADER_BYTES + 4, &(format.len() as u32).to_be_bytes());
        put(&mut head, HEADER_BYTES + 8, format.as_bytes());
        head.extend_from_slice(name.as_bytes());
    }
    let counts: Vec<u8> = (0..used).flat_map(|_| 1_u16.to_be_bytes()).collect();
    storage.set_size(used * CLUSTER_BYTES).map_err(io("enlarge"))?;
    for (bytes, at) in [(&BLOCK.to_be_bytes()[..], COUNTS), (&counts, BLOCK), (&head, 0)] {
        storage.write_all_at(bytes, at).map_err(io("write the header"))?;
    }
    Qcow2::open(storage)
}
