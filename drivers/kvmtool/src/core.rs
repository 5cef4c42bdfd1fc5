//! The driver's heart: its guests, whom it runs the tool as, and what it makes for them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use virt_driver::{Call, Job, Turn};
use virt_error::{Code, Error, Result};
use virt_guests::{Consoles, Data, Guest, Guests, Live};
use virt_host::{Pidfd, RunAs};
use virt_model::domain::Domain as Document;
use virt_store::PidFile;
use virt_types::DomainRef;

use crate::config::Config;
use crate::dirs::{self, Dirs};
use crate::ipc::{Ipc, IpcError};
use crate::launch::Log;
use crate::limits::Limits;
use crate::net::Taken;
use crate::rules::KvmtoolRules;
use crate::tool::{Tool, Tools};
use crate::vnc::Relay;
use crate::watch::Watch;
use crate::{ORIGIN, operation_failed, store_error};

/// How the driver is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    pub uri: String,
    pub dirs: Dirs,
    /// The file with the driver's configuration; it need not be there.
    pub config: PathBuf,
    /// Whether the tool can run as somebody else: the daemon is root's, for all users, and its
    /// `main` begins with [`virt_host::run_as_asked`].
    pub privileged: bool,
}

/// A running guest.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: i32,
    /// Tells this run from an earlier one of the same domain.
    pub(crate) run: u64,
    pub(crate) process: Arc<Pidfd>,
    pub(crate) ipc: Ipc,
    pub(crate) document: Arc<Document>,
    /// What the balloon was told to leave the guest: the tool itself never says.
    pub(crate) balloon_kib: u64,
    pub(crate) log: Log,
    /// Why the process will end, once that is known: `virDomainShutoffReason`.
    pub(crate) ending: Option<i32>,
    /// A reboot was asked for: the next end becomes one.
    pub(crate) rebooting: bool,
    /// Whatever ends the process, the guest is started over.
    pub(crate) again: bool,
    /// Until when its figures are not asked for, since they did not come.
    pub(crate) silent_until: Option<Instant>,
    pub(crate) limits: Limits,
    pub(crate) relay: Option<Relay>,
}

impl Live for Run {
    type Inbox = ();

    fn id(&self) -> i32 {
        self.id
    }

    fn document(&self) -> &Arc<Document> {
        &self.document
    }

    fn balloon_kib(&self) -> u64 {
        self.balloon_kib
    }
}

pub(crate) type Domain = Guest<Run>;
pub(crate) type Working<'a> = Turn<'a, Data<Run>>;

pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) config: Config,
    pub(crate) guests: Guests<Run>,
    pub(crate) watch: Watch,
    pub(crate) consoles: Consoles,
    /// Whom the tool runs as; without one, as the daemon's own user.
    pub(crate) user: Option<RunAs>,
    /// The home of the tool.
    pub(crate) home: PathBuf,
    tools: Arc<Tools>,
    /// The bridges of networks, as they were last asked for.
    pub(crate) bridges: Mutex<HashMap<String, String>>,
    pub(crate) taken: Mutex<Taken>,
    last_run: AtomicU64,
    me: Weak<Self>,
    /// Nobody else works on these directories.
    _lock: PidFile,
}

impl Core {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>> {
        let config = Config::read(&settings.config)?;
        settings.dirs.make().map_err(|error| store_error(&error))?;
        let (user, home) = crate::open::whom(&config, &settings)?;
        let lock = PidFile::acquire_soon(&settings.dirs.run.join("driver.pid"));
        let lock = lock.map_err(|error| store_error(&error))?;
        for dir in [&settings.dirs.config, &settings.dirs.run] {
            virt_store::sweep(dir).map_err(|error| store_error(&error))?;
        }
        let watch =
            Watch::new().map_err(|error| Error::io(ORIGIN, &error, "cannot watch guests"))?;
        let tools = Arc::new(Tools::default());
        let rules = KvmtoolRules { tools: Arc::clone(&tools), config: config.clone() };
        Ok(Arc::new_cyclic(|me| Self {
            guests: Guests::new(&settings.dirs.config, ORIGIN, Arc::new(rules)),
            settings,
            config,
            watch,
            consoles: Consoles::default(),
            user,
            home,
            tools,
            bridges: Mutex::default(),
            taken: Mutex::default(),
            last_run: AtomicU64::new(0),
            me: Weak::clone(me),
            _lock: lock,
        }))
    }

    pub(crate) fn dirs(&self) -> &Dirs {
        &self.settings.dirs
    }

    /// Where the tool keeps its sockets. Compat: it takes the real path of its home's folder.
    pub(crate) fn sockets(&self) -> PathBuf {
        let dir = dirs::sockets(&self.home);
        dir.canonicalize().unwrap_or(dir)
    }

    /// The tool that a document names, or the one that is configured or found.
    pub(crate) fn tool(&self, emulator: Option<&str>) -> Result<Arc<Tool>> {
        let named = emulator.map(Path::new);
        self.tools.find(named.or(self.config.tool.as_deref()))
    }

    pub(crate) fn next_run(&self) -> u64 {
        self.last_run.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Does something that waits on a thread of its own.
    pub(crate) fn later(&self, work: impl FnOnce(Arc<Self>) + Send + 'static) {
        let Some(core) = self.me.upgrade() else { return };
        let thread = std::thread::Builder::new().name("kvmtool-later".into());
        // Without a thread the guest stays as it is, which its next call tells.
        let _ = thread.spawn(move || work(core));
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.me)
    }

    /// Works on the domain that a caller names, with its one job held.
    pub(crate) fn work<R>(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        job: Job,
        act: impl FnOnce(&Arc<Domain>, &mut Working<'_>) -> Result<R>,
    ) -> Result<R> {
        let guest = self.guests.find(dom)?;
        let mut turn = self.guests.begin(&guest, job, call)?;
        act(&guest, &mut turn)
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// An error of the guest's socket as the public one.
pub(crate) fn ipc_error(error: &IpcError) -> Error {
    match error {
        IpcError::Timeout => Error::new(Code::OperationTimeout, ORIGIN, error.to_string()),
        IpcError::Closed(_) | IpcError::Odd(_) => operation_failed(error.to_string()),
    }
}
