//! What is known of running guests that nobody else keeps: their documents, in a file for each.

use std::path::PathBuf;

use virt_error::Result;
use virt_guests::words;
use virt_model::domain::Domain as Document;
use virt_model::{ParseFlags, PrintFlags};
use virt_store::Durability;
use virt_types::Uuid;

use crate::formats::Host;
use crate::seen::Running;
use crate::store_error;

/// Limit: a document larger than this is not one of ours.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// The folder of these files.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) dir: PathBuf,
    pub(super) host: Host,
}

impl Status {
    fn path(&self, uuid: &Uuid) -> PathBuf {
        self.dir.join(format!("{uuid}.xml"))
    }

    /// Order: before the guest is made, so that it is never without; its number is not known then.
    pub(super) fn put(&self, document: &Document) -> Result<()> {
        let Some(uuid) = document.uuid else { return Ok(()) };
        let flags = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
        let text = format!("{}{}", words::header(&document.name), document.to_xml(flags));
        virt_store::write(&self.path(&uuid), text.as_bytes(), 0o600, Durability::Process)
            .map_err(|error| store_error(&error))
    }

    /// The document of a guest of ours.
    pub(super) fn get(&self, running: &Running) -> Option<Document> {
        let text = virt_store::read_text(&self.path(&running.uuid), DOCUMENT_BYTES_MAX).ok()?;
        let flags = ParseFlags::default();
        let document = Document::load(&text, flags, &self.host.rules()).ok()?;
        (document.uuid == Some(running.uuid) && document.name == *running.name).then_some(document)
    }

    pub(super) fn remove(&self, uuid: &Uuid) {
        // One that is not there is what is wanted.
        let _ = virt_store::remove(&self.path(uuid));
    }
}
