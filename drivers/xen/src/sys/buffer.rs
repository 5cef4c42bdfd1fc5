//! Memory that stays where it is: whole pages, of the device that offers them or locked in place.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::ptr::NonNull;

pub(super) const PAGE_BYTES: usize = 4096;
/// Limit: what one call passes; a thousand domains are a tenth of it.
const BYTES_MAX: usize = 1 << 20;

/// Pages that are mapped as long as this value lives.
#[derive(Debug)]
pub(super) struct Buffer {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the pages belong to this value alone; nothing of a thread is in them.
unsafe impl Send for Buffer {}

impl Buffer {
    /// At least so many bytes, all zero.
    pub(super) fn new(device: Option<&File>, bytes: usize) -> Result<Self> {
        let len = bytes.div_ceil(PAGE_BYTES).max(1).saturating_mul(PAGE_BYTES);
        if len > BYTES_MAX {
            return Err(Error::from(ErrorKind::OutOfMemory));
        }
        Ok(Self { start: map(device, len)?, len })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The address of a byte, as the hypervisor is told it.
    pub(super) fn address(&self, at: usize) -> u64 {
        debug_assert!(at < self.len);
        // The page's address is what is meant by it, so that the hypervisor may write there.
        self.start.as_ptr().expose_provenance().saturating_add(at) as u64
    }

    fn within(&self, at: usize, len: usize) -> Result<()> {
        match at.checked_add(len).is_some_and(|end| end <= self.len) {
            true => Ok(()),
            false => Err(Error::from(ErrorKind::InvalidInput)),
        }
    }

    pub(super) fn fill(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.within(at, bytes.len())?;
        // SAFETY: the range is within the pages, which nobody else uses between calls.
        unsafe {
            let to = self.start.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        Ok(())
    }

    pub(super) fn copy(&self, at: usize, out: &mut [u8]) -> Result<()> {
        self.within(at, out.len())?;
        // SAFETY: the range is within the pages, which are written by now: the call has returned.
        unsafe {
            let from = self.start.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len());
        }
        Ok(())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the pages are this value's, and nothing refers to them any more.
        unsafe { unmap(self.start, self.len) };
    }
}

/// Pages of the device, or pages of this process that stay in memory.
#[cfg(not(miri))]
fn map(device: Option<&File>, len: usize) -> Result<NonNull<u8>> {
    use rustix::mm::{MapFlags, ProtFlags, mlock, mmap, mmap_anonymous};
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    let none = std::ptr::null_mut();
    // SAFETY: no address is asked for, so the kernel chooses pages that nothing else is in; what is
    // mapped is unmapped only where it cannot be used, and by `drop`.
    let start = unsafe {
        match device {
            Some(device) => {
                mmap(none, len, rights, MapFlags::SHARED, std::os::fd::AsFd::as_fd(device), 0)
            }
            None => mmap_anonymous(none, len, rights, MapFlags::PRIVATE),
        }
    }?;
    let start = NonNull::new(start.cast::<u8>()).ok_or(Error::from(ErrorKind::OutOfMemory))?;
    if device.is_none() {
        // SAFETY: these are the pages that were just mapped, all of them; where they cannot be locked
        // nobody has seen them.
        unsafe {
            if let Err(error) = mlock(start.as_ptr().cast(), len) {
                unmap(start, len);
                return Err(error.into());
            }
        }
    }
    Ok(start)
}

/// # Safety
/// The pages must be those that [`map`] gave, all of them, and nothing may refer to them any more.
#[cfg(not(miri))]
unsafe fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: as the caller promises. What fails leaves them mapped, which harms nobody.
    let _ = unsafe { rustix::mm::munmap(start.as_ptr().cast(), len) };
}

/// Under Miri, which maps nothing, memory of the allocator stands for the pages.
#[cfg(miri)]
fn map(_: Option<&File>, len: usize) -> Result<NonNull<u8>> {
    let layout = std::alloc::Layout::from_size_align(len, PAGE_BYTES).map_err(Error::other)?;
    // SAFETY: a page at least is asked for.
    NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).ok_or(ErrorKind::OutOfMemory.into())
}

/// # Safety
/// As above.
#[cfg(miri)]
unsafe fn unmap(start: NonNull<u8>, len: usize) {
    if let Ok(layout) = std::alloc::Layout::from_size_align(len, PAGE_BYTES) {
        // SAFETY: as the caller promises; the layout is the one it was asked for with.
        unsafe { std::alloc::dealloc(start.as_ptr(), layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_and_nothing_goes_beyond() {
        let Ok(mut buffer) = Buffer::new(None, PAGE_BYTES + 1) else {
            return test_support::skipped("no memory may be locked here");
        };
        assert_eq!(buffer.len(), 2 * PAGE_BYTES);
        assert_eq!(buffer.address(0) % PAGE_BYTES as u64, 0);
        buffer.fill(PAGE_BYTES - 1, b"abc").expect("within");
        let mut out = [0; 5];
        buffer.copy(PAGE_BYTES - 2, &mut out).expect("within");
        assert_eq!(&out, b"\0abc\0");
        assert!(buffer.fill(2 * PAGE_BYTES, b"x").is_err());
        assert!(buffer.copy(usize::MAX, &mut out).is_err());
        assert!(Buffer::new(None, BYTES_MAX + 1).is_err());
    }
}
