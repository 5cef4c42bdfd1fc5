//! Definitions in files of ours, as libvirt keeps them: where no tool stack keeps any.

use std::path::PathBuf;

use virt_error::{Code, Error, Result};
use virt_guests::words;
use virt_model::domain::Domain as Document;
use virt_model::{ParseFlags, PrintFlags};
use virt_store::{Autostart, Durability};

use crate::channels::{Definitions, Kept};
use crate::formats::Host;
use crate::{ORIGIN, invalid_arg, store_error};

/// Limit: a document larger than this is no definition of ours.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
/// Limit: definitions in the folder.
const DEFINITIONS_MAX: usize = 100_000;

/// A folder of `NAME.xml`, with `autostart` below.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
    pub(crate) host: Host,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.xml"))
    }

    fn read(&self, name: &str) -> Result<Document> {
        let text = virt_store::read_text(&self.path(name), DOCUMENT_BYTES_MAX);
        let text = text.map_err(|error| store_error(&error))?;
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        Document::load(&text, flags, &self.host.rules())
    }

    fn head(&self, name: &str) -> Option<Kept> {
        let text = virt_store::read_text(&self.path(name), DOCUMENT_BYTES_MAX).ok()?;
        let head = virt_xml::peek(&text)?;
        let uuid = virt_types::Uuid::parse(&head.uuid?)?;
        // A file that is no definition, or has another's name, is passed over.
        let fits = head.root == "domain" && head.name.is_some_and(|found| found == name);
        fits.then(|| Kept { uuid, name: name.into() })
    }
}

impl Definitions for Files {
    fn list(&self) -> Result<Vec<Kept>> {
        let names = virt_store::list(&self.dir, ".xml", DEFINITIONS_MAX);
        let names = names.map_err(|error| store_error(&error))?;
        Ok(names.iter().filter_map(|name| self.head(name)).collect())
    }

    fn document(&self, kept: &Kept) -> Result<Document> {
        let document = self.read(&kept.name)?;
        match document.uuid == Some(kept.uuid) {
            true => Ok(document),
            false => {
                let detail =
                    format!("no domain with matching uuid '{}' ({})", kept.uuid, kept.name);
                Err(Error::new(Code::NoDomain, ORIGIN, detail))
            }
        }
    }

    fn keep(&self, document: &Document) -> Result<()> {
        let name = &document.name;
        virt_store::check_name(name)
            .map_err(|_| invalid_arg(format!("name '{name}' cannot be used for a file")))?;
        let old = document.uuid.map(|uuid| self.find(&uuid)).transpose()?.flatten();
        let flags = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
        let text = format!("{}{}", words::header(name), document.to_xml(flags));
        virt_store::write(&self.path(name), text.as_bytes(), 0o600, Durability::Machine)
            .map_err(|error| store_error(&error))?;
        match old.filter(|old| *old.name != **name) {
            Some(old) => self.forget(&old),
            None => Ok(()),
        }
    }

    fn forget(&self, kept: &Kept) -> Result<()> {
        self.set_autostart(kept, false)?;
        virt_store::remove(&self.path(&kept.name)).map(drop).map_err(|error| store_error(&error))
    }

    fn autostarts(&self, kept: &Kept) -> Result<bool> {
        Ok(virt_store::is_autostart(&self.dir, &kept.name, Autostart::EachBoot))
    }

    fn set_autostart(&self, kept: &Kept, on: bool) -> Result<()> {
        virt_store::set_autostart(&self.dir, &kept.name, Autostart::EachBoot, on)
            .map_err(|error| store_error(&error))
    }
}
