//! Definitions: stored, replaced, taken away, found at start; and domains that are never stored.

use std::path::PathBuf;
use std::sync::Arc;

use virt_driver::{Call, Job, Turn};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_model::{ParseFlags, PrintFlags};
use virt_store::{Autostart, Durability};
use virt_types::{DomainRef, Uuid, api};
use virt_xml::peek;

use crate::guest::{Data, Definition, Guest, Live};
use crate::guests::{DOCUMENT_BYTES_MAX, Guests};
use crate::{store_error, words};

/// Limit: definitions in one directory.
const DEFINITIONS_MAX: usize = 100_000;

/// The job on a guest.
type Held<'a, L> = Turn<'a, Data<L>>;

impl<L: Live> Guests<L> {
    fn path(&self, name: &str) -> PathBuf {
        self.config.join(format!("{name}.xml"))
    }

    fn failed(&self, detail: String) -> Error {
        Error::new(Code::OperationFailed, self.origin, detail)
    }

    /// Reads a document that a caller gives.
    fn read_given(&self, xml: &str, validate: bool) -> Result<(Document, Uuid)> {
        let flags =
            ParseFlags { inactive: true, validate, abi_update: true, ..ParseFlags::default() };
        let document = self.load(xml, flags)?;
        virt_store::check_name(&document.name).map_err(|_| {
            let detail = format!("name '{}' cannot be used for a file", document.name);
            Error::new(Code::XmlError, Origin::Domain, detail)
        })?;
        let uuid = document
            .uuid
            .ok_or_else(|| Error::new(Code::XmlError, Origin::Domain, "domain without a UUID"))?;
        Ok((document, uuid))
    }

    /// Refuses a document whose name or UUID belongs to another domain; gives the one it is about.
    fn known_by(&self, document: &Document, uuid: Uuid) -> Result<Option<Arc<Guest<L>>>> {
        if let Some(guest) = self.table.by_uuid(&uuid) {
            if *guest.name == *document.name {
                return Ok(Some(guest));
            }
            let name = &guest.name;
            return Err(self.failed(format!("domain '{name}' is already defined with uuid {uuid}")));
        }
        match self.table.by_name(&document.name) {
            // It came between the two looks.
            Some(guest) if guest.uuid == uuid => Ok(Some(guest)),
            Some(guest) => {
                let (name, uuid) = (&guest.name, guest.uuid);
                Err(self.failed(format!("domain '{name}' already exists with uuid {uuid}")))
            }
            None => Ok(None),
        }
    }

    /// Does something with the guest that a document is about, which is in the table, with its job
    /// held; the job is handed on, beside what `owner` is, and given back. A guest that has neither
    /// a definition nor a process afterwards is gone.
    fn with_guest<O, R>(
        &self,
        owner: &O,
        call: &Call<'_>,
        document: &Document,
        uuid: Uuid,
        act: impl for<'a> FnOnce(&'a O, &'a Arc<Guest<L>>, Held<'a, L>) -> (Held<'a, L>, Result<R>),
    ) -> Result<R> {
        loop {
            // Somebody may take the name, or the guest away, between the look and the job.
            let known = self.known_by(document, uuid)?;
            let new = known.is_none();
            let guest = known.unwrap_or_else(|| {
                Arc::new(Guest::new(document.name.as_str().into(), uuid, Data::default()))
            });
            // Order: the job first, so that nobody sees a new guest before it is whole.
            let turn = match self.begin(&guest, Job::Modify, call) {
                Ok(turn) => turn,
                Err(error) if error.is(Code::NoDomain) => continue,
                Err(error) => return Err(error),
            };
            if new && !self.insert(Arc::clone(&guest)) {
                continue;
            }
            let (mut turn, result) = act(owner, &guest, turn);
            if turn.read(|data| data.definition.is_none() && data.live.is_none()) {
                turn.change(|data| data.gone = true);
                self.table.remove(&guest);
            }
            drop(turn);
            self.freed(&guest);
            return result;
        }
    }

