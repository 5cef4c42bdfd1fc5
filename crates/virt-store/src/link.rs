//! Autostart marks: symbolic links in an `autostart` directory to the documents beside it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::{Durability, Result, check_name, file, io, make_dir, remove};

/// Whether the document `name` of `dir` is marked.
///
/// Compat: a link counts only if it leads to this very document; a dangling one never does.
pub fn is_autostart(dir: &Path, name: &str) -> bool {
    let (link, document) = paths(dir, name);
    match (fs::canonicalize(link), fs::canonicalize(document)) {
        (Ok(link), Ok(document)) => link == document,
        _ => false,
    }
}

/// Marks the document `name` of `dir`, or takes the mark away.
pub fn set_autostart(dir: &Path, name: &str, on: bool) -> Result<()> {
    check_name(name)?;
    let (link, document) = paths(dir, name);
    if !on {
        return remove(&link, Durability::Machine).map(|_| ());
    }
    make_dir(&dir.join("autostart"), 0o755)?;
    match symlink(&document, &link) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            remove(&link, Durability::Process)?;
            symlink(&document, &link).map_err(|error| io("link", &link, error))?;
        }
        done => done.map_err(|error| io("link", &link, error))?,
    }
    file::sync_dir_of(&link)
}

fn paths(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let file = format!("{name}.xml");
    (dir.join("autostart").join(&file), dir.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_an_absolute_link_to_the_document() {
        let dir = std::env::temp_dir().join(format!("virt-store-{}-link", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        make_dir(&dir, 0o700).unwrap();
        let document = dir.join("vm.xml");
        crate::write(&document, b"<x/>", 0o600, Durability::Process).unwrap();
        assert!(!is_autostart(&dir, "vm"));
        for _ in 0..2 {
            set_autostart(&dir, "vm", true).unwrap();
            assert!(is_autostart(&dir, "vm"));
        }
        assert_eq!(fs::read_link(dir.join("autostart/vm.xml")).unwrap(), document);
        set_autostart(&dir, "vm", false).unwrap();
        assert!(!is_autostart(&dir, "vm"));
        assert!(set_autostart(&dir, "../vm", true).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
