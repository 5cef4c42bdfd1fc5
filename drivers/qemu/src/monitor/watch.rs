//! The one thread that reads for all guests: their monitors and the ends of their processes.
//!
//! ```text
//!   add ──▶ watched ──monitor closes──▶ process only ──process ends──▶ forgotten
//!              └───────────process ends (monitor drained first)───────────▲
//! ```
//!
//! It never waits for a guest or for a job: what happens is handed to the guest's own sink, which
//! must be short. It starts with the first guest, so that a daemon without guests has no such thread.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virt_host::{Ended, Pidfd, Readiness, ReadinessThread};

use super::{Event, Monitor, Progress};

/// What the thread tells of a guest.
#[derive(Debug)]
pub(crate) enum Happening {
    Event(Event),
    /// The monitor has ended while the process goes on.
    Closed,
    /// The process has ended: nothing comes after this.
    Ended(Ended),
}

/// Where a guest's happenings go.
pub(crate) type Sink = Arc<dyn Fn(Happening) + Send + Sync>;

/// The thread and what it watches.
pub(crate) struct Watch {
    thread: ReadinessThread,
    shared: Arc<Shared>,
}

struct Shared {
    readiness: Arc<Readiness>,
    guests: Mutex<HashMap<u64, Guest>>,
    last_number: AtomicU64,
}

#[derive(Clone)]
struct Guest {
    monitor: Arc<Monitor>,
    process: Arc<Pidfd>,
    sink: Sink,
}

impl Watch {
    pub(crate) fn new() -> std::io::Result<Self> {
        let thread = ReadinessThread::new("qemu-watch")?;
        let (readiness, guests) = (Arc::clone(thread.all()), Mutex::default());
        let shared = Shared { readiness, guests, last_number: AtomicU64::new(0) };
        Ok(Self { thread, shared: Arc::new(shared) })
    }

    /// Watches a guest until its process has ended.
    pub(crate) fn add(
        &self,
        monitor: Arc<Monitor>,
        process: Arc<Pidfd>,
        sink: Sink,
    ) -> std::io::Result<()> {
        let shared = &self.shared;
        let number = shared.last_number.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let guest = Guest { monitor, process, sink };
        shared.guests().insert(number, guest.clone());
        shared.readiness.watch(&*guest.monitor, number << 1)?;
        shared.readiness.watch(&*guest.process, number << 1 | 1)?;
        let shared = Arc::clone(shared);
        self.thread.start(move |token| shared.readable(token))
    }
}

impl Shared {
    fn guests(&self) -> MutexGuard<'_, HashMap<u64, Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token is twice a guest's number: even for its monitor, odd for its process.
    fn readable(&self, token: u64) {
        let guest = self.guests().get(&(token >> 1)).cloned();
        let Some(guest) = guest else { return };
        if token & 1 == 0 {
            self.read(&guest);
        } else {
            self.end(token >> 1, &guest);
        }
    }

    /// Reads one portion; says whether there may be more.
    fn read(&self, guest: &Guest) -> bool {
        let progress = guest.monitor.read(&mut |event| (guest.sink)(Happening::Event(event)));
        if progress == Progress::Ended && self.readiness.forget(&*guest.monitor) {
            (guest.sink)(Happening::Closed);
        }
        progress == Progress::More
    }

    fn end(&self, number: u64, guest: &Guest) {
        // Order: what the guest said last tells why it ended, so it is heard first.
        while self.read(guest) {}
        guest.monitor.end(super::MonitorError::Closed);
        self.readiness.forget(&*guest.monitor);
        self.readiness.forget(&*guest.process);
        self.guests().remove(&number);
        let ended = guest.process.reap();
        (guest.sink)(Happening::Ended(ended));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("guests", &self.shared.guests().len()).finish()
    }
}
