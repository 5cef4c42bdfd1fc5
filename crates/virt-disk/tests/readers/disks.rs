//! Disks with known content: random writes made in an image and in memory at once.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use virt_disk::{
    Chain, DiskError, FileStorage, Format, Layout, Neighbours, NewImage, Result, Storage, create,
    open,
};

/// A folder whose files an image may name.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn storage(&self, name: &str, writable: bool) -> Box<dyn Storage> {
        let file = OpenOptions::new().read(true).write(writable).open(self.0.join(name)).unwrap();
        Box::new(FileStorage::new(file).unwrap())
    }

    pub(crate) fn new_file(&self, name: &str) -> Box<dyn Storage> {
        let path = self.0.join(name);
        let mut options = OpenOptions::new();
        let file: File = options.read(true).write(true).create_new(true).open(path).unwrap();
        Box::new(FileStorage::new(file).unwrap())
    }
}

impl Neighbours for Folder {
    fn open(&self, name: &str, writable: bool) -> Result<Box<dyn Storage>> {
        if name.contains('/') || !self.0.join(name).is_file() {
            return Err(DiskError::ForeignFile(name.to_owned()));
        }
        Ok(self.storage(name, writable))
    }

    fn create(&self, name: &str) -> Result<Box<dyn Storage>> {
        Ok(self.new_file(name))
    }
}

/// Numbers that are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A disk, what it holds, and the names of its images, oldest first.
pub(crate) struct Disk {
    pub(crate) folder: Folder,
    pub(crate) format: Format,
    pub(crate) names: Vec<String>,
    pub(crate) content: Vec<u8>,
    random: Random,
}

impl Disk {
    /// A new disk in a folder, with nothing on it.
    pub(crate) fn new(
        dir: &Path,
        format: Format,
        layout: Layout,
        size_bytes: usize,
        seed: u64,
    ) -> Self {
        let folder = Folder(dir.to_owned());
        let name = format!("disk0.{format}");
        let new = new_image(format, layout, size_bytes as u64, &name);
        let mut image = create(&new, folder.new_file(&name), &folder).unwrap();
        image.flush(false).unwrap();
        let content = vec![0; size_bytes];
        Self { folder, format, names: vec![name], content, random: Random(seed) }
    }

    /// All images, the newest to be written.
    pub(crate) fn open(&self, writable: bool) -> Chain {
        let last = self.names.len() - 1;
        let images = self.names.iter().enumerate().map(|(at, name)| {
            let writable = writable && at == last;
            let storage = self.folder.storage(name, writable);
            open(self.format, storage, &self.folder, writable).unwrap()
        });
        Chain::new(images.collect()).unwrap()
    }

    /// Puts a difference image on top.
    pub(crate) fn snapshot(&mut self) {
        let chain = self.open(false);
        let name = format!("disk{}.{}", self.names.len(), self.format);
        let below = self.names.last().unwrap();
        let mut new = new_image(self.format, Layout::Sparse, self.content.len() as u64, &name);
        new.parent = Some((chain.facts(), below));
        create(&new, self.folder.new_file(&name), &self.folder).unwrap();
        self.names.push(name);
    }

    /// Random writes of all kinds of sizes, and stretches made zero again.
    pub(crate) fn scribble(&mut self, writes: usize) {
        let mut chain = self.open(true);
        for _ in 0..writes {
            let sectors = self.content.len() as u64 / 512;
            let length = match self.random.below(8) {
                0 => 300_000 / 512,
                1 => 70_000 / 512,
                2 | 3 => 8,
                _ => 1,
            };
            let start = self.random.below(sectors);
            let length = length.min(sectors - start);
            let (mut from, mut to) = ((start * 512) as usize, ((start + length) * 512) as usize);
            if self.random.below(10) == 0 {
                // Not even on a sector.
                (from, to) = (from + 7, (to - 5).max(from + 8));
            }
            let part = &mut self.content[from..to];
            match self.random.below(5) {
                0 => {
                    part.fill(0);
                    chain.write_zeroes(from as u64, (to - from) as u64).unwrap();
                }
                1 => {
                    part.fill(0);
                    chain.write(from as u64, part).unwrap();
                }
                _ => {
                    let value = self.random.below(255) as u8 + 1;
                    for (at, byte) in part.iter_mut().enumerate() {
                        *byte = value ^ (at / 512) as u8;
                    }
                    chain.write(from as u64, part).unwrap();
                }
            }
        }
        chain.flush(true).unwrap();
    }

    #[track_caller]
    pub(crate) fn check_ours(&self) {
        assert_same(&read_all(&mut self.open(false)), &self.content, "read by ourselves");
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.0.join(self.names.last().unwrap())
    }
}

pub(crate) fn new_image(
    format: Format,
    layout: Layout,
    size_bytes: u64,
    name: &str,
) -> NewImage<'_> {
    NewImage {
        format,
        layout,
        size_bytes,
        comment: "a comment",
        name,
        parent: None,
        now_epoch: 1_700_000_000,
        identity: None,
    }
}

/// The whole disk, in pieces of an odd size.
pub(crate) fn read_all(chain: &mut Chain) -> Vec<u8> {
    let mut content = vec![0; chain.size_bytes() as usize];
    for (at, part) in content.chunks_mut(99_991).enumerate() {
        chain.read(at as u64 * 99_991, part).unwrap();
    }
    content
}

#[track_caller]
pub(crate) fn assert_same(found: &[u8], wanted: &[u8], by: &str) {
    if let Some(at) = found.iter().zip(wanted).position(|(found, wanted)| found != wanted) {
        panic!("{by}: byte {at:#x} is {:#x}, not {:#x}", found[at], wanted[at]);
    }
    assert_eq!(found.len(), wanted.len(), "{by}: the length");
}
