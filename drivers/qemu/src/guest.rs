//! A domain of this driver: its running process, and what happens to it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use virt_error::{Code, Error, Origin};
use virt_host::Pidfd;
use virt_model::domain::Domain as Document;

use crate::agent::Link;
use crate::monitor::{Happening, Monitor};
use crate::status::Notes;

/// One domain.
pub(crate) type Guest = virt_guests::Guest<Live>;

/// What changes in a domain.
pub(crate) type Data = virt_guests::Data<Live>;

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
    /// What serves its vdisks.
    pub(crate) servers: Vec<Arc<Pidfd>>,
    /// A reboot was asked for: the next shutdown becomes one.
    pub(crate) rebooting: bool,
    /// The agent, once somebody in the guest listens and we could connect.
    pub(crate) agent: Option<Arc<Link>>,
    /// How long it may take to answer: seconds, or what the public API says by numbers below 0.
    pub(crate) agent_timeout_s: i32,
    /// Why the process will end, once that is known: `virDomainShutoffReason`.
    pub(crate) ending: Option<i32>,
    /// The guest reported a shutdown.
    pub(crate) shut_down: bool,
}

impl virt_guests::Live for Live {
    type Inbox = Inbox;

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

/// Limit: happenings kept for one guest while a job runs; the newest of more are dropped.
const INBOX_MAX: usize = 4096;

/// What happened and waits for whoever holds the job, or for the next one.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    posts: Mutex<VecDeque<(u64, Happening)>>,
    posted: Condvar,
}

impl Inbox {
    pub(crate) fn post(&self, run: u64, happening: Happening) {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        // The end is never dropped: everything would wait for it.
        if posts.len() < INBOX_MAX || matches!(happening, Happening::Ended(_)) {
            posts.push_back((run, happening));
            self.posted.notify_all();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The next happening, waited for.
    pub(crate) fn wait(&self, wait_max: Duration) -> Option<(u64, Happening)> {
        let posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.posted.wait_timeout_while(posts, wait_max, |posts| posts.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }

    pub(crate) fn next(&self) -> Option<(u64, Happening)> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

pub(crate) fn invalid_operation(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationInvalid, Origin::Qemu, detail)
}

pub(crate) fn operation_failed(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationFailed, Origin::Qemu, detail)
}
