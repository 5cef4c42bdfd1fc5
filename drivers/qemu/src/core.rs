//! The driver's heart: all guests, their events, and who may change one when.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use virt_driver::{Call, EventBus, Job, Table, Turn};
use virt_error::{Code, Error, Origin, Result};
use virt_guests::Consoles;
use virt_model::ParseFlags;
use virt_model::domain::Domain as Document;
use virt_store::PidFile;
use virt_types::{DomainRef, Event};

use crate::capabilities::{Capabilities, Emulators};
use crate::config::Config;
use crate::dirs::{Dirs, store_error};
use crate::events;
use crate::guest::{Data, Definition, Guest, invalid_operation};
use crate::monitor::{Happening, MonitorError, Sink, Watch};
use crate::rules::{Lookup, QemuRules};
use crate::security::{self, Security};

/// Limit: how long a call waits for another one on the same guest; libvirt's own.
pub(crate) const JOB_WAIT_MAX: Duration = Duration::from_secs(30);

/// Limit: how long a guest may take to answer its monitor.
pub(crate) const MONITOR_WAIT_MAX: Duration = Duration::from_secs(30);

/// Limit: a document larger than this is no definition of ours.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// How the driver is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    pub uri: String,
    pub dirs: Dirs,
    /// The file with the driver's configuration; it need not be there.
    pub config: PathBuf,
    /// Whether emulators can run as somebody else: the daemon is root's, for all users, and its
    /// `main` begins with [`virt_host::run_as_asked`].
    pub privileged: bool,
}

pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) guests: Table<Guest>,
    pub(crate) events: EventBus,
    pub(crate) watch: Watch,
    pub(crate) emulators: Emulators,
    pub(crate) consoles: Consoles,
    pub(crate) config: Config,
    pub(crate) security: Security,
    last_id: AtomicI32,
    last_run: AtomicU64,
    me: Weak<Self>,
    /// Nobody else works on these directories.
    _lock: PidFile,
}

impl Core {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>> {
        let config = Config::read(&settings.config)?;
        let security = Security::new(&config, settings.privileged)?;
        settings.dirs.make().map_err(|error| store_error(&error))?;
        for dir in [&settings.dirs.lib, &settings.dirs.channel] {
            security::give(dir, security.usual())?;
        }
        let lock = PidFile::acquire_soon(&settings.dirs.run.join("driver.pid"));
        let lock = lock.map_err(|error| store_error(&error))?;
        for dir in [&settings.dirs.config, &settings.dirs.run] {
            virt_store::sweep(dir).map_err(|error| store_error(&error))?;
        }
        let watch = Watch::new()
            .map_err(|error| Error::io(Origin::Qemu, &error, "cannot watch emulators"))?;
        Ok(Arc::new_cyclic(|me| Self {
            emulators: Emulators::new(settings.dirs.cache.clone()),
            settings,
            config,
            security,
            consoles: Consoles::default(),
            guests: Table::new(),
            events: EventBus::new(),
            watch,
            last_id: AtomicI32::new(0),
            last_run: AtomicU64::new(0),
            me: Weak::clone(me),
            _lock: lock,
        }))
    }

    pub(crate) fn dirs(&self) -> &Dirs {
        &self.settings.dirs
    }

    /// The next domain id: never one that was given before.
    pub(crate) fn next_id(&self) -> i32 {
        self.last_id.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// An id that an earlier daemon gave.
    pub(crate) fn saw_id(&self, id: i32) {
        self.last_id.fetch_max(id, Ordering::Relaxed);
    }

    pub(crate) fn next_run(&self) -> u64 {
        self.last_run.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The domain that a caller names.
    pub(crate) fn find(&self, dom: &DomainRef) -> Result<Arc<Guest>> {
        self.guests.by_uuid(&dom.uuid).ok_or_else(|| {
            let detail = format!("no domain with matching uuid '{}' ({})", dom.uuid, dom.name);
            Error::new(Code::NoDomain, Origin::Qemu, detail)
        })
    }

    /// Takes the one job on a guest.
    pub(crate) fn work<'a>(
        &'a self,
        guest: &'a Arc<Guest>,
        job: Job,
        call: &Call<'_>,
    ) -> Result<Work<'a>> {
        let api = call.api.name;
        let turn = call.waiting(|| guest.cell.begin(job, api, JOB_WAIT_MAX))?;
        let work = Work::new(self, guest, turn);
        if guest.read(|data| data.gone) {
            let detail = format!("no domain with matching uuid '{}' ({})", guest.uuid, guest.name);
            return Err(Error::new(Code::NoDomain, Origin::Qemu, detail));
        }
        Ok(work)
    }

    /// Where a guest's happenings go.
    pub(crate) fn sink(&self, guest: &Arc<Guest>, run: u64) -> Sink {
        let (core, guest) = (Weak::clone(&self.me), Arc::clone(guest));
        Arc::new(move |happening| {
            guest.post(run, happening);
            if let Some(core) = core.upgrade() {
                core.pump(&guest);
            }
        })
    }

