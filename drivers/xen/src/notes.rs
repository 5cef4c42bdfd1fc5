//! What people wrote into documents that xend has no place for: title, description, metadata.
//!
//! `xl`'s guests have their documents in files of ours, whole. xend keeps what it understands; the rest is kept
//! beside it, in a file for each domain, and put into documents on their way out.

use std::collections::HashSet;
use std::path::PathBuf;

use virt_error::Result;
use virt_model::domain::Domain as Document;
use virt_store::Durability;
use virt_types::Uuid;
use virt_xml::{Element, Writer};

use crate::store_error;

/// Limit: what is noted of one domain.
const NOTES_BYTES_MAX: u64 = 4 << 20;
/// Limit: domains of which something is noted.
const DOMAINS_MAX: usize = 100_000;

/// The folder of notes.
#[derive(Debug)]
pub(crate) struct Notes {
    pub(crate) dir: PathBuf,
}

impl Notes {
    fn path(&self, uuid: &Uuid) -> PathBuf {
        self.dir.join(format!("{uuid}.xml"))
    }

    /// Notes what a document says beside what xend understands; nothing, where it says nothing.
    pub(crate) fn put(&self, document: &Document) -> Result<()> {
        let Some(uuid) = &document.uuid else { return Ok(()) };
        let Document { title, description, metadata, .. } = document;
        if title.is_none() && description.is_none() && metadata.is_none() {
            self.remove(uuid);
            return Ok(());
        }
        virt_store::make_dir(&self.dir, 0o755).map_err(|error| store_error(&error))?;
        let mut w = Writer::new();
        w.open("notes");
        for (name, text) in [("title", title), ("description", description)] {
            if let Some(text) = text {
                w.text_element(name, text);
            }
        }
        if let Some(metadata) = metadata {
            w.element(metadata);
        }
        w.close("notes");
        virt_store::write(&self.path(uuid), w.finish().as_bytes(), 0o600, Durability::Machine)
            .map_err(|error| store_error(&error))
    }

    /// Puts into a document what was noted of it.
    pub(crate) fn complete(&self, document: &mut Document) {
        let Some(uuid) = &document.uuid else { return };
        let Ok(text) = virt_store::read_text(&self.path(uuid), NOTES_BYTES_MAX) else { return };
        // A file that somebody else has spoilt says nothing.
        let Ok(tree) = virt_xml::parse(&text) else { return };
        let said = |name: &str| tree.child_text(name).map(|text| text.into_owned());
        document.title = said("title").or(document.title.take());
        document.description = said("description").or(document.description.take());
        document.metadata = tree.child("metadata").map(Element::to_static);
    }

    pub(crate) fn remove(&self, uuid: &Uuid) {
        // One that is not there is what is wanted.
        let _ = virt_store::remove(&self.path(uuid));
    }

    /// Forgets those of domains that are not there any more.
    pub(crate) fn retain(&self, known: &HashSet<Uuid>) {
        let names = virt_store::list(&self.dir, ".xml", DOMAINS_MAX).unwrap_or_default();
        let uuids = names.iter().filter_map(|name| Uuid::parse(name));
        uuids.filter(|uuid| !known.contains(uuid)).for_each(|uuid| self.remove(&uuid));
    }
}
