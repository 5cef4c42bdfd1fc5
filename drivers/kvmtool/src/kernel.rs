//! Files a guest is started from, looked at first: the tool takes anything for a kernel or a raw disk.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use virt_error::{Error, Result};

use crate::{ORIGIN, unsupported};

/// Where a bzImage says what it is.
const SIGN_AT: u64 = 0x202;
const SIGN: &[u8; 4] = b"HdrS";

/// How images of other formats begin: the tool would take each for a raw disk and write over it.
const FORMATS: [(&[u8], &str); 5] = [
    (b"QFI\xfb", "qcow2"),
    (b"KDMV", "vmdk"),
    (b"vhdxfile", "vhdx"),
    (b"conectix", "vpc"),
    (b"QED\0", "qed"),
];

fn open(path: &Path) -> Result<File> {
    File::open(path)
        .map_err(|error| Error::io(ORIGIN, &error, format!("cannot open '{}'", path.display())))
}

/// Refuses what is no kernel. Compat: the tool starts any file, and ends well whatever comes of it.
pub(crate) fn check(path: &Path) -> Result<()> {
    let mut sign = [0_u8; 4];
    let read = open(path)?.read_exact_at(&mut sign, SIGN_AT);
    if read.is_err() || &sign != SIGN {
        return unsupported(format!("'{}' is not a Linux kernel (bzImage)", path.display()));
    }
    Ok(())
}

/// Refuses a disk that is not raw.
pub(crate) fn check_raw(path: &Path) -> Result<()> {
    let mut head = Vec::new();
    let read = open(path)?.take(8).read_to_end(&mut head);
    read.map_err(|error| Error::io(ORIGIN, &error, format!("cannot read '{}'", path.display())))?;
    match FORMATS.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, format)) => unsupported(format!(
            "'{}' is an image of format '{format}', and the tool would destroy it: only raw disks",
            path.display()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("fv-kernel-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn only_a_kernel_is_a_kernel() {
        let mut image = vec![0_u8; 0x300];
        image[0x202..0x206].copy_from_slice(SIGN);
        let (good, short) = (file("good", &image), file("short", b"x"));
        assert!(check(&good).is_ok());
        assert!(check(&short).is_err() && check(Path::new("/nonexistent")).is_err());
        drop((std::fs::remove_file(good), std::fs::remove_file(short)));
    }

    #[test]
    fn an_image_with_a_format_is_never_written_over() {
        let (raw, other) = (file("raw", &[0; 512]), file("qcow2", b"QFI\xfb\0\0\0\x03rest"));
        assert!(check_raw(&raw).is_ok());
        let error = check_raw(&other).unwrap_err();
        assert!(error.message().contains("qcow2"), "{}", error.message());
        drop((std::fs::remove_file(raw), std::fs::remove_file(other)));
    }
}