    /// Deals with what happened, unless a job runs: then its end will. Never waits.
    pub(crate) fn pump(&self, guest: &Arc<Guest>) {
        while guest.has_post() {
            let Ok(mut turn) = guest.cell.begin(Job::Modify, "event", Duration::ZERO) else {
                return;
            };
            while let Some((run, happening)) = guest.next_post() {
                events::happened(self, guest, &mut turn, run, happening);
            }
        }
    }

    /// Does something that waits on a thread of its own.
    pub(crate) fn later(&self, work: impl FnOnce(Arc<Self>) + Send + 'static) {
        let Some(core) = self.me.upgrade() else { return };
        let thread = std::thread::Builder::new().name("qemu-later".into());
        // Without a thread the guest stays as it is, which its next call tells.
        let _ = thread.spawn(move || work(core));
    }

    pub(crate) fn publish(&self, event: &Event) {
        self.events.publish(event);
    }

    pub(crate) fn publish_lifecycle(&self, dom: DomainRef, event: i32, detail: i32) {
        self.events.publish(&Event::DomainLifecycle { dom, event, detail });
    }

    /// Reads a document by this driver's rules.
    pub(crate) fn load(&self, xml: &str, flags: ParseFlags) -> Result<Document> {
        Document::load(xml, flags, &QemuRules(self))
    }

    /// The document of a stored definition.
    pub(crate) fn document(&self, definition: &Definition) -> Result<Arc<Document>> {
        definition.document(|path| {
            let text = virt_store::read_text(path, DOCUMENT_BYTES_MAX)
                .map_err(|error| store_error(&error))?;
            self.load(&text, ParseFlags { inactive: true, ..ParseFlags::default() })
        })
    }

    /// The stored definition of a domain; a transient one has none.
    pub(crate) fn stored(&self, guest: &Guest) -> Result<Option<Arc<Document>>> {
        let definition = guest.read(|data| data.definition.clone());
        definition.map(|definition| self.document(&definition)).transpose()
    }

    /// The definition in force: the running one, else the stored one.
    pub(crate) fn current(&self, guest: &Guest) -> Result<Arc<Document>> {
        let live = guest.read(|data| data.live.as_ref().map(|live| Arc::clone(&live.document)));
        match live {
            Some(document) => Ok(document),
            None => self.stored(guest)?.ok_or_else(|| invalid_operation("domain is gone")),
        }
    }
}

impl Lookup for Core {
    fn capabilities(&self, emulator: &Path) -> Result<Arc<Capabilities>> {
        self.emulators.get(emulator, &self.watch)
    }

    fn nvram_dir(&self) -> PathBuf {
        self.dirs().nvram.clone()
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("uri", &self.settings.uri).finish_non_exhaustive()
    }
}

/// A running job on a guest. When it ends, what happened meanwhile is dealt with.
#[derive(Debug)]
#[must_use = "the job ends when this is dropped"]
pub(crate) struct Work<'a> {
    pub(crate) core: &'a Core,
    pub(crate) guest: &'a Arc<Guest>,
    turn: Option<Turn<'a, Data>>,
}

impl<'a> Work<'a> {
    /// A job whose turn was taken already.
    pub(crate) fn new(core: &'a Core, guest: &'a Arc<Guest>, turn: Turn<'a, Data>) -> Self {
        Self { core, guest, turn: Some(turn) }
    }
}

impl Work<'_> {
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Data) -> R) -> R {
        self.guest.read(look)
    }

    /// Deals with a happening within this job.
    pub(crate) fn handle(&mut self, run: u64, happening: Happening) -> Result<()> {
        let (core, guest) = (self.core, self.guest);
        match &mut self.turn {
            Some(turn) => events::happened(core, guest, turn, run, happening),
            None => return Err(Error::internal(Origin::Qemu, "the job has ended")),
        }
        Ok(())
    }

    pub(crate) fn change<R>(&mut self, edit: impl FnOnce(&mut Data) -> R) -> Result<R> {
        match &mut self.turn {
            Some(turn) => Ok(turn.change(edit)),
            None => Err(Error::internal(Origin::Qemu, "the job has ended")),
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.turn = None;
        self.core.pump(self.guest);
    }
}

/// A monitor's error as the public one.
pub(crate) fn monitor_error(error: &MonitorError) -> Error {
    match error {
        MonitorError::Timeout => Error::new(
            Code::OperationTimeout,
            Origin::Qemu,
            "cannot acquire state change lock (held by the guest's monitor)",
        ),
        MonitorError::Closed => {
            Error::new(Code::OperationFailed, Origin::Qemu, "domain is no longer running")
        }
        MonitorError::Garbage(_) | MonitorError::Refused { .. } | MonitorError::Odd { .. } => {
            Error::internal(Origin::Qemu, error.to_string())
        }
    }
}
