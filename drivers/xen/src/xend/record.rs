//! The head of a file that xend saved a guest to: a word, a length, and the guest's description.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use virt_error::{Error, Result};

use crate::{ORIGIN, operation_failed};

const MAGIC: &[u8; 16] = b"LinuxGuestRecord";
/// Limit: descriptions are a few kilobytes.
const CONFIG_BYTES_MAX: u32 = 1 << 20;

/// The description in a saved guest's file.
pub(super) fn description(path: &Path) -> Result<String> {
    let shown = path.display();
    let io = |error: std::io::Error| {
        Error::io(ORIGIN, &error, format!("cannot read saved guest '{shown}'"))
    };
    let odd = || operation_failed(format!("'{shown}' is no file that xend saved a guest to"));
    let mut file = File::open(path).map_err(io)?;
    let (mut magic, mut length) = ([0; 16], [0; 4]);
    file.read_exact(&mut magic).map_err(|_| odd())?;
    file.read_exact(&mut length).map_err(|_| odd())?;
    let length = u32::from_be_bytes(length);
    if &magic != MAGIC || length > CONFIG_BYTES_MAX {
        return Err(odd());
    }
    let mut text = String::new();
    let read = file.take(u64::from(length)).read_to_string(&mut text).map_err(|_| odd())?;
    if u32::try_from(read) != Ok(length) {
        return Err(odd());
    }
    Ok(text)
}
