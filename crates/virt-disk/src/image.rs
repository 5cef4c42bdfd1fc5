//! One image of any format: what it says of itself, and how it is read and written.

use std::fmt;
use std::str::FromStr;

use crate::error::{DiskError, Result};
use crate::storage::Storage;

/// Limit: no disk here is larger, so no sum of two offsets overflows.
pub const DISK_BYTES_MAX: u64 = 1 << 56;

/// The formats by their names and file extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Raw,
    Vmdk,
    Vdi,
    Vhd,
    Qcow2,
    Vhdx,
}

impl Format {
    pub const ALL: [Self; 6] =
        [Self::Raw, Self::Vmdk, Self::Vdi, Self::Vhd, Self::Qcow2, Self::Vhdx];

    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhd => "vhd",
            Self::Qcow2 => "qcow2",
            Self::Vhdx => "vhdx",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = ();

    /// Case does not matter.
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(text)).ok_or(())
    }
}

/// How an image lays its content out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Only what was written takes room.
    Sparse,
    /// Every byte has its place.
    Fixed,
    /// VMDK's compressed form, written once from front to back.
    Stream,
}

/// What tells an image from all others; its children name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    None,
    /// VMDK's content number.
    Content(u32),
    Uuid([u8; 16]),
    /// All that there is, is a name.
    Name,
}

/// What an image says of the one below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    pub identity: Identity,
    /// The file's name, where the format has it. Only ever compared or shown, never followed.
    pub name: String,
}

/// What an image is.
#[derive(Clone, Debug)]
pub struct Facts {
    pub format: Format,
    pub layout: Layout,
    pub size_bytes: u64,
    /// Content is kept in units of this size: a write of less copies the rest from below.
    pub unit_bytes: u64,
    pub comment: String,
    pub identity: Identity,
    pub parent: Option<Parent>,
}

impl Facts {
    /// Whether this image was made on top of `parent`.
    pub fn is_child_of(&self, parent: &Facts) -> bool {
        match &self.parent {
            None => false,
            Some(named) if named.identity == Identity::Name => true,
            Some(named) => {
                named.identity == parent.identity
                    && parent.identity != Identity::None
                    && !matches!((&self.identity, &parent.identity),
                        (Identity::Uuid(own), Identity::Uuid(theirs)) if own == theirs)
            }
        }
    }
}

/// Where the content of a stretch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// This image holds it.
    Data,
    /// Zeroes, whatever lies below.
    Zero,
    /// The image below holds it; zeroes where there is none.
    Absent,
}

/// A stretch of one kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub length: u64,
    pub content: Content,
}

impl Extent {
    pub(crate) fn new(length: u64, content: Content) -> Self {
        Self { length, content }
    }
}

/// An open image. It knows nothing of those below it: [`crate::Chain`] puts them together.
pub trait Image: Send {
    fn facts(&self) -> &Facts;

    /// What stands at `offset`, for at most `limit` bytes and at least one. Both must be in range.
    fn map(&mut self, offset: u64, limit: u64) -> Result<Extent>;

    /// Reads this image's own content; zeroes where it has none.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Writes. Where a unit is absent and `data` covers a part of it, the rest becomes zeroes, so
    /// the caller completes it first where something lies below.
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()>;

    /// Makes whole units read as zeroes whatever lies below, without storing them where it can.
    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()>;

    /// Everything written is wholly in the file, headers too; with `durable` on the disk.
    fn flush(&mut self, durable: bool) -> Result<()>;

    /// Where in its one file the data at `offset` begin, and how far they go on there; `None` where
    /// the format has but one place for them, or packs them.
    fn stored_at(&mut self, _offset: u64, _limit: u64) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }
}

/// The checks that every image makes before it looks anything up.
pub(crate) fn check_range(facts: &Facts, offset: u64, length: u64) -> Result<()> {
    match offset.checked_add(length) {
        Some(end) if end <= facts.size_bytes => Ok(()),
        _ => Err(DiskError::OutOfRange),
    }
}

/// Files beside an image, which it names: the extents of a VMDK.
pub trait Neighbours {
    /// Opens the file of this name; anything that is not a plain name of a file beside the image
    /// is for the implementor to refuse.
    fn open(&self, name: &str, writable: bool) -> Result<Box<dyn Storage>>;

    /// Makes a new file of this name.
    fn create(&self, name: &str) -> Result<Box<dyn Storage>>;
}

/// No neighbours at all: what an image names is refused.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Neighbours for Alone {
    fn open(&self, name: &str, _writable: bool) -> Result<Box<dyn Storage>> {
        Err(DiskError::ForeignFile(name.to_owned()))
    }

    fn create(&self, name: &str) -> Result<Box<dyn Storage>> {
        Err(DiskError::ForeignFile(name.to_owned()))
    }
}

/// What to create.
#[derive(Clone, Debug)]
pub struct NewImage<'a> {
    pub format: Format,
    pub layout: Layout,
    pub size_bytes: u64,
    pub comment: &'a str,
    /// The name of the file it is written to.
    pub name: &'a str,
    /// The image below and the name of its file, for a difference image.
    pub parent: Option<(&'a Facts, &'a str)>,
    /// Seconds since 1970, for formats that keep a time.
    pub now_epoch: u64,
    /// The identity that its children name already; else it gets one of its own.
    pub identity: Option<Identity>,
}
