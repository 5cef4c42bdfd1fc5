//! What volumes hold, where a connection asked for it: files in memory, sparse as disks are.
//!
//! libvirt's own test driver has no such thing, so that nobody who compares the two sees it unless
//! `streams=1` is in the URI. It is there to try streams with: of any transport, client and daemon.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, MemfdFlags, SeekFrom, fallocate, memfd_create, seek};
use rustix::io::Errno;
use virt_driver::{Received, Stream};
use virt_error::{Code, Error, Origin, Result};

/// Limit: volumes of a world that hold anything.
const FILES_MAX: usize = 16;
/// Limit: bytes that one of them may hold.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What the volumes of a world hold, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Contents(Mutex<BTreeMap<String, Arc<File>>>);

/// A part of a volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    /// 0: to the end.
    pub(crate) length: u64,
    pub(crate) capacity: u64,
    pub(crate) sparse: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: impl Into<std::io::Error>, what: &str) -> Error {
    Error::io(Origin::Test, &error.into(), what)
}

fn refused(detail: &str) -> Error {
    Error::new(Code::OperationFailed, Origin::Test, detail)
}

impl Contents {
    /// A stream to or from a part of a volume.
    pub(crate) fn open(&self, path: &str, part: Part) -> Result<Arc<dyn Stream>> {
        if part.capacity > FILE_BYTES_MAX {
            return Err(refused("the volume is too large to hold anything"));
        }
        let mut files = lock(&self.0);
        let file = match files.get(path) {
            Some(file) => Arc::clone(file),
            None if files.len() >= FILES_MAX => {
                return Err(refused("too many volumes hold something"));
            }
            None => {
                let made = memfd_create("volume", MemfdFlags::CLOEXEC);
                let file = Arc::new(File::from(made.map_err(|error| failed(error, "no memory"))?));
                files.insert(path.to_owned(), Arc::clone(&file));
                file
            }
        };
        drop(files);
        file.set_len(part.capacity).map_err(|error| failed(error, "cannot resize the volume"))?;
        let rest = part.capacity.saturating_sub(part.offset);
        let length = if part.length == 0 { rest } else { part.length };
        if length > rest {
            return Err(refused("the part is not within the volume"));
        }
        let end = part.offset.saturating_add(length);
        Ok(Arc::new(Bytes { file, sparse: part.sparse, end, at: Mutex::new(part.offset) }))
    }

    /// Forgets what a volume holds.
    pub(crate) fn remove(&self, path: &str) {
        lock(&self.0).remove(path);
    }
}

struct Bytes {
    file: Arc<File>,
    sparse: bool,
    end: u64,
    at: Mutex<u64>,
}

impl Bytes {
    /// Where data, or a hole, begins behind a place.
    fn next(&self, from: SeekFrom) -> Result<u64> {
        match seek(&self.file, from) {
            Ok(at) => Ok(at.min(self.end)),
            // There is only a hole left.
            Err(Errno::NXIO) => Ok(self.end),
            Err(error) => Err(failed(error, "cannot look for data")),
        }
    }
}

impl Stream for Bytes {
    fn recv(&self, buffer: &mut [u8]) -> Result<Received> {
        let mut at = lock(&self.at);
        if *at >= self.end {
            return Ok(Received::End);
        }
        let mut until = self.end;
        if self.sparse {
            let data = self.next(SeekFrom::Data(*at))?;
            if data > *at {
                let hole = data.saturating_sub(*at);
                *at = data;
                return Ok(Received::Hole(hole));
            }
            until = self.next(SeekFrom::Hole(*at))?;
        }
        let wanted = usize::try_from(until.saturating_sub(*at)).unwrap_or(usize::MAX);
        let room = wanted.min(buffer.len());
        let place = buffer.get_mut(..room).unwrap_or_default();
        let count = self.file.read_at(place, *at).map_err(|error| failed(error, "cannot read"))?;
        if count == 0 {
            return Ok(Received::End);
        }
        *at = at.saturating_add(count as u64);
        Ok(Received::Data(count))
    }

    fn send(&self, data: &[u8]) -> Result<usize> {
        let mut at = lock(&self.at);
        if data.len() as u64 > self.end.saturating_sub(*at) {
            return Err(refused("more than the part of the volume takes"));
        }
        self.file.write_all_at(data, *at).map_err(|error| failed(error, "cannot write"))?;
        *at = at.saturating_add(data.len() as u64);
        Ok(data.len())
    }

    fn send_hole(&self, length: u64) -> Result<()> {
        let mut at = lock(&self.at);
        if length > self.end.saturating_sub(*at) {
            return Err(refused("more than the part of the volume takes"));
        }
        if length > 0 {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&self.file, flags, *at, length)
                .map_err(|error| failed(error, "cannot make a hole"))?;
        }
        *at = at.saturating_add(length);
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }

    fn abort(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(sparse: bool) -> Part {
        Part { offset: 0, length: 0, capacity: 1 << 20, sparse }
    }

    #[test]
    fn holes_stay_holes_and_nothing_goes_beyond_the_end() {
        let contents = Contents::default();
        let up = contents.open("/v", part(true)).expect("open");
        assert_eq!(up.send(b"begin"), Ok(5));
        up.send_hole((1 << 20) - 8).expect("hole");
        assert_eq!(up.send(b"end"), Ok(3));
        assert!(up.send(b"!").is_err() && up.send_hole(1).is_err());
        let down = contents.open("/v", part(true)).expect("open");
        let mut buffer = vec![0; 64 << 10];
        let (mut data, mut holes) = (0, 0);
        loop {
            match down.recv(&mut buffer).expect("recv") {
                Received::Data(count) => data += count as u64,
                Received::Hole(length) => holes += length,
                _ => break,
            }
        }
        assert_eq!(data + holes, 1 << 20);
        assert!(holes > 1 << 19, "{holes}");
        let far = Part { offset: 1 << 20, length: 1, ..part(false) };
        assert!(contents.open("/v", far).is_err());
    }
}
