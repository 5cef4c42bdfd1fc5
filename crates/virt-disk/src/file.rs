//! Files and block devices as storage; they are given open, so no path is known here.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt};

use rustix::fs::{FallocateFlags, SeekFrom};

use crate::storage::Storage;

/// An open file or block device.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    /// A device has a size that nobody changes.
    device_bytes: Option<u64>,
}

impl FileStorage {
    pub fn new(file: File) -> io::Result<Self> {
        let device = file.metadata()?.file_type().is_block_device();
        let end = || rustix::fs::seek(&file, SeekFrom::End(0)).map_err(io::Error::from);
        let device_bytes = if device { Some(end()?) } else { None };
        Ok(Self { file, device_bytes })
    }
}

impl Storage for FileStorage {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        match self.device_bytes {
            Some(bytes) => Ok(bytes),
            None => Ok(self.file.metadata()?.len()),
        }
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        match self.device_bytes {
            Some(bytes) if size_bytes <= bytes => Ok(()),
            Some(_) => Err(io::ErrorKind::StorageFull.into()),
            None => self.file.set_len(size_bytes),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let size_bytes = self.size_bytes()?;
        if offset >= size_bytes {
            return Ok(None);
        }
        if self.device_bytes.is_some() {
            return Ok(Some(offset..size_bytes));
        }
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            // A file system that knows no holes.
            Err(rustix::io::Errno::INVAL) => return Ok(Some(offset..size_bytes)),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
        Ok(Some(start..end))
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let end = offset.saturating_add(length);
        let size_bytes = self.size_bytes()?;
        if self.device_bytes.is_none() && offset >= size_bytes {
            return self.file.set_len(end);
        }
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&self.file, punch, offset, length).is_ok() {
            if self.device_bytes.is_none() && end > size_bytes {
                self.file.set_len(end)?;
            }
            return Ok(());
        }
        static ZEROES: [u8; 65536] = [0; 65536];
        let mut at = offset;
        while at < end {
            let some = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROES.len());
            self.file.write_all_at(&ZEROES[..some], at)?;
            at += some as u64;
        }
        Ok(())
    }

    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        if self.device_bytes.is_some() {
            return self.set_size(size_bytes);
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size_bytes) {
            // A file system that cannot: the size is right, the room is taken when it is written.
            Err(rustix::io::Errno::OPNOTSUPP) => self.file.set_len(size_bytes),
            done => done.map_err(io::Error::from),
        }
    }

    fn copy_to(&self, offset: u64, to: &dyn Storage, at: u64, length: u64) -> io::Result<u64> {
        let Some(target) = to.file() else { return Ok(0) };
        let (mut from_at, mut to_at) = (offset, at);
        let mut done = 0;
        while done < length {
            let some = usize::try_from(length - done).unwrap_or(usize::MAX);
            let copied = rustix::fs::copy_file_range(
                &self.file,
                Some(&mut from_at),
                target,
                Some(&mut to_at),
                some,
            );
            match copied {
                Ok(0) => break,
                Ok(copied) => done += copied as u64,
                Err(rustix::io::Errno::INTR) => {}
                // Not between these two; the caller copies by hand what is left.
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn share_with(&self, to: &dyn Storage) -> bool {
        let Some(target) = to.file() else { return false };
        rustix::fs::ioctl_ficlone(target, &self.file).is_ok()
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}
