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
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};
use virt_host::{Ended, Pidfd};

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
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    epoll: OwnedFd,
    /// Readable when the thread shall end.
    stop: OwnedFd,
    guests: Mutex<HashMap<u64, Guest>>,
    last_token: AtomicU64,
}

#[derive(Clone)]
struct Guest {
    monitor: Arc<Monitor>,
    process: Arc<Pidfd>,
    sink: Sink,
}

/// The token of [`Shared::stop`]; guests have the ones above.
const STOP: u64 = 0;

/// Limit: readiness reports taken from the kernel at once.
const REPORTS_MAX: usize = 64;

impl Watch {
    pub(crate) fn new() -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(STOP);
        epoll::add(&epoll, &stop, data, epoll::EventFlags::IN)?;
        let guests = Mutex::default();
        let shared = Shared { epoll, stop, guests, last_token: AtomicU64::new(0) };
        Ok(Self { shared: Arc::new(shared), thread: Mutex::new(None) })
    }

    /// Watches a guest until its process has ended.
    pub(crate) fn add(
        &self,
        monitor: Arc<Monitor>,
        process: Arc<Pidfd>,
        sink: Sink,
    ) -> std::io::Result<()> {
        let shared = &self.shared;
        let token = shared.last_token.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let guest = Guest { monitor, process, sink };
        shared.guests().insert(token, guest.clone());
        let monitor_data = epoll::EventData::new_u64(token << 1);
        let process_data = epoll::EventData::new_u64(token << 1 | 1);
        let flags = epoll::EventFlags::IN;
        epoll::add(&shared.epoll, &*guest.monitor, monitor_data, flags)?;
        epoll::add(&shared.epoll, &*guest.process, process_data, flags)?;
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let shared = Arc::clone(shared);
            let run = move || shared.run();
            *thread = Some(std::thread::Builder::new().name("qemu-watch".into()).spawn(run)?);
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
    fn guests(&self) -> MutexGuard<'_, HashMap<u64, Guest>> {
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
                let token = report.data.u64();
                if token == STOP {
                    return;
                }
                let guest = self.guests().get(&(token >> 1)).cloned();
                let Some(guest) = guest else { continue };
                if token & 1 == 0 {
                    self.read(&guest);
                } else {
                    self.end(token >> 1, &guest);
                }
            }
        }
    }

    /// Reads one portion; says whether there may be more.
    fn read(&self, guest: &Guest) -> bool {
        let progress = guest.monitor.read(&mut |event| (guest.sink)(Happening::Event(event)));
        if progress == Progress::Ended && epoll::delete(&self.epoll, &*guest.monitor).is_ok() {
            (guest.sink)(Happening::Closed);
        }
        progress == Progress::More
    }

    fn end(&self, token: u64, guest: &Guest) {
        // Order: what the guest said last tells why it ended, so it is heard first.
        while self.read(guest) {}
        guest.monitor.end(super::MonitorError::Closed);
        // Fails for a monitor that was taken out before.
        let _ = epoll::delete(&self.epoll, &*guest.monitor);
        let _ = epoll::delete(&self.epoll, &*guest.process);
        self.guests().remove(&token);
        let ended = guest.process.reap();
        (guest.sink)(Happening::Ended(ended));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("guests", &self.shared.guests().len()).finish()
    }
}
