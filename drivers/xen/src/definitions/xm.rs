//! The folder of XM files: the definitions of Xen before 3.0.4, and of whoever keeps them by hand.
//!
//! The folder holds other files too: scripts, examples, notes. What is no guest's file is passed over.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use virt_error::{Code, Error, Result};
use virt_model::domain::Domain as Document;
use virt_store::Durability;
use virt_types::Uuid;

use crate::channels::{Definitions, Kept};
use crate::formats::{CONFIG_BYTES_MAX, Host};
use crate::{ORIGIN, invalid_arg, store_error};

/// Limit: files that are looked at.
const FILES_MAX: usize = 10_000;
const FORMAT: &str = "xen-xm";
/// Where links to the files of guests are that start with the host.
const AUTO: &str = "auto";

/// When a file was written last, and how long it is.
type Stamp = (i64, i64, u64, u64);

#[derive(Clone, Debug)]
struct Known {
    stamp: Stamp,
    /// `None` for what is no guest's.
    document: Option<Arc<Document>>,
}

/// A folder of files.
#[derive(Debug)]
pub(crate) struct XmFolder {
    dir: PathBuf,
    host: Host,
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// Names that guests' files do not have.
fn is_other(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || name.ends_with(".sxp")
        || name.ends_with(".conf")
        || name.starts_with("xmexample")
        || name.starts_with("README")
        || name.starts_with("xend-")
}

/// A guest without a UUID has the same one as long as its file is where it is.
fn uuid_of(path: &Path) -> Uuid {
    let mut bytes = [0; 16];
    for (half, salt) in bytes.chunks_mut(8).zip(["xm", "mx"]) {
        let mut hasher = DefaultHasher::new();
        (salt, path).hash(&mut hasher);
        half.copy_from_slice(&hasher.finish().to_be_bytes());
    }
    Uuid(bytes)
}

impl XmFolder {
    pub(crate) fn new(dir: PathBuf, host: Host) -> Self {
        Self { dir, host, known: Mutex::default() }
    }

    /// A file's domain, read when it has changed.
    fn read(&self, path: &Path) -> Option<Arc<Document>> {
        let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let stamp = (meta.mtime(), meta.mtime_nsec(), meta.len(), meta.ino());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(path).filter(|known| known.stamp == stamp) {
            return known.document.clone();
        }
        let document = self.parse(path);
        known.insert(path.to_owned(), Known { stamp, document: document.clone() });
        document
    }

    fn parse(&self, path: &Path) -> Option<Arc<Document>> {
        let text = virt_store::read_text(path, CONFIG_BYTES_MAX as u64).ok()?;
        // Every guest's file says how much memory it has; a script or a note does not.
        let assigns = |key: &str| {
            text.lines().any(|line| {
                line.trim_start()
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.trim_start().starts_with('='))
            })
        };
        if !assigns("memory") && !assigns("name") {
            return None;
        }
        let named = assigns("uuid");
        let text = match assigns("name") {
            true => text,
            false => format!("name = '{}'\n{text}", path.file_name()?.to_str()?),
        };
        match self.host.read(FORMAT, &text) {
            Ok(mut document) => {
                if !named {
                    document.uuid = Some(uuid_of(path));
                }
                Some(Arc::new(document))
            }
            Err(error) => {
                virt_log::info!("xen", "{} is no guest's: {}", path.display(), error.message());
                None
            }
        }
    }

    fn all(&self) -> Vec<(PathBuf, Arc<Document>)> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| !is_other(name)))
            .map(|entry| entry.path())
            .take(FILES_MAX)
            .collect();
        paths.sort();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|path, _| paths.contains(path));
        drop(known);
        paths.into_iter().filter_map(|path| Some((path.clone(), self.read(&path)?))).collect()
    }

    fn file(&self, uuid: &Uuid) -> Option<(PathBuf, Arc<Document>)> {
        self.all().into_iter().find(|(_, document)| document.uuid.as_ref() == Some(uuid))
    }

    fn need(&self, kept: &Kept) -> Result<(PathBuf, Arc<Document>)> {
        self.file(&kept.uuid).ok_or_else(|| {
            let dir = self.dir.display();
            let detail = format!("no file in {dir} defines a domain with uuid '{}'", kept.uuid);
            Error::new(Code::NoDomain, ORIGIN, detail)
        })
    }

    fn link(&self, path: &Path) -> Option<PathBuf> {
        Some(self.dir.join(AUTO).join(path.file_name()?))
    }
}

impl Definitions for XmFolder {
    fn list(&self) -> Result<Vec<Kept>> {
        let kept = self.all().into_iter().filter_map(|(_, document)| {
            Some(Kept { uuid: document.uuid?, name: document.name.as_str().into() })
        });
        Ok(kept.collect())
    }

    fn document(&self, kept: &Kept) -> Result<Document> {
        self.need(kept).map(|(_, document)| (*document).clone())
    }

    fn folder(&self) -> Option<PathBuf> {
        Some(self.dir.clone())
    }

    /// In the file that it has, or one of its name.
    fn keep(&self, document: &Document) -> Result<()> {
        let text = self.host.write(FORMAT, document)?;
        let name = &document.name;
        let taken = document.uuid.and_then(|uuid| self.file(&uuid));
        let path = match taken {
            Some((path, old)) if old.name == *name => path,
            other => {
                virt_store::check_name(name)
                    .map_err(|_| invalid_arg(format!("name '{name}' cannot be used for a file")))?;
                if is_other(name) {
                    let detail =
                        format!("'{name}' cannot be a domain's: files of that name are not");
                    return Err(invalid_arg(detail));
                }
                if let Some((old, _)) = other {
                    virt_store::remove(&old).map_err(|error| store_error(&error))?;
                }
                self.dir.join(name)
            }
        };
        virt_store::write(&path, text.as_bytes(), 0o600, Durability::Machine)
            .map_err(|error| store_error(&error))
    }

    fn forget(&self, kept: &Kept) -> Result<()> {
        let (path, _) = self.need(kept)?;
        self.set_autostart(kept, false)?;
        virt_store::remove(&path).map(drop).map_err(|error| store_error(&error))
    }

    fn autostarts(&self, kept: &Kept) -> Result<bool> {
        let (path, _) = self.need(kept)?;
        Ok(self.link(&path).is_some_and(|link| link.symlink_metadata().is_ok()))
    }

    fn set_autostart(&self, kept: &Kept, on: bool) -> Result<()> {
        let (path, _) = self.need(kept)?;
        let Some(link) = self.link(&path) else { return Ok(()) };
        let io = |error: std::io::Error| {
            Error::io(ORIGIN, &error, format!("cannot change autostart link {}", link.display()))
        };
        match (on, link.symlink_metadata().is_ok()) {
            (true, false) => std::fs::create_dir_all(self.dir.join(AUTO))
                .and_then(|()| std::os::unix::fs::symlink(&path, &link))
                .map_err(io),
            (false, true) => std::fs::remove_file(&link).map_err(io),
            _ => Ok(()),
        }
    }
}
