//! One change at a time per object, and no data lock held while waiting.
//!
//! ```text
//!            begin ┌────────┐ drop           begin_async ┌───────────────┐ drop
//!   free ─────────▶│ a turn │──────▶ free   ────────────▶│ an async job  │──────▶ free
//!                  └────────┘                            │ + turns it    │
//!   the agent's turn runs beside a turn                  │   lets beside │
//!                                                        └───────────────┘
//! ```
//!
//! A turn lasts one call. An async job (save, dump, migration, backup) lasts several and says which
//! jobs may run beside it; it is a value of its own, so it can be kept between the phases of a
//! migration. Order: list, then turn, then data, then event bus. A closure that looks at or changes
//! the data must not wait for anything; what waits holds only the turn.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use virt_error::{Code, Error, Origin, Result};

use crate::Call;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Query,
    Destroy,
    Suspend,
    Modify,
    Abort,
    MigrationOp,
}

/// An object's changing part. Its data can be read at any time, but changed only through the
/// [`Turn`] of the one job that runs.
pub struct Cell<T> {
    data: Mutex<T>,
    running: Mutex<Running>,
    freed: Condvar,
}

#[derive(Default)]
struct Running {
    job: Option<Holder>,
    agent: Option<Holder>,
    lasting: Option<Lasting>,
    waiting: usize,
}

/// Who holds a turn: the call it runs for.
#[derive(Clone, Copy, Debug)]
struct Holder {
    api: &'static str,
}

struct Lasting {
    api: &'static str,
    beside: &'static [Job],
}

/// Limit: jobs that may queue for one object; a client cannot pile up work without end.
const WAITING_MAX: usize = 256;

/// How often a call that waits for its turn looks whether its caller has gone.
const LOOK: Duration = Duration::from_millis(100);

/// Whose turn is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Want {
    Job(Job),
    /// Within the async job that runs: only another turn stands in the way.
    Nested,
    Agent,
    Lasting(&'static [Job]),
}

impl Running {
    fn admits(&self, want: Want) -> bool {
        match want {
            Want::Agent => self.agent.is_none(),
            Want::Nested => self.job.is_none(),
            Want::Job(job) => {
                self.job.is_none()
                    && self.lasting.as_ref().is_none_or(|lasting| lasting.beside.contains(&job))
            }
            Want::Lasting(_) => self.job.is_none() && self.lasting.is_none(),
        }
    }

    fn admit(&mut self, want: Want, api: &'static str) {
        let holder = Some(Holder { api });
        match want {
            Want::Agent => self.agent = holder,
            Want::Job(_) | Want::Nested => self.job = holder,
            Want::Lasting(beside) => self.lasting = Some(Lasting { api, beside }),
        }
    }

    /// Compat: holders are named as the daemon's dispatch functions are.
    fn refusal(&self, want: Want) -> String {
        let name = |api: &str| match api.strip_prefix("vir") {
            Some(rest) => format!("remoteDispatch{rest}"),
            None => api.to_owned(),
        };
        let monitor = self.job.map(|holder| holder.api);
        let monitor = monitor.or(self.lasting.as_ref().map(|lasting| lasting.api));
        let agent = self.agent.map(|holder| holder.api);
        match (monitor.filter(|_| want != Want::Agent), agent.filter(|_| want == Want::Agent)) {
            (Some(monitor), _) => {
                format!("cannot acquire state change lock (held by monitor={})", name(monitor))
            }
            (None, Some(agent)) => {
                format!("cannot acquire state change lock (held by agent={})", name(agent))
            }
            (None, None) => "cannot acquire state change lock".into(),
        }
    }
}

impl<T> Cell<T> {
    pub fn new(data: T) -> Self {
        Self { data: Mutex::new(data), running: Mutex::default(), freed: Condvar::new() }
    }

