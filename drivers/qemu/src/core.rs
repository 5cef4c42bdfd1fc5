//! The driver's heart: all guests, their events, and who may change one when.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use virt_driver::{Call, Job, Turn};
use virt_error::{Code, Error, Origin, Result};
use virt_guests::{Consoles, Guests};
use virt_model::domain::devices::AudioType;
use virt_store::PidFile;

use crate::capabilities::{Capabilities, Emulators};
use crate::config::Config;
use crate::dirs::{Dirs, store_error};
use crate::events;
use crate::guest::{Data, Guest, Live};
use crate::monitor::{Happening, MonitorError, Sink, Watch};
use crate::rules::{Lookup, QemuRules};
use crate::said::Said;
use crate::security::{self, Security};

/// Limit: how long a guest may take to answer its monitor.
pub(crate) const MONITOR_WAIT_MAX: Duration = Duration::from_secs(30);

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
    pub(crate) guests: Guests<Live>,
    machines: Arc<Machines>,
    pub(crate) consoles: Consoles,
    /// Who wants to hear what emulators say.
    pub(crate) monitors: Said,
    pub(crate) config: Config,
    pub(crate) security: Security,
    last_run: AtomicU64,
    me: Weak<Self>,
    /// Nobody else works on these directories.
    _lock: PidFile,
}

/// The emulators of this host, asked when somebody wants to know; and the thread that reads from all.
struct Machines {
    emulators: Emulators,
    watch: Watch,
    nvram: PathBuf,
    /// Whether guests with VNC, and those without a display, are heard here.
    vnc_host_audio: bool,
    nographics_host_audio: bool,
}

impl Lookup for Machines {
    fn capabilities(&self, emulator: &Path) -> Result<Arc<Capabilities>> {
        self.emulators.get(emulator, &self.watch)
    }

    fn nvram_dir(&self) -> PathBuf {
        self.nvram.clone()
    }

    fn host_audio(&self, vnc: bool) -> Option<AudioType> {
        let heard = if vnc { self.vnc_host_audio } else { self.nographics_host_audio };
        // Compat: the variable is the emulator's own of old, with its own words.
        let driver = std::env::var("QEMU_AUDIO_DRV").ok().filter(|_| heard)?;
        match driver.as_str() {
            "pa" => Some(AudioType::PulseAudio),
            "wav" => Some(AudioType::File),
            word => AudioType::from_word(word),
        }
    }
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
        let machines = Arc::new(Machines {
            emulators: Emulators::new(settings.dirs.cache.clone()),
            watch,
            nvram: settings.dirs.nvram.clone(),
            vnc_host_audio: config.vnc_host_audio,
            nographics_host_audio: config.nographics_host_audio,
        });
        let rules = Arc::new(QemuRules(Arc::clone(&machines)));
        Ok(Arc::new_cyclic(|me: &Weak<Self>| {
            let guests = Guests::new(&settings.dirs.config, Origin::Qemu, rules);
            let core = Weak::clone(me);
            guests.when_freed(move |guest| {
                if let Some(core) = core.upgrade() {
                    core.pump(guest);
                }
            });
            Self {
                settings,
                config,
                security,
                consoles: Consoles::default(),
                monitors: Said::default(),
                guests,
                machines,
                last_run: AtomicU64::new(0),
                me: Weak::clone(me),
                _lock: lock,
            }
        }))
    }

    pub(crate) fn dirs(&self) -> &Dirs {
        &self.settings.dirs
    }

    pub(crate) fn next_run(&self) -> u64 {
        self.last_run.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Takes the one job on a guest.
    pub(crate) fn work<'a>(
        &'a self,
        guest: &'a Arc<Guest>,
        job: Job,
        call: &Call<'_>,
    ) -> Result<Work<'a>> {
        Ok(Work::new(self, guest, self.guests.begin(guest, job, call)?))
    }

    /// What an emulator can do.
    pub(crate) fn capabilities(&self, emulator: &Path) -> Result<Arc<Capabilities>> {
        self.machines.capabilities(emulator)
    }

    /// The thread that reads what emulators say.
    pub(crate) fn watch(&self) -> &Watch {
        &self.machines.watch
    }

    /// Where a guest's happenings go.
    pub(crate) fn sink(&self, guest: &Arc<Guest>, run: u64) -> Sink {
        let (core, guest) = (Weak::clone(&self.me), Arc::clone(guest));
        Arc::new(move |happening| {
            guest.inbox.post(run, happening);
            if let Some(core) = core.upgrade() {
                core.pump(&guest);
            }
        })
    }

    /// Deals with what happened, unless a job runs: then its end will. Never waits.
    pub(crate) fn pump(&self, guest: &Arc<Guest>) {
        while !guest.inbox.is_empty() {
            let Ok(mut turn) = guest.cell.begin(Job::Modify, "event", Duration::ZERO) else {
                return;
            };
            while let Some((run, happening)) = guest.inbox.next() {
                events::happened(self, guest, &mut turn, run, happening);
            }
        }
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.me)
    }

    /// Does something that waits on a thread of its own.
    pub(crate) fn later(&self, work: impl FnOnce(Arc<Self>) + Send + 'static) {
        let Some(core) = self.me.upgrade() else { return };
        let thread = std::thread::Builder::new().name("qemu-later".into());
        // Without a thread the guest stays as it is, which its next call tells.
        let _ = thread.spawn(move || work(core));
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
    /// Order: ends before what is dropped after it.
    pub(crate) turn: Turn<'a, Data>,
    _after: After<'a>,
}

#[derive(Debug)]
struct After<'a>(&'a Core, &'a Arc<Guest>);

impl Drop for After<'_> {
    fn drop(&mut self) {
        self.0.pump(self.1);
    }
}

impl<'a> Work<'a> {
    /// A job whose turn was taken already.
    pub(crate) fn new(core: &'a Core, guest: &'a Arc<Guest>, turn: Turn<'a, Data>) -> Self {
        Self { core, guest, turn, _after: After(core, guest) }
    }

    /// Gives the turn back to whom it was taken from: the job goes on there.
    pub(crate) fn into_turn(self) -> Turn<'a, Data> {
        self.turn
    }
}

impl Work<'_> {
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Data) -> R) -> R {
        self.guest.read(look)
    }

    /// Deals with a happening within this job.
    pub(crate) fn handle(&mut self, run: u64, happening: Happening) {
        events::happened(self.core, self.guest, &mut self.turn, run, happening);
    }

    pub(crate) fn change<R>(&mut self, edit: impl FnOnce(&mut Data) -> R) -> R {
        self.turn.change(edit)
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
