//! Who is there: every client has a place, those who have not shown who they are are counted apart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;

use crate::client::{Client, lock};

/// All clients of the daemon.
pub(crate) struct Crowd {
    clients: Mutex<Places>,
    /// Those that have not shown who they are.
    anonymous: AtomicUsize,
    pub(crate) clients_max: AtomicUsize,
    pub(crate) anonymous_max: AtomicUsize,
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct Places {
    by_id: BTreeMap<u64, Weak<Client>>,
    last_id: u64,
}

/// One client's place; given back when its task ends, however it ends.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    pub(crate) client: Arc<Client>,
}

impl Crowd {
    pub(crate) fn new(clients_max: usize, anonymous_max: usize) -> Arc<Self> {
        Arc::new(Self {
            clients: Mutex::default(),
            anonymous: AtomicUsize::new(0),
            clients_max: AtomicUsize::new(clients_max),
            anonymous_max: AtomicUsize::new(anonymous_max),
            changed: Notify::new(),
        })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        lock(&self.clients).by_id.values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn find(&self, id: u64) -> Option<Arc<Client>> {
        lock(&self.clients).by_id.get(&id).and_then(Weak::upgrade)
    }

    /// Whether nobody more may come; who has to show who they are is held to a limit of its own.
    pub(crate) fn is_full(&self, asks: bool) -> bool {
        self.count() >= self.clients_max.load(Ordering::Acquire)
            || asks && self.anonymous() >= self.anonymous_max.load(Ordering::Acquire)
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.clients).by_id.len()
    }

    pub(crate) fn anonymous(&self) -> usize {
        self.anonymous.load(Ordering::Acquire)
    }

    /// Makes a client with a number of its own, and gives it a place.
    pub(crate) fn take(self: &Arc<Self>, make: impl FnOnce(u64) -> Client) -> Place {
        let mut clients = lock(&self.clients);
        clients.last_id += 1;
        let id = clients.last_id;
        let client = Arc::new(make(id));
        clients.by_id.insert(id, Arc::downgrade(&client));
        drop(clients);
        if !client.is_authenticated() {
            self.anonymous.fetch_add(1, Ordering::AcqRel);
        }
        self.changed.notify_waiters();
        Place { crowd: Arc::clone(self), client }
    }

    /// One of those counted apart showed who it is, or left.
    pub(crate) fn known(&self) {
        self.anonymous.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.crowd.clients).by_id.remove(&self.client.caller.client_id);
        // From now on it counts as known, whatever a worker still makes of it.
        self.client.admit(&self.crowd);
        self.crowd.changed.notify_waiters();
    }
}
