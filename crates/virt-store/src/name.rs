//! Which object names may become file names.

use crate::{Result, StoreError};

/// Limit: the kernel's 255 bytes, less what is put around a name (`.xml`, a temporary suffix).
const NAME_BYTES_MAX: usize = 255 - 16;

/// Refuses a name that would leave its directory or could not be a file.
pub fn check_name(name: &str) -> Result<()> {
    let bad = name.is_empty()
        || name == "."
        || name == ".."
        || name.len() > NAME_BYTES_MAX
        || name.bytes().any(|byte| matches!(byte, b'/' | b'\0' | b'\n'));
    if bad { Err(StoreError::BadName(name.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_stay_in_their_directory() {
        for good in ["vm", "..vm", "a b", "ümlaut", ".hidden"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../vm", "a/b", "a\0b", "a\nb", &"x".repeat(250)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
