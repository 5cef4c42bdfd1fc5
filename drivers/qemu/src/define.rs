//! Definitions: stored, replaced, taken away; and domains that are never stored.

use std::sync::Arc;

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_model::{Flags, ParseFlags, PrintFlags};
use virt_store::{Autostart, Durability};
use virt_types::{DomainRef, Uuid, api};

use crate::core::{Core, Work};
use crate::dirs::store_error;
use crate::guest::{Data, Definition, Guest, invalid_operation, operation_failed};
use crate::lifecycle;

/// Reads a document that a caller gives.
fn read(core: &Core, xml: &str, validate: bool) -> Result<(Document, Uuid)> {
    let flags = ParseFlags { inactive: true, validate, abi_update: true, ..ParseFlags::default() };
    let document = core.load(xml, flags)?;
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
fn known(core: &Core, document: &Document, uuid: Uuid) -> Result<Option<Arc<Guest>>> {
    if let Some(guest) = core.guests.by_uuid(&uuid) {
        if *guest.name == *document.name {
            return Ok(Some(guest));
        }
        let detail = format!("domain '{}' is already defined with uuid {uuid}", guest.name);
        return Err(operation_failed(detail));
    }
    match core.guests.by_name(&document.name) {
        Some(guest) => {
            let (name, uuid) = (&guest.name, guest.uuid);
            Err(operation_failed(format!("domain '{name}' already exists with uuid {uuid}")))
        }
        None => Ok(None),
    }
}

/// The guest a document is about, in the table, with its job held.
fn with_guest<R>(
    core: &Core,
    call: &Call<'_>,
    document: &Document,
    uuid: Uuid,
    act: impl FnOnce(&mut Work<'_>, bool) -> Result<R>,
) -> Result<R> {
    // Somebody may take the name, or the guest away, between the look and the job.
    let mut act = Some(act);
    loop {
        let known = known(core, document, uuid)?;
        let new = known.is_none();
        let guest = known.unwrap_or_else(|| {
            let mut data = Data::default();
            data.set_state(api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_UNKNOWN);
            Arc::new(Guest::new(document.name.as_str().into(), uuid, data))
        });
        // Order: the job first, so that nobody sees a new guest before it is whole.
        let mut work = match core.work(&guest, Job::Modify, call) {
            Ok(work) => work,
            Err(error) if error.is(Code::NoDomain) => continue,
            Err(error) => return Err(error),
        };
        if new && core.guests.insert(Arc::clone(&guest)).is_err() {
            continue;
        }
        let Some(act) = act.take() else {
            return Err(Error::internal(Origin::Qemu, "a definition was tried twice"));
        };
        let result = act(&mut work, new);
        let nothing = work.read(|data| data.definition.is_none() && data.live.is_none());
        if nothing {
            work.change(|data| data.gone = true)?;
            core.guests.remove(&guest);
        }
        return result;
    }
}

/// `virDomainDefineXML`.
pub(crate) fn define(core: &Core, call: &Call<'_>, xml: &str, validate: bool) -> Result<DomainRef> {
    let (document, uuid) = read(core, xml, validate)?;
    with_guest(core, call, &document, uuid, |work, _| {
        let document = Arc::new(document.clone());
        let updated = work.read(|data| data.definition.is_some());
        store(work, document)?;
        let dom = work.guest.to_ref();
        let detail = match updated {
            true => api::DOMAIN_EVENT_DEFINED_UPDATED,
            false => api::DOMAIN_EVENT_DEFINED_ADDED,
        };
        core.publish_lifecycle(dom.clone(), api::DOMAIN_EVENT_DEFINED, detail);
        Ok(dom)
    })
}

/// Makes a document the stored definition.
pub(crate) fn store(work: &mut Work<'_>, document: Arc<Document>) -> Result<()> {
    let path = work.core.dirs().definition(&document.name);
    let text = lifecycle::definition_text(&document);
    virt_store::write(&path, text.as_bytes(), 0o600, Durability::Machine)
        .map_err(|error| store_error(&error))?;
    work.change(|data| data.definition = Some(Definition::known(path, document)))
}

/// `virDomainCreateXML`.
pub(crate) fn create(core: &Core, call: &Call<'_>, xml: &str, flags: u32) -> Result<DomainRef> {
    let (document, uuid) = read(core, xml, flags & api::DOMAIN_START_VALIDATE != 0)?;
    with_guest(core, call, &document, uuid, |work, _| {
        if work.read(Data::active) {
            let detail = format!("domain is already active as '{}'", document.name);
            return Err(invalid_operation(detail));
        }
        lifecycle::start(work, &document, flags & api::DOMAIN_START_PAUSED != 0)?;
        Ok(work.guest.to_ref())
    })
}

/// `virDomainSetAutostart` and `virDomainSetAutostartOnce`.
pub(crate) fn set_autostart(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    when: Autostart,
    on: bool,
) -> Result<()> {
    let guest = core.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    if work.read(|data| data.definition.is_none()) {
        return Err(invalid_operation("cannot set autostart for transient domain"));
    }
    mark(&mut work, when, on)
}

/// Marks a guest to start by itself, or takes the mark away.
pub(crate) fn mark(work: &mut Work<'_>, when: Autostart, on: bool) -> Result<()> {
    let is_on = |data: &Data| match when {
        Autostart::EachBoot => data.autostart,
        Autostart::NextBoot => data.autostart_once,
    };
    if work.read(is_on) == on {
        return Ok(());
    }
    virt_store::set_autostart(&work.core.dirs().config, &work.guest.name, when, on)
        .map_err(|error| store_error(&error))?;
    work.change(|data| match when {
        Autostart::EachBoot => data.autostart = on,
        Autostart::NextBoot => data.autostart_once = on,
    })
}

/// `virDomainUndefine`: a running domain becomes a transient one.
pub(crate) fn undefine(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let guest = core.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    if work.read(|data| data.definition.is_none()) {
        return Err(invalid_operation("cannot undefine transient domain"));
    }
    virt_store::remove(&core.dirs().definition(&guest.name))
        .map_err(|error| store_error(&error))?;
    mark(&mut work, Autostart::EachBoot, false)?;
    mark(&mut work, Autostart::NextBoot, false)?;
    let gone = work.change(|data| {
        data.definition = None;
        data.gone = data.live.is_none();
        data.gone
    })?;
    if gone {
        core.guests.remove(&guest);
    }
    let detail = api::DOMAIN_EVENT_UNDEFINED_REMOVED;
    core.publish_lifecycle(guest.to_ref(), api::DOMAIN_EVENT_UNDEFINED, detail);
    Ok(())
}

/// `virDomainGetXMLDesc`.
pub(crate) fn text(core: &Core, dom: &DomainRef, flags: u32) -> Result<String> {
    let guest = core.find(dom)?;
    let stored = flags & api::DOMAIN_XML_INACTIVE != 0;
    let document = match stored.then(|| core.stored(&guest)).transpose()?.flatten() {
        Some(document) => document,
        None => core.current(&guest)?,
    };
    let balloon_kib = guest.read(|data| data.live.as_ref().map(|live| live.balloon_kib));
    let flags = PrintFlags::from_bits(flags);
    match balloon_kib.filter(|kib| !flags.inactive && *kib != document.current_memory_kib()) {
        Some(kib) => {
            let mut shown = (*document).clone();
            shown.current_memory_kib = Some(kib);
            Ok(shown.to_xml(flags))
        }
        None => Ok(document.to_xml(flags)),
    }
}
