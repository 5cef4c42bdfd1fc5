//! The hypervisor's device: the only unsafe code of the driver.
//!
//! A hypercall passes the address of memory that must stay where it is while the hypervisor reads and
//! writes it. [`Buffer`] is such memory; [`Privcmd`] passes it and gives back what came of it. What
//! the bytes mean is none of this module's business.
#![allow(unsafe_code)]

mod buffer;

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode};

use crate::hypercalls::{Gate, Pointer};
use buffer::{Buffer, PAGE_BYTES};

/// `IOCTL_PRIVCMD_HYPERCALL`: no direction, 'P', 0, 48 bytes.
const HYPERCALL: Opcode = 0x0030_5000;
/// The calls that are made.
const XEN_VERSION: u64 = 17;
/// Where memory for hypercalls is had from, on kernels that offer it.
const MEMORY: &str = "hypercall";

/// What the device's request holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Request {
    op: u64,
    arguments: [u64; 5],
}

/// One hypercall as an ioctl.
struct Call(Request);

// SAFETY: the opcode is the device's, the pointer is to a request of the size that the opcode says,
// which lives as long as `self`, and the output is the plain number that the device returns.
unsafe impl Ioctl for Call {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        HYPERCALL
    }

    fn as_ptr(&mut self) -> *mut core::ffi::c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(
        out: IoctlOutput,
        _: *mut core::ffi::c_void,
    ) -> rustix::io::Result<IoctlOutput> {
        Ok(out)
    }
}

/// The device, and memory for its calls.
#[derive(Debug)]
pub(crate) struct Privcmd {
    device: File,
    memory: Option<File>,
    /// The memory of the last call, kept for the next: one call at a time.
    kept: Mutex<Option<Buffer>>,
}

impl Privcmd {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let device = File::options().read(true).write(true).open(path)?;
        let memory = path.parent().map(|folder| folder.join(MEMORY));
        let memory = memory.and_then(|path| File::options().read(true).write(true).open(path).ok());
        Ok(Self { device, memory, kept: Mutex::new(None) })
    }

    /// Memory of that many pages at least.
    fn buffer(&self, kept: &mut Option<Buffer>, bytes: usize) -> Result<Buffer> {
        match kept.take().filter(|buffer| buffer.len() >= bytes) {
            Some(buffer) => Ok(buffer),
            None => Buffer::new(self.memory.as_ref(), bytes),
        }
    }

    fn call(&self, op: u64, arguments: [u64; 5]) -> Result<i64> {
        let call = Call(Request { op, arguments });
        #[cfg(all(test, miri))]
        return tests::hypervisor(&call.0);
        // SAFETY: the arguments are numbers, or addresses in a `Buffer` of this call, whose lengths the
        // callers below have checked against what they tell the hypervisor; the buffer outlives the call.
        #[cfg(not(all(test, miri)))]
        let done = unsafe { rustix::ioctl::ioctl(self.device.as_fd(), call) };
        #[cfg(not(all(test, miri)))]
        done.map(i64::from).map_err(Error::from)
    }
}

impl Gate for Privcmd {
    fn version(&self, sub: u32, out: &mut [u8]) -> Result<i64> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = self.buffer(&mut kept, PAGE_BYTES.max(out.len()))?;
        buffer.fill(0, out)?;
        let arguments = [u64::from(sub), buffer.address(0), 0, 0, 0];
        let done = self.call(XEN_VERSION, arguments);
        buffer.copy(0, out)?;
        *kept = Some(buffer);
        done
    }

    fn control(&self, op: u32, head: &mut [u8], data: Option<(Pointer, &mut [u8])>) -> Result<i64> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let length = data.as_ref().map_or(0, |(_, data)| data.len());
        if head.len() > PAGE_BYTES {
            return Err(Error::from(std::io::ErrorKind::InvalidInput));
        }
        let mut buffer = self.buffer(&mut kept, PAGE_BYTES.saturating_add(length))?;
        if let Some((Pointer(at), data)) = &data {
            // The structure says where its data is.
            let address = buffer.address(PAGE_BYTES).to_ne_bytes();
            let place = head.get_mut(*at..at.saturating_add(address.len()));
            let place = place.ok_or_else(|| Error::from(std::io::ErrorKind::InvalidInput))?;
            place.copy_from_slice(&address);
            buffer.fill(PAGE_BYTES, data)?;
        }
        buffer.fill(0, head)?;
        let done = self.call(u64::from(op), [buffer.address(0), 0, 0, 0, 0]);
        buffer.copy(0, head)?;
        if let Some((_, data)) = data {
            buffer.copy(PAGE_BYTES, data)?;
        }
        *kept = Some(buffer);
        done
    }
}

#[cfg(all(test, miri))]
mod tests {
    //! Under Miri a hypervisor of the test's own reads and writes at the addresses that it is told.

    use super::*;

    /// As long as the calls' structures are.
    const HEAD_BYTES: usize = 144;
    const DATA_BYTES: usize = 5000;
    const DATA_AT: usize = 24;

    pub(super) fn hypervisor(request: &Request) -> Result<i64> {
        let bytes = |address: u64, len: usize| {
            let start = std::ptr::with_exposed_provenance_mut::<u8>(address as usize);
            // SAFETY: none is promised: whether the caller's memory is there is what Miri finds out.
            unsafe { std::slice::from_raw_parts_mut(start, len) }
        };
        if request.op == XEN_VERSION {
            bytes(request.arguments[1], 64).fill(7);
            return Ok(0x4_0011);
        }
        let head = bytes(request.arguments[0], HEAD_BYTES);
        let address = head.get(DATA_AT..).and_then(|rest| rest.first_chunk::<8>());
        let address = address.map_or(0, |eight| u64::from_ne_bytes(*eight));
        if address != 0 {
            bytes(address, DATA_BYTES).iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        }
        head[0] = 9;
        Ok(0)
    }

    #[test]
    fn what_the_hypervisor_is_told_is_there() {
        let gate = Privcmd::open("/dev/null".as_ref()).expect("a device that is none");
        let mut text = [0; 64];
        assert_eq!(gate.version(0, &mut text).expect("a version"), 0x4_0011);
        assert_eq!(text, [7; 64]);
        let (mut head, mut data) = ([0; HEAD_BYTES], vec![1; DATA_BYTES]);
        for _ in 0..2 {
            let data = Some((Pointer(DATA_AT), data.as_mut_slice()));
            gate.control(36, &mut head, data).expect("a call with data");
        }
        assert_eq!((head[0], data.iter().all(|byte| *byte == 3)), (9, true));
        let mut head = [0; HEAD_BYTES];
        gate.control(36, &mut head, None).expect("a call without");
        assert!(gate.control(36, &mut [0; PAGE_BYTES + 1], None).is_err());
        let beyond = Some((Pointer(HEAD_BYTES), data.as_mut_slice()));
        assert!(gate.control(36, &mut head, beyond).is_err());
    }
}
