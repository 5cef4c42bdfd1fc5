//! A domain's life: defined, made, started, asked to go, ended, forgotten.

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Result};
use virt_model::ParseFlags;
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, DomainState, Uuid, api};

use crate::channels::{Goodbye, Kept, Subject};
use crate::core::{Core, not_running};
use crate::seen::{Key, Life, Running};
use crate::watch::Why;
use crate::{ORIGIN, invalid_operation, jobs, operation_failed};

/// Limit: a document larger than this is no domain's.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Reads a document that a caller gives.
pub(crate) fn read(core: &Core, xml: &str, validate: bool) -> Result<(Document, Uuid)> {
    if xml.len() > DOCUMENT_BYTES_MAX {
        return Err(operation_failed("document is too long"));
    }
    let flags = ParseFlags { inactive: true, validate, ..ParseFlags::default() };
    let document = Document::load(xml, flags, &core.toolstack().host().rules())?;
    let uuid = document.uuid;
    let uuid = uuid.ok_or_else(|| Error::new(Code::XmlError, ORIGIN, "domain without a UUID"))?;
    Ok((document, uuid))
}

/// The domain that a document is about, if there is one; one name and one UUID are one domain.
fn known_by(core: &Core, document: &Document, uuid: Uuid) -> Result<Option<Subject>> {
    let name = &document.name;
    if let Some(subject) = core.with_uuid(&uuid)? {
        if *subject.name != **name {
            let other = &subject.name;
            let detail = format!("domain '{other}' is already defined with uuid {uuid}");
            return Err(operation_failed(detail));
        }
        return Ok(Some(subject));
    }
    match core.with_name(name)? {
        // It came between the two looks.
        Some(subject) if subject.uuid == uuid => Ok(Some(subject)),
        Some(subject) => {
            let other = subject.uuid;
            Err(operation_failed(format!("domain '{name}' already exists with uuid {other}")))
        }
        None => Ok(None),
    }
}

fn not_control_document(uuid: &Uuid) -> Result<()> {
    match uuid.is_nil() {
        true => Err(invalid_operation("Domain-0 is the host's own: it has no definition")),
        false => Ok(()),
    }
}

pub(crate) fn define(core: &Core, call: &Call<'_>, xml: &str, validate: bool) -> Result<DomainRef> {
    let (mut document, uuid) = read(core, xml, validate)?;
    not_control_document(&uuid)?;
    if core.toolstack().keeps_changes() {
        core.place_displays(&mut document);
    }
    core.work(call, uuid, Job::Modify, || {
        let known = known_by(core, &document, uuid)?;
        core.definitions().keep(&document)?;
        core.note(&document)?;
        let id = known.and_then(|known| known.running).map_or(-1, |running| running.public_id());
        Ok(DomainRef { name: document.name.as_str().into(), uuid, id })
    })
}

pub(crate) fn undefine(core: &Core, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
    core.work(call, dom.uuid, Job::Modify, || {
        let subject = core.find(dom)?;
        if !subject.kept {
            return Err(invalid_operation("cannot undefine transient domain"));
        }
        not_control_document(&subject.uuid)?;
        if subject.running.is_some() && core.toolstack().keeps_changes() {
            let detail = format!(
                "domain '{}' is active: xend forgets domains that do not run; shut it down first",
                subject.name
            );
            return Err(invalid_operation(detail));
        }
        if core.save_path(&subject.name).exists() {
            if flags & api::DOMAIN_UNDEFINE_MANAGED_SAVE == 0 {
                let detail = "Refusing to undefine while domain managed save image exists";
                return Err(invalid_operation(detail));
            }
            jobs::forget_save(core, &subject)?;
        }
        core.definitions().forget(&Kept { uuid: subject.uuid, name: subject.name.clone() })?;
        if subject.running.is_none() {
            core.notes().iter().for_each(|notes| notes.remove(&subject.uuid));
        }
        Ok(())
    })
}

/// Makes a guest of a document, and lets it run unless it shall be paused.
pub(crate) fn create(core: &Core, call: &Call<'_>, xml: &str, flags: u32) -> Result<DomainRef> {
    let (mut document, uuid) = read(core, xml, flags & api::DOMAIN_START_VALIDATE != 0)?;
    not_control_document(&uuid)?;
    core.place_displays(&mut document);
    core.work(call, uuid, Job::Modify, || {
        let known = known_by(core, &document, uuid)?;
        if known.as_ref().is_some_and(|known| known.running.is_some()) {
            let detail = format!("domain is already active as '{}'", document.name);
            return Err(invalid_operation(detail));
        }
        core.toolstack().create(&document)?;
        core.note(&document)?;
        let_run(core, uuid, flags & api::DOMAIN_START_PAUSED != 0, true, api::DOMAIN_RUNNING_BOOTED)
    })
}

/// A guest that was just made, running for that reason or paused as it shall be.
fn let_run(
    core: &Core,
    uuid: Uuid,
    paused: bool,
    is_paused: bool,
    reason: i32,
) -> Result<DomainRef> {
    let made = core.hypervisor().look(Key::Uuid(uuid))?;
    let made = made.ok_or_else(|| operation_failed("the guest has ended while it was started"))?;
    if paused != is_paused {
        let done = match paused {
            true => core.hypervisor().pause(&made),
            false => core.hypervisor().unpause(&made),
        };
        if let Err(error) = done {
            // One that cannot run is not left to hold memory.
            let _ = core.toolstack().destroy(&made);
            return Err(error);
        }
    }
    core.watch.note(&made, paused, if paused { api::DOMAIN_PAUSED_USER } else { reason });
    Ok(made.to_ref())
}

