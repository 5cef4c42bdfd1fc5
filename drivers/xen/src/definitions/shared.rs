//! Configurations in a folder of xenstore that the administrator names, beside where they are kept.
//!
//! Other management tools see them there, and what they put there is seen here: each has a folder of its
//! UUID with its `name` and, in parts that fit into a message, its document in `config`. xenstore forgets
//! all when the host starts; what is kept elsewhere is then put there anew.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use virt_error::{Code, Error, Result};
use virt_model::domain::Domain as Document;
use virt_model::{ParseFlags, PrintFlags};
use virt_types::Uuid;

use crate::ORIGIN;
use crate::channels::{Definitions, Kept};
use crate::formats::Host;
use crate::store_channel::StoreChannel;
use crate::xenstore::{StoreError, Transaction};

/// Limit: configurations in the folder.
const DOMAINS_MAX: usize = 10_000;
/// Limit: a part fits into a message of 4096 bytes beside its path.
const PART_BYTES: usize = 3000;
/// Limit: a document has so many parts at most.
const PARTS_MAX: usize = 256;
/// The control domain's alone: configurations hold passwords, and the folder may be open to guests.
const OWN: &[&str] = &["n0"];
/// Limit: a name.
const NAME_BYTES_MAX: usize = 1024;

/// A folder of xenstore.
pub(crate) struct SharedFolder {
    pub(crate) path: String,
    pub(crate) store: Arc<StoreChannel>,
    pub(crate) host: Host,
}

/// A configuration's folder: what stands in `name`, and the parts of `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub parts: Vec<String>,
}

/// Whether a text that anybody may have written can be a domain's name.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control)
}

impl Entry {
    /// A document in pieces that end where a character does.
    pub fn of(document: &Document) -> Result<Self> {
        let flags = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
        let text = document.to_xml(flags);
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
            parts.push(part.to_owned());
            rest = after;
        }
        if parts.len() > PARTS_MAX {
            return Err(crate::operation_failed("document is too long for xenstore"));
        }
        Ok(Self { name: document.name.clone(), parts })
    }

    /// What xenstore has, whoever wrote it; `None` where there is no document.
    fn read(store: &Transaction<'_>, dir: &str) -> std::result::Result<Option<Self>, StoreError> {
        let Some(name) = store.read(&format!("{dir}/name"))? else { return Ok(None) };
        let mut parts = Vec::new();
        for at in 0..PARTS_MAX {
            match store.read(&format!("{dir}/config/{at}"))? {
                Some(part) => parts.push(part),
                None => break,
            }
        }
        Ok((!parts.is_empty()).then_some(Self { name, parts }))
    }

    /// The document, which must be that domain's and nobody else's.
    pub fn document(&self, uuid: &Uuid, host: &Host) -> Result<Document> {
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let document = Document::load(&self.parts.concat(), flags, &host.rules())?;
        if is_name(&self.name) && document.uuid == Some(*uuid) && document.name == self.name {
            return Ok(document);
        }
        let detail =
            format!("the folder of {uuid} in xenstore holds the configuration of another domain");
        Err(Error::new(Code::XmlError, ORIGIN, detail))
    }
}

impl SharedFolder {
    fn dir(&self, uuid: &Uuid) -> String {
        format!("{}/{uuid}", self.path)
    }

    fn kept(&self, uuid: Uuid) -> Result<Option<Kept>> {
        let path = format!("{}/name", self.dir(&uuid));
        let name = self.store.try_ask(|store| store.read(&path))?;
        Ok(name.filter(|name| is_name(name)).map(|name| Kept { uuid, name: name.into() }))
    }

    fn list(&self) -> Result<Vec<Kept>> {
        let names = self.store.try_ask(|store| store.list(&self.path))?.unwrap_or_default();
        let mut all = Vec::new();
        // What is no UUID, or has no name, is nobody's configuration.
        for uuid in names.iter().take(DOMAINS_MAX).filter_map(|name| Uuid::parse(name)) {
            all.extend(self.kept(uuid)?);
        }
        Ok(all)
    }

    fn document(&self, kept: &Kept) -> Result<Option<Document>> {
        let dir = self.dir(&kept.uuid);
        let read = |store: &Transaction<'_>| Entry::read(store, &dir);
        let entry = self.store.try_ask(|store| store.transaction("configuration", &read))?;
        entry.map(|entry| entry.document(&kept.uuid, &self.host)).transpose()
    }

