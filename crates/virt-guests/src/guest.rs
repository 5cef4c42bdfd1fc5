//! A domain: its stored definition, its running process, and its one job at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use virt_driver::{Cell, DomainFacts, Entry};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, Name, Uuid, api};

/// A running guest, as its driver knows it.
pub trait Live: Send + Sync + 'static {
    /// What reaches a guest while its job is somebody else's, and waits for the job's end.
    type Inbox: std::fmt::Debug + Default + Send + Sync;

    fn id(&self) -> i32;

    /// The definition it runs with.
    fn document(&self) -> &Arc<Document>;

    /// What the balloon leaves it.
    fn balloon_kib(&self) -> u64;
}

/// One domain.
#[derive(Debug)]
pub struct Guest<L: Live> {
    pub name: Name,
    pub uuid: Uuid,
    pub cell: Cell<Data<L>>,
    pub inbox: L::Inbox,
}

/// What changes in a domain.
#[derive(Debug)]
pub struct Data<L> {
    /// The stored definition; a transient domain has none.
    pub definition: Option<Arc<Definition>>,
    pub live: Option<L>,
    /// `virDomainState` and its reason.
    pub state: i32,
    pub reason: i32,
    pub autostart: bool,
    /// Starts at the next boot of the host and then no more.
    pub autostart_once: bool,
    /// Taken out of the table: nothing may be done with it any more.
    pub gone: bool,
}

impl<L> Default for Data<L> {
    fn default() -> Self {
        Self {
            definition: None,
            live: None,
            state: api::DOMAIN_SHUTOFF,
            reason: api::DOMAIN_SHUTOFF_UNKNOWN,
            autostart: false,
            autostart_once: false,
            gone: false,
        }
    }
}

/// A stored definition, read when it is needed.
#[derive(Debug)]
pub struct Definition {
    path: PathBuf,
    document: OnceLock<Arc<Document>>,
}

impl Definition {
    /// A definition that is in this file and has not been read.
    pub fn stored(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, document: OnceLock::new() })
    }

    /// A definition that is known already.
    pub fn known(path: PathBuf, document: Arc<Document>) -> Arc<Self> {
        Arc::new(Self { path, document: OnceLock::from(document) })
    }

    /// The document; `load` reads it the first time.
    pub fn document(&self, load: impl FnOnce(&Path) -> Result<Document>) -> Result<Arc<Document>> {
        if let Some(document) = self.document.get() {
            return Ok(Arc::clone(document));
        }
        let document = Arc::new(load(&self.path)?);
        Ok(Arc::clone(self.document.get_or_init(|| document)))
    }
}

impl<L: Live> Guest<L> {
    pub fn new(name: Name, uuid: Uuid, data: Data<L>) -> Self {
        Self { name, uuid, cell: Cell::new(data), inbox: L::Inbox::default() }
    }

    pub fn read<R>(&self, look: impl FnOnce(&Data<L>) -> R) -> R {
        self.cell.read(look)
    }

    pub fn to_ref(&self) -> DomainRef {
        self.ref_with(self.read(Data::id))
    }

    pub fn ref_with(&self, id: i32) -> DomainRef {
        DomainRef { name: self.name.clone(), uuid: self.uuid, id }
    }

    /// Looks at the running guest, or refuses a call that needs one.
    pub fn live<R>(&self, look: impl FnOnce(&L) -> R) -> Result<R> {
        self.read(|data| data.running().map(look))
    }
}

impl<L: Live> Entry for Guest<L> {
    fn name(&self) -> &Name {
        &self.name
    }

    fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl<L: Live> Data<L> {
    pub fn id(&self) -> i32 {
        self.live.as_ref().map_or(-1, Live::id)
    }

    pub fn active(&self) -> bool {
        self.live.is_some()
    }

    pub fn facts(&self) -> DomainFacts {
        DomainFacts {
            active: self.active(),
            persistent: self.definition.is_some(),
            state: self.state,
            autostart: self.autostart,
            ..DomainFacts::default()
        }
    }

    pub fn set_state(&mut self, state: i32, reason: i32) {
        (self.state, self.reason) = (state, reason);
    }

    /// The running guest, or the refusal of a call that needs one.
    pub fn running(&self) -> Result<&L> {
        self.live.as_ref().ok_or_else(not_running)
    }

    pub fn is_paused(&self) -> bool {
        self.state == api::DOMAIN_PAUSED
    }
}

/// The refusal of a call that needs a running guest.
pub fn not_running() -> Error {
    Error::new(Code::OperationInvalid, Origin::Domain, "domain is not running")
}