pub(crate) fn start(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    flags: u32,
) -> Result<DomainRef> {
    core.work(call, dom.uuid, Job::Modify, || {
        let subject = core.find(dom)?;
        if subject.running.is_some() {
            return Err(invalid_operation("domain is already running"));
        }
        start_subject(core, &subject, flags)
    })
}

fn start_subject(core: &Core, subject: &Subject, flags: u32) -> Result<DomainRef> {
    let paused = flags & api::DOMAIN_START_PAUSED != 0;
    let saved = core.save_path(&subject.name);
    if saved.exists() {
        if flags & api::DOMAIN_START_FORCE_BOOT == 0 {
            core.watch.expect(subject.uuid, Why::Restored);
            core.toolstack().restore(&saved, None, paused)?;
            jobs::forget_save(core, subject)?;
            let reason = api::DOMAIN_RUNNING_RESTORED;
            return let_run(core, subject.uuid, paused, paused, reason);
        }
        jobs::forget_save(core, subject)?;
    }
    core.definitions().adopt(&Kept { uuid: subject.uuid, name: subject.name.clone() })?;
    let mut document = core.kept_document(subject)?;
    core.place_displays(&mut document);
    let is_paused = core.toolstack().start(subject, &document)?;
    let_run(core, subject.uuid, paused, is_paused, api::DOMAIN_RUNNING_BOOTED)
}

pub(crate) fn ask(core: &Core, call: &Call<'_>, dom: &DomainRef, how: Goodbye) -> Result<()> {
    core.work(call, dom.uuid, Job::Modify, || {
        let (_, running) = core.guest(dom)?;
        if running.life == Life::Paused {
            return Err(invalid_operation("domain is paused: resume it, and it can be asked"));
        }
        if !running.life.is_up() {
            return Err(not_running());
        }
        core.toolstack().ask(&running, how)
    })
}

pub(crate) fn destroy(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    core.work(call, dom.uuid, Job::Destroy, || {
        let (_, running) = core.guest(dom)?;
        core.watch.expect(running.uuid, Why::Destroyed);
        core.toolstack().destroy(&running)
    })
}

/// Pauses or resumes; what is so already is left so.
pub(crate) fn set_paused(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    paused: bool,
) -> Result<()> {
    core.work(call, dom.uuid, Job::Suspend, || {
        let (_, running) = core.guest(dom)?;
        if !running.life.is_up() {
            return Err(not_running());
        }
        let reason = match (running.life == Life::Paused, paused) {
            (false, true) => {
                core.hypervisor().pause(&running)?;
                api::DOMAIN_PAUSED_USER
            }
            (true, false) => {
                core.hypervisor().unpause(&running)?;
                api::DOMAIN_RUNNING_UNPAUSED
            }
            _ => return Ok(()),
        };
        core.watch.note(&running, paused, reason);
        Ok(())
    })
}

pub(crate) fn rename(core: &Core, call: &Call<'_>, dom: &DomainRef, name: &str) -> Result<()> {
    core.work(call, dom.uuid, Job::Modify, || {
        let subject = core.find(dom)?;
        if let Some(running) = &subject.running {
            crate::core::not_control(running)?;
            return Err(invalid_operation("cannot rename active domain"));
        }
        if *subject.name == *name {
            return Err(crate::invalid_arg("Can't rename domain to itself"));
        }
        if core.with_name(name)?.is_some() {
            let detail = format!("domain with name '{name}' already exists");
            return Err(invalid_operation(detail));
        }
        if core.save_path(&subject.name).exists() {
            return Err(invalid_operation(
                "cannot rename domain while it has a managed save image",
            ));
        }
        if core.toolstack().keeps_changes() {
            return core.toolstack().rename(&subject, name);
        }
        let mut document = core.kept_document(&subject)?;
        name.clone_into(&mut document.name);
        core.definitions().keep(&document)
    })
}

/// Starts what is marked to start with the host. Compat: xend does so itself for what it keeps.
pub(crate) fn autostart(core: &Core) {
    if core.toolstack().keeps_changes() {
        return;
    }
    let Ok(all) = core.all() else { return };
    for subject in all.iter().filter(|subject| subject.running.is_none()) {
        let kept = Kept { uuid: subject.uuid, name: subject.name.clone() };
        if !core.definitions().autostarts(&kept).unwrap_or(false) {
            continue;
        }
        if let Err(error) = start_subject(core, subject, 0) {
            virt_log::error!("xen", "cannot start '{}': {error}", subject.name);
        }
    }
}

/// The state that clients see, and why.
pub(crate) fn state(core: &Core, subject: &Subject) -> (i32, i32) {
    match &subject.running {
        Some(running) => {
            let DomainState { state, reason } = state_of(core, running);
            (state, reason)
        }
        None => (api::DOMAIN_SHUTOFF, core.watch.ended(&subject.uuid)),
    }
}

/// The same of one that runs.
pub(crate) fn state_of(core: &Core, running: &Running) -> DomainState {
    DomainState { state: running.life.state(), reason: core.watch.why(running) }
}
