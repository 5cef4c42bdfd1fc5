//! Disk images: raw, VMDK, VDI, VHD and qcow2, in chains, on a storage trait; no paths. VHDX is read.
//!
//! An image is opened with [`open`] or made with [`create`]. It lies on a [`Storage`] and may name
//! others, which its opener is asked for through [`Neighbours`]; nothing here opens a file by
//! itself, so an image cannot lead anywhere. [`Chain`] puts images on top of each other together.
//!
//! ```
//! use virt_disk::{Alone, Chain, Format, Layout, MemoryStorage, NewImage, create};
//! let new = NewImage {
//!     format: Format::Vdi,
//!     layout: Layout::Sparse,
//!     size_bytes: 8 << 20,
//!     comment: "",
//!     name: "disk.vdi",
//!     parent: None,
//!     now_epoch: 0,
//!     identity: None,
//! };
//! let image = create(&new, Box::new(MemoryStorage::new()), &Alone).unwrap();
//! let mut disk = Chain::new(vec![image]).unwrap();
//! disk.write(3 << 20, b"written").unwrap();
//! let mut read = [0; 9];
//! disk.read((3 << 20) - 1, &mut read).unwrap();
//! assert_eq!(&read, b"\0written\0");
//! ```

mod bytes;
mod chain;
mod copy;
mod error;
mod file;
mod image;
mod meta;
mod open;
mod overlap;
mod qcow2;
mod raw;
mod storage;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

pub use chain::{CHAIN_IMAGES_MAX, Chain};
pub use copy::{Progress, Quiet, copy, copy_file, merge};
pub use error::{DiskError, Result};
pub use file::FileStorage;
pub use image::{
    Alone, Content, DISK_BYTES_MAX, Extent, Facts, Format, Identity, Image, Layout, Neighbours,
    NewImage, Parent,
};
pub use open::{Patch, create, open, probe, renew, retarget};
pub use overlap::check_overlaps;
pub use storage::{MemoryStorage, Storage};
pub use vmdk::flat_name;
