//! A domain of this driver: its stored definition, its running process, and its one job at a time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use virt_driver::{Cell, DomainFacts, Entry};
use virt_error::{Code, Error, Origin, Result};
use virt_host::Pidfd;
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, Name, Uuid, api};

use crate::monitor::{Happening, Monitor};
use crate::status::Notes;

/// One domain.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) name: Name,
    pub(crate) uuid: Uuid,
    pub(crate) cell: Cell<Data>,
    /// What happened and waits for whoever holds the job, or for the next one.
    inbox: Mutex<VecDeque<(u64, Happening)>>,
    posted: Condvar,
}

/// Limit: happenings kept for one guest while a job runs; the newest of more are dropped.
const INBOX_MAX: usize = 4096;

/// What changes in a domain.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// The stored definition; a transient domain has none.
    pub(crate) definition: Option<Arc<Definition>>,
    pub(crate) live: Option<Live>,
    /// `virDomainState` and its reason.
    pub(crate) state: i32,
    pub(crate) reason: i32,
    pub(crate) autostart: bool,
    /// Starts at the next boot of the host and then no more.
    pub(crate) autostart_once: bool,
    /// Taken out of the table: nothing may be done with it any more.
    pub(crate) gone: bool,
}

/// A running guest.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: i32,
    /// Tells this run from an earlier one of the same domain.
    pub(crate) run: u64,
    pub(crate) process: Arc<Pidfd>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) document: Arc<Document>,
    /// What its status file says besides.
    pub(crate) notes: Notes,
    /// The thread of each virtual CPU.
    pub(crate) vcpu_threads: Vec<u32>,
    /// What the balloon leaves the guest.
    pub(crate) balloon_kib: u64,
    /// A reboot was asked for: the next shutdown becomes one.
    pub(crate) rebooting: bool,
    /// Why the process will end, once that is known: `virDomainShutoffReason`.
    pub(crate) ending: Option<i32>,
    /// The guest reported a shutdown.
    pub(crate) shut_down: bool,
}

/// A stored definition, read when it is needed.
#[derive(Debug)]
pub(crate) struct Definition {
    path: PathBuf,
    document: OnceLock<Arc<Document>>,
}

impl Definition {
    /// A definition that is in this file and has not been read.
    pub(crate) fn stored(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, document: OnceLock::new() })
    }

    /// A definition that is known already.
    pub(crate) fn known(path: PathBuf, document: Arc<Document>) -> Arc<Self> {
        Arc::new(Self { path, document: OnceLock::from(document) })
    }

    /// The document; `load` reads it the first time.
    pub(crate) fn document(
        &self,
        load: impl FnOnce(&std::path::Path) -> Result<Document>,
    ) -> Result<Arc<Document>> {
        if let Some(document) = self.document.get() {
            return Ok(Arc::clone(document));
        }
        let document = Arc::new(load(&self.path)?);
        Ok(Arc::clone(self.document.get_or_init(|| document)))
    }
}

impl Guest {
    pub(crate) fn new(name: Name, uuid: Uuid, data: Data) -> Self {
        Self { name, uuid, cell: Cell::new(data), inbox: Mutex::default(), posted: Condvar::new() }
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Data) -> R) -> R {
        self.cell.read(look)
    }

    pub(crate) fn to_ref(&self) -> DomainRef {
        self.ref_with(self.read(Data::id))
    }

    pub(crate) fn ref_with(&self, id: i32) -> DomainRef {
        DomainRef { name: self.name.clone(), uuid: self.uuid, id }
    }

    pub(crate) fn post(&self, run: u64, happening: Happening) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        // The end is never dropped: everything would wait for it.
        if inbox.len() < INBOX_MAX || matches!(happening, Happening::Ended(_)) {
            inbox.push_back((run, happening));
            self.posted.notify_all();
        }
    }

    pub(crate) fn has_post(&self) -> bool {
        !self.inbox.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The next happening, waited for.
    pub(crate) fn wait_post(&self, wait_max: Duration) -> Option<(u64, Happening)> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.posted.wait_timeout_while(inbox, wait_max, |inbox| inbox.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }

    pub(crate) fn next_post(&self) -> Option<(u64, Happening)> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Entry for Guest {
    fn name(&self) -> &Name {
        &self.name
    }

    fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl Data {
    pub(crate) fn id(&self) -> i32 {
        self.live.as_ref().map_or(-1, |live| live.id)
    }

    pub(crate) fn active(&self) -> bool {
        self.live.is_some()
    }

    pub(crate) fn facts(&self) -> DomainFacts {
        DomainFacts {
            active: self.active(),
            persistent: self.definition.is_some(),
            state: self.state,
            autostart: self.autostart,
            ..DomainFacts::default()
        }
    }

    pub(crate) fn set_state(&mut self, state: i32, reason: i32) {
        (self.state, self.reason) = (state, reason);
    }

    /// The running guest, or the refusal of a call that needs one.
    pub(crate) fn running(&self) -> Result<&Live> {
        self.live.as_ref().ok_or_else(not_running)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state == api::DOMAIN_PAUSED
    }
}

pub(crate) fn not_running() -> Error {
    Error::new(Code::OperationInvalid, Origin::Domain, "domain is not running")
}

pub(crate) fn invalid_operation(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationInvalid, Origin::Qemu, detail)
}

pub(crate) fn operation_failed(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationFailed, Origin::Qemu, detail)
}
