//! Whole files: written atomically, read with a limit, listed with a limit.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Result, StoreError, io};

/// What a written file has to outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The machine: the bytes are on the disk before they take the old ones' place.
    ///
    /// Compat: the directory itself is left to the file system's journal, as libvirt leaves it: a
    /// power cut may bring back the old document for some seconds, and never a half one.
    Machine,
    /// The process only, as for state that means nothing after a boot.
    Process,
}

/// Replaces `path` by `bytes` with these permissions; readers see the old file or the new one.
pub fn write(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let temporary = beside(path);
    let written = fill(&temporary, bytes, mode, durability)
        .and_then(|()| fs::rename(&temporary, path).map_err(|error| io("replace", path, error)));
    if written.is_err() {
        // Nothing can be added to the error that is already there.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn fill(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| io("create", path, error))?;
    file.write_all(bytes).map_err(|error| io("write", path, error))?;
    if durability == Durability::Machine {
        file.sync_all().map_err(|error| io("synchronise", path, error))?;
    }
    Ok(())
}

/// A name in the same directory that no other writer of this machine uses.
fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:x}.{count:x}{TEMPORARY}", std::process::id()));
    path.with_file_name(name)
}

/// How the names of files end that are not in their place yet.
const TEMPORARY: &str = ".new";

/// Removes what writers that died left beside their files. Only for the one owner of a directory,
/// before it writes there.
pub fn sweep(dir: &Path) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("list", dir, error)),
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(TEMPORARY)) else {
            continue;
        };
        let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        let mut parts = stem.rsplitn(3, '.');
        let ours = parts.next().is_some_and(hex) && parts.next().is_some_and(hex);
        if ours && parts.next().is_some() {
            remove(&dir.join(name))?;
        }
    }
    Ok(())
}

/// Removes `path`; says whether it was there.
pub fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io("remove", path, error)),
    }
}

/// The bytes of `path`, refused when there are more than `limit`.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|error| io("open", path, error))?;
    let expected = file.metadata().map_or(0, |metadata| metadata.len()).min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0).saturating_add(1));
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| io("read", path, error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(StoreError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// [`read`], as text.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|_| StoreError::NotText { path: path.to_owned() })
}

/// The sorted names, without `suffix`, of the entries of `dir` that end in it and do not start with
/// a dot; no directory is an empty list.
pub fn list(dir: &Path, suffix: &str, limit: usize) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("list", dir, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io("list", dir, error))?;
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(suffix)) else { continue };
        if stem.is_empty() || stem.starts_with('.') {
            continue;
        }
        if names.len() == limit {
            return Err(StoreError::TooMany { path: dir.to_owned(), limit });
        }
        names.push(stem.to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes a directory and its parents, the new ones with these permissions.
pub fn make_dir(dir: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .map_err(|error| io("create directory", dir, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("virt-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        make_dir(&dir, 0o700).unwrap();
        dir
    }

    #[test]
    fn a_document_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = scratch("replace");
        let path = dir.join("vm.xml");
        write(&path, b"one", 0o600, Durability::Machine).unwrap();
        write(&path, b"two", 0o600, Durability::Process).unwrap();
        assert_eq!(read_text(&path, 3).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_failed_write_leaves_the_old_document_and_no_temporary() {
        let dir = scratch("fail");
        let path = dir.join("vm.xml");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "x").unwrap();
        assert!(write(&path, b"two", 0o600, Durability::Machine).is_err());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_what_a_dead_writer_left_is_swept() {
        let dir = scratch("sweep");
        let left = beside(&dir.join("vm.xml"));
        let kept = ["vm.xml", "vm.new", "vm.xml.1.zz.new", ".1.2"].map(|name| dir.join(name));
        for path in kept.iter().chain([&left]) {
            fs::write(path, "x").unwrap();
        }
        sweep(&dir).unwrap();
        assert!(!left.exists());
        assert!(kept.iter().all(|path| path.exists()));
        sweep(&dir.join("none")).unwrap();
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn limits_hold() {
        let dir = scratch("limits");
        for name in ["b.xml", "a.xml", ".c.xml", "d.txt"] {
            write(&dir.join(name), b"12345", 0o600, Durability::Process).unwrap();
        }
        assert_eq!(list(&dir, ".xml", 2).unwrap(), ["a", "b"]);
        assert!(matches!(list(&dir, ".xml", 1), Err(StoreError::TooMany { limit: 1, .. })));
        assert!(matches!(read(&dir.join("a.xml"), 4), Err(StoreError::TooLarge { limit: 4, .. })));
        assert!(list(&dir.join("none"), ".xml", 1).unwrap().is_empty());
        assert!(remove(&dir.join("a.xml")).unwrap());
        assert!(!remove(&dir.join("a.xml")).unwrap());
        fs::remove_dir_all(dir).unwrap();
    }
}