    fn data(&self) -> MutexGuard<'_, T> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running_lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the data. Short: the closure must not wait for anything.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.data())
    }

    /// Takes the turn, waiting at most `wait_max` for the job that runs. `api` is the call that
    /// wants it; whoever waits in vain for it is told.
    pub fn begin(&self, job: Job, api: &'static str, wait_max: Duration) -> Result<Turn<'_, T>> {
        self.acquire(Want::Job(job), api, wait_max, None)?;
        Ok(Turn { cell: self, agent: false })
    }

    /// [`Cell::begin`] for a call: what its caller asked for is not begun any more when the caller
    /// has gone.
    pub fn begin_for(&self, job: Job, call: &Call<'_>, wait_max: Duration) -> Result<Turn<'_, T>> {
        self.acquire(Want::Job(job), call.api.name, wait_max, Some(call))?;
        Ok(Turn { cell: self, agent: false })
    }

    /// Takes the guest agent's turn, which runs beside any other.
    pub fn begin_agent(&self, api: &'static str, wait_max: Duration) -> Result<Turn<'_, T>> {
        self.acquire(Want::Agent, api, wait_max, None)?;
        Ok(Turn { cell: self, agent: true })
    }

    /// [`Cell::begin_agent`] for a call, as [`Cell::begin_for`].
    pub fn begin_agent_for(&self, call: &Call<'_>, wait_max: Duration) -> Result<Turn<'_, T>> {
        self.acquire(Want::Agent, call.api.name, wait_max, Some(call))?;
        Ok(Turn { cell: self, agent: true })
    }

    /// Starts a job that lasts over several turns or calls; only jobs in `beside` run meanwhile.
    pub fn begin_async(
        self: &Arc<Self>,
        beside: &'static [Job],
        api: &'static str,
        wait_max: Duration,
    ) -> Result<AsyncJob<T>> {
        self.acquire(Want::Lasting(beside), api, wait_max, None)?;
        Ok(AsyncJob(Arc::clone(self)))
    }

    fn acquire(
        &self,
        want: Want,
        api: &'static str,
        wait_max: Duration,
        call: Option<&Call<'_>>,
    ) -> Result<()> {
        let deadline = Instant::now() + wait_max;
        let mut running = self.running_lock();
        if !running.admits(want) && running.waiting >= WAITING_MAX {
            let detail = "cannot acquire state change lock due to max_queued limit";
            return Err(Error::new(Code::OperationFailed, Origin::Domain, detail));
        }
        running.waiting += 1;
        while !running.admits(want) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                running.waiting -= 1;
                let detail = running.refusal(want);
                return Err(Error::new(Code::OperationTimeout, Origin::Domain, detail));
            }
            if let Some(call) = call.filter(|call| call.cancelled()) {
                running.waiting -= 1;
                return Err(call.given_up());
            }
            let left = if call.is_some() { left.min(LOOK) } else { left };
            running = self
                .freed
                .wait_timeout(running, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
        running.waiting -= 1;
        running.admit(want, api);
        Ok(())
    }

    fn release(&self, free: impl FnOnce(&mut Running)) {
        free(&mut self.running_lock());
        // Waiters want different things: each looks for itself whether it may go on.
        self.freed.notify_all();
    }

    /// The call whose job runs now, if any.
    pub fn busy_with(&self) -> Option<&'static str> {
        let running = self.running_lock();
        running.job.map(|holder| holder.api).or(running.lasting.as_ref().map(|lasting| lasting.api))
    }
}

impl<T: Default> Default for Cell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> std::fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").field("busy_with", &self.busy_with()).finish_non_exhaustive()
    }
}

/// The right to change an object; the job ends when it is dropped.
#[must_use = "the job ends when this is dropped"]
#[derive(Debug)]
pub struct Turn<'a, T> {
    cell: &'a Cell<T>,
    agent: bool,
}

impl<T> Turn<'_, T> {
    /// Looks at the data.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.cell.read(look)
    }

    /// Changes the data. Short: the closure must not wait for anything.
    pub fn change<R>(&mut self, edit: impl FnOnce(&mut T) -> R) -> R {
        edit(&mut self.cell.data())
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let agent = self.agent;
        self.cell.release(|running| if agent { running.agent = None } else { running.job = None });
    }
}

/// A job that lasts; it ends when it is dropped.
#[must_use = "the job ends when this is dropped"]
#[derive(Debug)]
pub struct AsyncJob<T>(Arc<Cell<T>>);

impl<T> AsyncJob<T> {
    /// A turn within this job.
    pub fn turn(&self, api: &'static str, wait_max: Duration) -> Result<Turn<'_, T>> {
        self.0.acquire(Want::Nested, api, wait_max, None)?;
        Ok(Turn { cell: &self.0, agent: false })
    }
}

impl<T> Drop for AsyncJob<T> {
    fn drop(&mut self) {
        self.0.release(|running| running.lasting = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    #[test]
    fn a_second_job_waits_and_names_the_first_when_it_gives_up() {
        let cell = Cell::new(1);
        let turn = cell.begin(Job::Modify, "virDomainSuspend", SOON).unwrap();
        let refused = cell.begin(Job::Modify, "virDomainResume", SOON);
        assert_eq!(
            refused.unwrap_err().message(),
            "Timed out during operation: cannot acquire state change lock \
             (held by monitor=remoteDispatchDomainSuspend)"
        );
        assert_eq!(cell.read(|value| *value), 1, "reading never waits");
        let agent = cell.begin_agent("virDomainFSFreeze", SOON).unwrap();
        drop((turn, agent));
        cell.begin(Job::Modify, "virDomainResume", SOON).unwrap().change(|v| *v = 2);
        assert_eq!(cell.read(|value| *value), 2);
    }

    #[test]
    fn an_async_job_outlives_its_call_and_admits_only_what_it_allows() {
        let cell = Arc::new(Cell::new(0));
        let job = cell.begin_async(&[Job::Query, Job::Abort], "virDomainSave", SOON).unwrap();
        cell.begin(Job::Query, "virDomainGetInfo", SOON).unwrap().change(|v| *v += 1);
        assert!(cell.begin(Job::Modify, "virDomainSetMemory", SOON).is_err());
        assert!(cell.begin_async(&[], "virDomainCoreDump", SOON).is_err());
        job.turn("virDomainSave", SOON).unwrap().change(|v| *v += 1);
        drop(job);
        assert!(cell.begin(Job::Modify, "virDomainSetMemory", SOON).is_ok());
        assert_eq!(cell.read(|v| *v), 2);
    }
}
