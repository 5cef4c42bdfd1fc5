//! The driver's heart: the channels that were found, and one change at a time on each domain.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use virt_driver::{Call, Cell, Job};
use virt_error::{Code, Error, Result};
use virt_guests::Consoles;
use virt_model::domain::Domain as Document;
use virt_model::domain::graphics::GraphicsType;
use virt_types::{DomainRef, Uuid, api};

use crate::channels::{Definitions, Hypervisor, Kept, Subject, Toolstack};
use crate::formats::Toolstack as Flavour;
use crate::glances::Glances;
use crate::notes::Notes;
use crate::open::Found;
use crate::seen::{Key, Running};
use crate::store_channel::StoreChannel;
use crate::watch::Watch;
use crate::{ORIGIN, invalid_operation};

/// Limit: how long a call waits for another one on the same domain; libvirt's own.
const JOB_WAIT_MAX: Duration = Duration::from_secs(30);
/// Limit: domains whose turns are remembered; those that nobody waits for are forgotten beyond it.
const TURNS_MAX: usize = 1024;

/// The driver's directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Definitions, where no tool stack keeps them.
    pub config: PathBuf,
    /// What is known of running guests that no tool stack says.
    pub run: PathBuf,
    /// Saved guests, in `save`.
    pub lib: PathBuf,
    pub log: PathBuf,
}

/// How the driver is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    pub dirs: Dirs,
    /// The file with the driver's configuration; it need not be there.
    pub config: PathBuf,
}

/// Which of the running guest and the kept definition a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Impact {
    pub(crate) live: bool,
    pub(crate) config: bool,
}

/// The channels of a host, as they were found.
pub(crate) struct Channels {
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) toolstack: Arc<dyn Toolstack>,
    pub(crate) definitions: Arc<dyn Definitions>,
    pub(crate) store: Arc<StoreChannel>,
    /// Where displays listen that name no address.
    pub(crate) vnc_listen: Option<String>,
    /// How they were found; `None` where they stay what they are.
    pub(crate) found: Option<Found>,
}

