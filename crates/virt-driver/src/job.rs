//! One change at a time per object, and no data lock held while waiting.
//!
//! Order: list, then turn, then data, then event bus. A closure that looks at or changes the data
//! must not wait for anything; what waits holds only the turn.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use virt_error::{Code, Error, Origin, Result};

/// What a job does, as error messages and logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Query,
    Destroy,
    Suspend,
    Modify,
    Abort,
    MigrationOp,
}

impl Job {
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Destroy => "destroy",
            Self::Suspend => "suspend",
            Self::Modify => "modify",
            Self::Abort => "abort",
            Self::MigrationOp => "migration operation",
        }
    }
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
    job: Option<(Job, &'static str)>,
    waiting: usize,
}

/// Limit: jobs that may queue for one object; a client cannot pile up work without end.
const WAITING_MAX: usize = 256;

impl<T> Cell<T> {
    pub fn new(data: T) -> Self {
        Self { data: Mutex::new(data), running: Mutex::default(), freed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the data. Short: the closure must not wait for anything.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Takes the turn, waiting at most `wait_max` for the job that runs. `api` is the call that
    /// wants it; whoever waits for it is told.
    pub fn begin(&self, job: Job, api: &'static str, wait_max: Duration) -> Result<Turn<'_, T>> {
        let deadline = Instant::now() + wait_max;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.job.is_some() && running.waiting >= WAITING_MAX {
            return Err(Error::new(
                Code::OperationFailed,
                Origin::Domain,
                "cannot acquire state change lock due to max_queued limit",
            ));
        }
        running.waiting += 1;
        while let Some((_, holder)) = running.job {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                running.waiting -= 1;
                let detail = format!("cannot acquire state change lock (held by monitor={holder})");
                return Err(Error::new(Code::OperationTimeout, Origin::Domain, detail));
            }
            running = self
                .freed
                .wait_timeout(running, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
        running.waiting -= 1;
        running.job = Some((job, api));
        Ok(Turn(self))
    }

    /// The job that runs now and the call it runs for.
    pub fn running(&self) -> Option<(Job, &'static str)> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).job
    }
}

impl<T> std::fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").field("running", &self.running()).finish_non_exhaustive()
    }
}

/// The right to change an object; the job ends when it is dropped.
#[must_use = "the job ends when this is dropped"]
#[derive(Debug)]
pub struct Turn<'a, T>(&'a Cell<T>);

impl<T> Turn<'_, T> {
    /// Looks at the data.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.0.read(look)
    }

    /// Changes the data. Short: the closure must not wait for anything.
    pub fn change<R>(&mut self, edit: impl FnOnce(&mut T) -> R) -> R {
        edit(&mut self.0.lock())
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).job = None;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_job_waits_and_names_the_first_when_it_gives_up() {
        let cell = Cell::new(1);
        let turn = cell.begin(Job::Modify, "virDomainSuspend", Duration::ZERO).unwrap();
        let refused = cell.begin(Job::Modify, "virDomainResume", Duration::from_millis(10));
        let message = refused.unwrap_err().to_string();
        assert_eq!(
            message,
            "Timed out during operation: cannot acquire state change lock \
             (held by monitor=virDomainSuspend)"
        );
        assert_eq!(cell.read(|value| *value), 1, "reading never waits");
        drop(turn);
        cell.begin(Job::Modify, "virDomainResume", Duration::ZERO).unwrap().change(|v| *v = 2);
        assert_eq!(cell.read(|value| *value), 2);
    }
}
