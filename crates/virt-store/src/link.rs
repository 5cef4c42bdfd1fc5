//! Autostart marks: symbolic links in an `autostart` directory to the documents beside it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::{Result, check_name, io, make_dir, remove};

/// When the object of a marked document starts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autostart {
    EachBoot,
    /// At the next boot of the host and then no more.
    NextBoot,
}

impl Autostart {
    /// How the names of such marks end; what stands before is the document's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::EachBoot => ".xml",
            Self::NextBoot => ".xml.once",
        }
    }
}

/// Whether the document `name` of `dir` is marked.
///
/// Compat: a link counts only if it leads to this very document; a dangling one never does.
pub fn is_autostart(dir: &Path, name: &str, when: Autostart) -> bool {
    let (link, document) = paths(dir, name, when);
    match (fs::canonicalize(link), fs::canonicalize(document)) {
        (Ok(link), Ok(document)) => link == document,
        _ => false,
    }
}

/// Marks the document `name` of `dir`, or takes the mark away.
pub fn set_autostart(dir: &Path, name: &str, when: Autostart, on: bool) -> Result<()> {
    check_name(name)?;
    let (link, document) = paths(dir, name, when);
    if !on {
        return remove(&link).map(|_| ());
    }
    make_dir(&dir.join("autostart"), 0o755)?;
    match symlink(&document, &link) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            remove(&link)?;
            symlink(&document, &link).map_err(|error| io("link", &link, error))?;
        }
        done => done.map_err(|error| io("link", &link, error))?,
    }
    Ok(())
}

fn paths(dir: &Path, name: &str, when: Autostart) -> (PathBuf, PathBuf) {
    let link = dir.join("autostart").join(format!("{name}{}", when.suffix()));
    (link, dir.join(format!("{name}.xml")))
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
        crate::write(&document, b"<x/>", 0o600, crate::Durability::Process).unwrap();
        for (when, link) in [
            (Autostart::EachBoot, "autostart/vm.xml"),
            (Autostart::NextBoot, "autostart/vm.xml.once"),
        ] {
            assert!(!is_autostart(&dir, "vm", when));
            for _ in 0..2 {
                set_autostart(&dir, "vm", when, true).unwrap();
                assert!(is_autostart(&dir, "vm", when));
            }
            assert_eq!(fs::read_link(dir.join(link)).unwrap(), document);
            set_autostart(&dir, "vm", when, false).unwrap();
            assert!(!is_autostart(&dir, "vm", when));
            assert!(set_autostart(&dir, "../vm", when, true).is_err());
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