pub(crate) struct Core {
    pub(crate) settings: Settings,
    /// Tells this driver from others.
    pub(crate) instance: Uuid,
    /// Others take their place when tool stacks come and go; a call goes on with those it began with.
    channels: RwLock<Arc<Channels>>,
    pub(crate) consoles: Consoles,
    pub(crate) watch: Watch,
    pub(crate) glances: Glances,
    turns: Mutex<HashMap<Uuid, Arc<Cell<()>>>>,
    me: Weak<Self>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(settings: Settings, channels: Channels) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            settings,
            instance: Uuid::random(),
            channels: RwLock::new(Arc::new(channels)),
            consoles: Consoles::default(),
            watch: Watch::default(),
            glances: Glances::default(),
            turns: Mutex::default(),
            me: Weak::clone(me),
        })
    }

    pub(crate) fn channels(&self) -> Arc<Channels> {
        Arc::clone(&self.channels.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes other channels from now on.
    pub(crate) fn change_channels(&self, channels: Channels) {
        *self.channels.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(channels);
        self.glances.forget();
    }

    pub(crate) fn hypervisor(&self) -> Arc<dyn Hypervisor> {
        Arc::clone(&self.channels().hypervisor)
    }

    pub(crate) fn toolstack(&self) -> Arc<dyn Toolstack> {
        Arc::clone(&self.channels().toolstack)
    }

    pub(crate) fn definitions(&self) -> Arc<dyn Definitions> {
        Arc::clone(&self.channels().definitions)
    }

    pub(crate) fn store(&self) -> Arc<StoreChannel> {
        Arc::clone(&self.channels().store)
    }

    /// Of domains whose tool stack does not keep whole documents.
    pub(crate) fn notes(&self) -> Option<Notes> {
        let whole = self.toolstack().host().toolstack == Flavour::Libxl;
        (!whole).then(|| Notes { dir: self.settings.dirs.config.join("notes") })
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.me)
    }

    /// All domains: those that run by number, then the others by name.
    pub(crate) fn all(&self) -> Result<Vec<Subject>> {
        let mut kept = self.definitions().list()?;
        let mut running = self.hypervisor().running()?;
        running.sort_by_key(|running| running.id);
        let mut all = Vec::with_capacity(running.len().saturating_add(kept.len()));
        for running in running {
            let before = kept.len();
            kept.retain(|kept| kept.uuid != running.uuid);
            let is_kept = kept.len() < before || running.is_control();
            all.push(subject(running, is_kept));
        }
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        all.extend(kept.into_iter().map(|kept| Subject {
            uuid: kept.uuid,
            name: kept.name,
            running: None,
            kept: true,
        }));
        Ok(all)
    }

    /// A domain by UUID, where there is one.
    pub(crate) fn with_uuid(&self, uuid: &Uuid) -> Result<Option<Subject>> {
        let running = self.hypervisor().look(Key::Uuid(*uuid))?;
        if let Some(running) = running {
            let kept = running.is_control() || self.definitions().find(uuid)?.is_some();
            return Ok(Some(subject(running, kept)));
        }
        let kept = self.definitions().find(uuid)?;
        let Kept { uuid, name } = match kept {
            Some(kept) => kept,
            None => return Ok(None),
        };
        Ok(Some(Subject { uuid, name, running: None, kept: true }))
    }

    pub(crate) fn with_name(&self, name: &str) -> Result<Option<Subject>> {
        if let Some(running) = self.hypervisor().look(Key::Name(name))? {
            return self.with_uuid(&running.uuid.clone());
        }
        let kept = self.definitions().list()?.into_iter().find(|kept| *kept.name == *name);
        Ok(kept.map(|Kept { uuid, name }| Subject { uuid, name, running: None, kept: true }))
    }

    /// The domain that a caller names.
    pub(crate) fn find(&self, dom: &DomainRef) -> Result<Subject> {
        self.with_uuid(&dom.uuid)?.ok_or_else(|| {
            let detail = format!("no domain with matching uuid '{}' ({})", dom.uuid, dom.name);
            Error::new(Code::NoDomain, ORIGIN, detail)
        })
    }

    /// The same, if it runs.
    pub(crate) fn active(&self, dom: &DomainRef) -> Result<(Subject, Running)> {
        let subject = self.find(dom)?;
        match subject.running.clone() {
            Some(running) => Ok((subject, running)),
            None => Err(not_running()),
        }
    }

    /// The same, if it is a guest: the control domain cannot be without itself.
    pub(crate) fn guest(&self, dom: &DomainRef) -> Result<(Subject, Running)> {
        let (subject, running) = self.active(dom)?;
        not_control(&running)?;
        Ok((subject, running))
    }

    /// The document in force: of the running guest, else the kept one.
    pub(crate) fn document(&self, subject: &Subject) -> Result<Document> {
        match &subject.running {
            Some(running) => self.toolstack().document(running).map(|found| self.noted(found)),
            None => self.kept_document(subject),
        }
    }

    pub(crate) fn kept_document(&self, subject: &Subject) -> Result<Document> {
        let kept = Kept { uuid: subject.uuid, name: subject.name.clone() };
        self.definitions().document(&kept).map(|found| self.noted(found))
    }

    /// A document with what its tool stack has no place for.
    fn noted(&self, mut document: Document) -> Document {
        if let Some(notes) = self.notes() {
            notes.complete(&mut document);
        }
        document
    }

    /// Notes what the tool stack has no place for.
    pub(crate) fn note(&self, document: &Document) -> Result<()> {
        self.notes().as_ref().map_or(Ok(()), |notes| notes.put(document))
    }

    /// Resolves "current", and refuses what is not there.
    ///
    /// Compat: the oldest calls mean a running domain, and to scripts of xend's time what xend does,
    /// which is both; a change of what is kept alone it does not know.
    pub(crate) fn impact(&self, subject: &Subject, flags: u32) -> Result<Impact> {
        let asked = flags & (api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG);
        let active = subject.running.is_some();
        let mut impact = Impact {
            live: asked & api::DOMAIN_AFFECT_LIVE != 0 || asked == 0 && active,
            config: asked & api::DOMAIN_AFFECT_CONFIG != 0 || asked == 0 && !active,
        };
        if impact.live && !active {
            return Err(not_running());
        }
        if impact.config && !subject.kept {
            return Err(invalid_operation("transient domains do not have any persistent config"));
        }
        if self.toolstack().keeps_changes() && active && subject.kept {
            if !impact.live {
                // Compat: what libvirt's driver of xend's time said.
                let detail = "Xend only supports modifying both live and persistent config";
                return Err(invalid_operation(detail));
            }
            impact = Impact { live: true, config: true };
        }
        Ok(impact)
    }

    /// Changes a running guest, what is kept of it, or both.
    pub(crate) fn change(
        &self,
        subject: &Subject,
        flags: u32,
        act: impl FnOnce(&Subject) -> Result<()>,
        edit: impl FnOnce(&mut Document) -> Result<()>,
    ) -> Result<()> {
        let impact = self.impact(subject, flags)?;
        match self.toolstack().keeps_changes() {
            true => act(subject),
            false => self.rewrite(subject, impact, act, edit),
        }
    }

    /// The same for what no tool stack keeps by itself.
    pub(crate) fn rewrite(
        &self,
        subject: &Subject,
        impact: Impact,
        act: impl FnOnce(&Subject) -> Result<()>,
        edit: impl FnOnce(&mut Document) -> Result<()>,
    ) -> Result<()> {
        // Order: what is kept first, because that can be put back.
        let before = impact.config.then(|| self.kept_document(subject)).transpose()?;
        if let Some(before) = &before {
            let mut document = before.clone();
            edit(&mut document)?;
            self.definitions().keep(&document)?;
        }
        if !impact.live {
            return Ok(());
        }
        act(subject).inspect_err(|_| {
            if let Some(before) = &before {
                // The first failure is the one to tell of.
                let _ = self.definitions().keep(before);
            }
        })
    }

    /// Does something with a domain, while nobody else does.
    pub(crate) fn work<R>(
        &self,
        call: &Call<'_>,
        uuid: Uuid,
        job: Job,
        act: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let cell = self.turn_of(uuid);
        call.waiting(|| {
            let _turn = cell.begin_for(job, call, JOB_WAIT_MAX)?;
            let done = act();
            self.glances.forget();
            self.watch.look(self);
            done
        })
    }

    fn turn_of(&self, uuid: Uuid) -> Arc<Cell<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= TURNS_MAX {
            turns.retain(|_, cell| Arc::strong_count(cell) > 1);
        }
        Arc::clone(turns.entry(uuid).or_insert_with(|| Arc::new(Cell::new(()))))
    }

    /// Does what is to be done with guests that have ended by themselves, where nobody else does.
    pub(crate) fn tend(&self) {
        if !self.toolstack().wants_tending() {
            return;
        }
        for running in self.hypervisor().running().unwrap_or_default() {
            if running.ended.is_none() {
                continue;
            }
            let cell = self.turn_of(running.uuid);
            let Ok(_turn) = cell.begin(Job::Modify, "xen-events", Duration::ZERO) else {
                // Somebody saves or ends it: that is what it has ended for.
                continue;
            };
            // It may be gone since, or another one.
            if let Ok(Some(again)) = self.hypervisor().look(Key::Id(running.id))
                && again.uuid == running.uuid
            {
                self.toolstack().tend(&again);
            }
        }
    }

    /// Has displays that name no address listen where the configuration says.
    pub(crate) fn place_displays(&self, document: &mut Document) {
        let Some(address) = &self.channels().vnc_listen else { return };
        let displays = document.devices.graphics.iter_mut();
        for graphics in displays.filter(|graphics| graphics.kind == GraphicsType::Vnc) {
            let named = graphics.listens.iter().any(|listen| listen.address.is_some());
            if graphics.listen.is_none() && !named {
                graphics.listen = Some(address.clone());
            }
        }
    }

    /// Where a domain is that the daemon saved. A name that somebody else gave stays in the folder.
    pub(crate) fn save_path(&self, name: &str) -> PathBuf {
        let name = name.replace(['/', '\0'], "%");
        self.settings.dirs.lib.join("save").join(format!("{name}.save"))
    }
}

fn subject(running: Running, kept: bool) -> Subject {
    Subject { uuid: running.uuid, name: running.name.clone(), running: Some(running), kept }
}

pub(crate) fn not_running() -> Error {
    invalid_operation("domain is not running")
}

pub(crate) fn not_control(running: &Running) -> Result<()> {
    match running.is_control() {
        true => Err(invalid_operation("Domain-0 is the host's own: this cannot be done to it")),
        false => Ok(()),
    }
}
