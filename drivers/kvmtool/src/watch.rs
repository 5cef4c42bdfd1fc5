//! The one thread that waits for the ends of all guests' processes, whoever their parent is.
//!
//! It never waits for a guest or for a job: an end is handed to the guest's own sink, which must be
//! short. It starts with the first guest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virt_host::{Pidfd, Readiness, ReadinessThread};

/// Told once, when the process has ended.
pub(crate) type Sink = Box<dyn FnOnce() + Send>;

/// The thread and what it watches.
pub(crate) struct Watch {
    thread: ReadinessThread,
    guests: Arc<Guests>,
}

/// By the number of the run, from 1.
#[derive(Default)]
struct Guests(Mutex<HashMap<u64, (Arc<Pidfd>, Sink)>>);

impl Watch {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { thread: ReadinessThread::new("kvmtool-watch")?, guests: Arc::default() })
    }

    /// Watches a process until it has ended. `run` is its own number.
    pub(crate) fn add(&self, run: u64, process: &Arc<Pidfd>, sink: Sink) -> std::io::Result<()> {
        self.guests.lock().insert(run, (Arc::clone(process), sink));
        self.thread.all().watch(&**process, run)?;
        let (all, guests) = (Arc::clone(self.thread.all()), Arc::clone(&self.guests));
        self.thread.start(move |run| guests.end(&all, run))
    }
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Pidfd>, Sink)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, all: &Readiness, run: u64) {
        let guest = self.lock().remove(&run);
        let Some((process, sink)) = guest else { return };
        // The process is not watched any more whether or not the kernel still knew it.
        all.forget(&*process);
        sink();
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("guests", &self.guests.lock().len()).finish()
    }
}
