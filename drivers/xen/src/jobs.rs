//! Guests that become files, and files that become guests.

use std::path::Path;

use virt_driver::{Call, Job};
use virt_error::{Error, Result};
use virt_types::{DomainRef, api};

use crate::channels::{Dump, Subject};
use crate::core::{Core, not_running};
use crate::seen::Key;
use crate::watch::Why;
use crate::{ORIGIN, invalid_operation, store_error};

/// Whether the tool stack could write there; who it is and where is part of the refusal.
fn writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("/"));
    match std::fs::metadata(folder) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(crate::operation_failed(format!(
            "the tool stack, as user root, cannot write '{}': '{}' is no directory",
            path.display(),
            folder.display()
        ))),
        Err(error) => {
            let what = format!("the tool stack, as user root, cannot write '{}'", path.display());
            Err(Error::io(ORIGIN, &error, what))
        }
    }
}

fn save_to(core: &Core, dom: &DomainRef, path: &Path) -> Result<()> {
    let (_, running) = core.guest(dom)?;
    if !running.life.is_up() {
        return Err(not_running());
    }
    writable(path)?;
    let document = core.toolstack().document(&running)?;
    core.watch.expect(running.uuid, Why::Saved);
    let saved = core.toolstack().save(&running, &document, path);
    saved.inspect_err(|_| {
        let now = core.hypervisor().look(Key::Id(running.id)).ok().flatten();
        // What is half written is of no use to anybody; of a guest that does not run any more it may
        // be all there is.
        if now.is_some_and(|now| now.uuid == running.uuid && now.life.is_up()) {
            let _ = std::fs::remove_file(path);
        }
    })
}

pub(crate) fn save(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    path: &Path,
    xml: Option<&str>,
) -> Result<()> {
    if xml.is_some() {
        return Err(crate::unsupported("xml modification unsupported"));
    }
    core.work(call, dom.uuid, Job::Modify, || save_to(core, dom, path))
}

pub(crate) fn managed_save(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    core.work(call, dom.uuid, Job::Modify, || {
        let (subject, _) = core.guest(dom)?;
        if !subject.kept {
            return Err(invalid_operation("cannot do managed save for transient domain"));
        }
        save_to(core, dom, &core.save_path(&subject.name))
    })
}

/// Takes the image away that the daemon keeps of a domain; one that is not there is no error.
pub(crate) fn forget_save(core: &Core, subject: &Subject) -> Result<()> {
    let removed = virt_store::remove(&core.save_path(&subject.name));
    removed.map(drop).map_err(|error| store_error(&error))
}

pub(crate) fn restore(
    core: &Core,
    call: &Call<'_>,
    path: &Path,
    xml: Option<&str>,
    paused: bool,
) -> Result<()> {
    let saved = call.waiting(|| core.toolstack().saved(path))?;
    let uuid = saved.uuid.unwrap_or_default();
    core.work(call, uuid, Job::Modify, || {
        let known = core.with_uuid(&uuid)?;
        if known.as_ref().is_some_and(|known| known.running.is_some()) {
            let detail = format!("domain is already active as '{}'", saved.name);
            return Err(invalid_operation(detail));
        }
        core.watch.expect(uuid, Why::Restored);
        core.toolstack().restore(path, xml, paused)?;
        if let Some(made) = core.hypervisor().look(Key::Uuid(uuid))? {
            let reason =
                if paused { api::DOMAIN_PAUSED_USER } else { api::DOMAIN_RUNNING_RESTORED };
            core.watch.note(&made, paused, reason);
        }
        Ok(())
    })
}

pub(crate) fn dump(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    path: &Path,
    how: Dump,
) -> Result<()> {
    core.work(call, dom.uuid, Job::Modify, || {
        let (_, running) = core.guest(dom)?;
        writable(path)?;
        core.toolstack().dump(&running, path, how)
    })
}
