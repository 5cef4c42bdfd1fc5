//! The one thread that waits for the ends of all guests' processes, whoever their parent is.
//!
//! It never waits for a guest or for a job: an end is handed to the guest's own sink, which must be
//! short. It starts with the first guest.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};
use virt_host::Pidfd;

/// Told once, when the process has ended.
pub(crate) type Sink = Box<dyn FnOnce() + Send>;

/// The thread and what it watches.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    epoll: OwnedFd,
    /// Readable when the thread shall end.
    stop: OwnedFd,
    guests: Mutex<HashMap<u64, (Arc<Pidfd>, Sink)>>,
}

/// The token of [`Shared::stop`]; runs are numbered from 1.
const STOP: u64 = 0;

/// Limit: readiness reports taken from the kernel at once.
const REPORTS_MAX: usize = 64;

impl Watch {
    pub(crate) fn new() -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &stop, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
        let shared = Arc::new(Shared { epoll, stop, guests: Mutex::default() });
        Ok(Self { shared, thread: Mutex::new(None) })
    }

    /// Watches a process until it has ended. `run` is its own number.
    pub(crate) fn add(&self, run: u64, process: &Arc<Pidfd>, sink: Sink) -> std::io::Result<()> {
        let shared = &self.shared;
        shared.guests().insert(run, (Arc::clone(process), sink));
        let data = epoll::EventData::new_u64(run);
        epoll::add(&shared.epoll, &**process, data, epoll::EventFlags::IN)?;
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let shared = Arc::clone(shared);
            let builder = std::thread::Builder::new().name("kvmtool-watch".into());
            *thread = Some(builder.spawn(move || shared.run())?);
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // An eventfd takes eight bytes unless its counter is full, and then the thread ends as well.
        let _ = rustix::io::write(&self.shared.stop, &1_u64.to_ne_bytes());
        // A sink may hold the last reference to the driver, and so to this.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn guests(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Pidfd>, Sink)>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut reports = Vec::with_capacity(REPORTS_MAX);
        loop {
            reports.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut reports), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            for report in &reports {
                let run = report.data.u64();
                if run == STOP {
                    return;
                }
                let guest = self.guests().remove(&run);
                let Some((process, sink)) = guest else { continue };
                // The process is not watched any more whether or not the kernel still knew it.
                let _ = epoll::delete(&self.epoll, &*process);
                sink();
            }
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("guests", &self.shared.guests().len()).finish()
    }
}