    /// Does something with a stored domain, with its job held.
    fn with_stored<R>(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        refusal: &str,
        act: impl FnOnce(&Arc<Guest<L>>, &mut Turn<'_, Data<L>>) -> Result<R>,
    ) -> Result<R> {
        let guest = self.find(dom)?;
        let mut turn = self.begin(&guest, Job::Modify, call)?;
        let result = match turn.read(|data| data.definition.is_none()) {
            true => Err(self.invalid(refusal)),
            false => act(&guest, &mut turn),
        };
        drop(turn);
        self.freed(&guest);
        result
    }

    /// `virDomainDefineXML`.
    pub fn define(&self, call: &Call<'_>, xml: &str, validate: bool) -> Result<DomainRef> {
        let (document, uuid) = self.read_given(xml, validate)?;
        self.with_guest(&(), call, &document, uuid, |(), guest, mut turn| {
            let updated = turn.read(|data| data.definition.is_some());
            let stored = self.store(&mut turn, Arc::new(document.clone()));
            let defined = stored.map(|()| {
                let dom = guest.to_ref();
                let detail = match updated {
                    true => api::DOMAIN_EVENT_DEFINED_UPDATED,
                    false => api::DOMAIN_EVENT_DEFINED_ADDED,
                };
                self.publish_lifecycle(dom.clone(), api::DOMAIN_EVENT_DEFINED, detail);
                dom
            });
            (turn, defined)
        })
    }

    /// Makes a document the stored definition.
    pub fn store(&self, turn: &mut Turn<'_, Data<L>>, document: Arc<Document>) -> Result<()> {
        let path = self.path(&document.name);
        let flags = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
        let text = format!("{}{}", words::header(&document.name), document.to_xml(flags));
        virt_store::write(&path, text.as_bytes(), 0o600, Durability::Machine)
            .map_err(|error| store_error(&error, self.origin))?;
        turn.change(|data| data.definition = Some(Definition::known(path, document)));
        Ok(())
    }

    /// Changes the stored definition, where there is one.
    pub fn edit(
        &self,
        guest: &Guest<L>,
        turn: &mut Turn<'_, Data<L>>,
        edit: impl FnOnce(&mut Document),
    ) -> Result<()> {
        let Some(mut document) = self.stored(guest)? else { return Ok(()) };
        edit(Arc::make_mut(&mut document));
        self.store(turn, document)
    }

    /// `virDomainCreateXML`: `start` gets the driver's own part, starts the guest and gives the job
    /// back.
    pub fn create<O>(
        &self,
        owner: &O,
        call: &Call<'_>,
        xml: &str,
        validate: bool,
        start: impl for<'a> FnOnce(
            &'a O,
            &'a Arc<Guest<L>>,
            Held<'a, L>,
            &Document,
        ) -> (Held<'a, L>, Result<()>),
    ) -> Result<DomainRef> {
        let (document, uuid) = self.read_given(xml, validate)?;
        self.with_guest(owner, call, &document, uuid, |owner, guest, turn| {
            if turn.read(Data::active) {
                let detail = format!("domain is already active as '{}'", document.name);
                return (turn, Err(self.invalid(detail)));
            }
            let (turn, started) = start(owner, guest, turn, &document);
            (turn, started.map(|()| guest.to_ref()))
        })
    }

    /// `virDomainSetAutostart` and `virDomainSetAutostartOnce`.
    pub fn set_autostart(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        when: Autostart,
        on: bool,
    ) -> Result<()> {
        let refusal = "cannot set autostart for transient domain";
        self.with_stored(call, dom, refusal, |guest, turn| self.mark(guest, turn, when, on))
    }

    /// Marks a guest to start by itself, or takes the mark away.
    pub fn mark(
        &self,
        guest: &Guest<L>,
        turn: &mut Turn<'_, Data<L>>,
        when: Autostart,
        on: bool,
    ) -> Result<()> {
        let is_on = |data: &Data<L>| match when {
            Autostart::EachBoot => data.autostart,
            Autostart::NextBoot => data.autostart_once,
        };
        if turn.read(is_on) == on {
            return Ok(());
        }
        virt_store::set_autostart(&self.config, &guest.name, when, on)
            .map_err(|error| store_error(&error, self.origin))?;
        turn.change(|data| match when {
            Autostart::EachBoot => data.autostart = on,
            Autostart::NextBoot => data.autostart_once = on,
        });
        Ok(())
    }

    /// Those that are marked to start by themselves and do not run.
    pub fn marked(&self) -> Vec<Arc<Guest<L>>> {
        let mut marked = self.all();
        marked.retain(|guest| {
            guest.read(|data| (data.autostart || data.autostart_once) && !data.active())
        });
        marked
    }

    /// `virDomainUndefine`: a running domain becomes a transient one.
    pub fn undefine(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        self.with_stored(call, dom, "cannot undefine transient domain", |guest, turn| {
            virt_store::remove(&self.path(&guest.name))
                .map_err(|error| store_error(&error, self.origin))?;
            self.mark(guest, turn, Autostart::EachBoot, false)?;
            self.mark(guest, turn, Autostart::NextBoot, false)?;
            let gone = turn.change(|data| {
                data.definition = None;
                data.gone = data.live.is_none();
                data.gone
            });
            if gone {
                self.table.remove(guest);
            }
            let detail = api::DOMAIN_EVENT_UNDEFINED_REMOVED;
            self.publish_lifecycle(guest.to_ref(), api::DOMAIN_EVENT_UNDEFINED, detail);
            Ok(())
        })
    }

    /// Loads what is stored.
    pub fn load_definitions(&self) -> Result<()> {
        let names = virt_store::list(&self.config, ".xml", DEFINITIONS_MAX);
        let names = names.map_err(|error| store_error(&error, self.origin))?;
        let marked = |when: Autostart| {
            let dir = self.config.join("autostart");
            (when, virt_store::list(&dir, when.suffix(), DEFINITIONS_MAX).unwrap_or_default())
        };
        let (each, next) = (marked(Autostart::EachBoot), marked(Autostart::NextBoot));
        let is_marked = |(when, marks): &(Autostart, Vec<String>), name: &String| {
            marks.binary_search(name).is_ok() && virt_store::is_autostart(&self.config, name, *when)
        };
        for name in names {
            // Compat: a file that is no definition, or has another's name, is passed over.
            let Some((uuid, definition)) = self.definition(&name) else { continue };
            let data = Data {
                definition: Some(definition),
                autostart: is_marked(&each, &name),
                autostart_once: is_marked(&next, &name),
                ..Data::default()
            };
            // Of two files with one UUID the first is taken.
            self.insert(Arc::new(Guest::new(name.into(), uuid, data)));
        }
        Ok(())
    }

    /// Identity and place of a definition; the document itself is read when somebody wants it.
    fn definition(&self, name: &str) -> Option<(Uuid, Arc<Definition>)> {
        let path = self.path(name);
        let text = virt_store::read_text(&path, DOCUMENT_BYTES_MAX).ok()?;
        if let Some(head) = peek(&text)
            && let (Some(found), Some(uuid)) = (head.name, head.uuid)
        {
            let uuid = Uuid::parse(&uuid)?;
            let fits = head.root == "domain" && found == name;
            return fits.then(|| (uuid, Definition::stored(path)));
        }
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let document = self.load(&text, flags).ok().filter(|document| document.name == name)?;
        Some((document.uuid?, Definition::known(path, Arc::new(document))))
    }

    /// Names of the status files in a directory.
    pub fn names(&self, dir: &std::path::Path) -> Result<Vec<String>> {
        virt_store::list(dir, ".xml", DEFINITIONS_MAX)
            .map_err(|error| store_error(&error, self.origin))
    }
}