    fn put(&self, document: &Document) -> Result<()> {
        let Some(uuid) = document.uuid else { return Ok(()) };
        let (dir, entry) = (self.dir(&uuid), Entry::of(document)?);
        self.store.try_ask(|store| {
            store.transaction("configuration", |store| {
                store.remove(&dir)?;
                store.make_directory(&dir)?;
                store.set_permissions(&dir, OWN)?;
                store.write(&format!("{dir}/name"), &entry.name)?;
                for (at, part) in entry.parts.iter().enumerate() {
                    store.write(&format!("{dir}/config/{at}"), part)?;
                }
                Ok(())
            })
        })
    }

    fn remove(&self, uuid: &Uuid) -> Result<()> {
        let dir = self.dir(uuid);
        self.store.try_ask(|store| store.remove(&dir))
    }
}

/// Where definitions are kept, with the folder of xenstore beside it.
pub(crate) struct Merged {
    pub(crate) kept: Arc<dyn Definitions>,
    pub(crate) shared: SharedFolder,
}

impl Merged {
    /// Puts what is kept and not yet there into xenstore.
    pub(crate) fn publish(&self) -> Result<()> {
        let there: HashSet<Uuid> = self.shared.list()?.into_iter().map(|kept| kept.uuid).collect();
        for kept in self.kept.list()?.iter().filter(|kept| !there.contains(&kept.uuid)) {
            self.shared.put(&self.kept.document(kept)?)?;
        }
        Ok(())
    }
}

impl Definitions for Merged {
    /// A name is one domain's: one in xenstore whose name another has is passed over. Without xenstore
    /// there is what is kept.
    fn list(&self) -> Result<Vec<Kept>> {
        let mut all = self.kept.list()?;
        for kept in self.shared.list().unwrap_or_default() {
            if !all.iter().any(|known| known.uuid == kept.uuid || known.name == kept.name) {
                all.push(kept);
            }
        }
        Ok(all)
    }

    fn folder(&self) -> Option<PathBuf> {
        self.kept.folder()
    }

    fn find(&self, uuid: &Uuid) -> Result<Option<Kept>> {
        match self.kept.find(uuid)? {
            Some(kept) => Ok(Some(kept)),
            None => Ok(self.shared.kept(*uuid).unwrap_or_default()),
        }
    }

    /// As it is in xenstore, where others may have changed it; as it is kept, where that is none.
    fn document(&self, kept: &Kept) -> Result<Document> {
        match self.shared.document(kept) {
            Ok(Some(document)) => Ok(document),
            Ok(None) => self.kept.document(kept),
            Err(error) => self.kept.document(kept).map_err(|_| error),
        }
    }

    /// Order: xenstore first, so that nothing is kept that is not to be seen there.
    fn keep(&self, document: &Document) -> Result<()> {
        self.shared.put(document)?;
        self.kept.keep(document)
    }

    fn forget(&self, kept: &Kept) -> Result<()> {
        self.shared.remove(&kept.uuid)?;
        match self.kept.find(&kept.uuid)? {
            Some(kept) => self.kept.forget(&kept),
            None => Ok(()),
        }
    }

    fn autostarts(&self, kept: &Kept) -> Result<bool> {
        match self.kept.find(&kept.uuid)? {
            Some(kept) => self.kept.autostarts(&kept),
            None => Ok(false),
        }
    }

    /// What shall start with the host must outlive it.
    fn set_autostart(&self, kept: &Kept, on: bool) -> Result<()> {
        self.adopt(kept)?;
        self.kept.set_autostart(kept, on)
    }

    fn adopt(&self, kept: &Kept) -> Result<()> {
        match self.kept.find(&kept.uuid)? {
            Some(_) => Ok(()),
            None => self.kept.keep(&self.document(kept)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_whole_and_keep_characters() {
        let xml = format!(
            "<domain type='xen'><name>a</name><uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d</uuid>\
             <description>{}</description><memory>65536</memory><os><type>linux</type>\
             <kernel>/k</kernel></os></domain>",
            "\u{fc}".repeat(PART_BYTES)
        );
        let host = Host::default();
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let document = Document::load(&xml, flags, &host.rules()).expect("a document");
        let entry = Entry::of(&document).expect("it fits");
        assert!(entry.parts.len() > 1 && entry.parts.iter().all(|p| p.len() <= PART_BYTES));
        let uuid = document.uuid.expect("its own");
        assert_eq!(entry.document(&uuid, &host).expect("it is read"), document);
        let other = Entry { name: "b".to_owned(), ..entry.clone() };
        assert!(other.document(&uuid, &host).is_err(), "a name that is not its own");
        assert!(entry.document(&Uuid([7; 16]), &host).is_err(), "another's folder");
    }
}
