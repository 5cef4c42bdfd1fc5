//! Worker threads: bounded, in two lanes, and never all held up by hypervisors that do not answer.
//!
//! A normal worker takes jobs of both lanes, a priority worker only those of its own. Threads are
//! made when there is work for them. A worker that waits for a hypervisor, or that is at one job
//! for longer than [`STUCK_AFTER`], no longer counts against the configured number: another takes
//! its place, up to [`Limits::threads_max`]. So stuck guests cost threads, never answers.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A job on no worker for so long means that the workers are stuck rather than busy.
pub(crate) const STUCK_AFTER: Duration = Duration::from_millis(50);
/// A worker above the configured minimum ends after so long without work.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Which workers may take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Normal,
    Priority,
}

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How many workers there may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) normal_min: usize,
    pub(crate) normal_max: usize,
    pub(crate) priority_max: usize,
    /// Threads of both lanes together, stuck ones included.
    pub(crate) threads_max: usize,
}

/// What the workers are at.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) workers: usize,
    pub(crate) idle: usize,
    pub(crate) queued: usize,
}

/// The workers. Clones share them.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// For normal and for priority workers.
    work: [Condvar; 2],
    ended: Condvar,
}

struct State {
    limits: Limits,
    /// Of normal and of priority jobs.
    queues: [VecDeque<Job>; 2],
    /// Of normal and of priority workers.
    idle: [usize; 2],
    workers: Vec<Worker>,
    worker_last: u64,
    closing: bool,
}

impl State {
    fn of(&self, lane: Lane) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(move |worker| worker.lane == lane)
    }

    /// Workers of a lane that are not stuck.
    fn active(&self, lane: Lane) -> usize {
        let now = Instant::now();
        self.of(lane).filter(|worker| !worker.stuck(now)).count()
    }

    fn max(&self, lane: Lane) -> usize {
        match lane {
            Lane::Normal => self.limits.normal_max,
            Lane::Priority => self.limits.priority_max,
        }
    }
}

struct Worker {
    id: u64,
    lane: Lane,
    /// Since when it is at its job.
    started: Option<Instant>,
    /// It said that it waits for a hypervisor.
    waiting: bool,
}

impl Worker {
    fn stuck(&self, now: Instant) -> bool {
        self.waiting
            || self.started.is_some_and(|at| now.saturating_duration_since(at) >= STUCK_AFTER)
    }
}

thread_local! {
    /// The pool and number of the worker that runs on this thread.
    static CURRENT: Cell<Option<(Arc<Shared>, u64)>> = const { Cell::new(None) };
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        let work = [Condvar::new(), Condvar::new()];
        let state = Mutex::new(State {
            limits,
            queues: Default::default(),
            idle: [0; 2],
            workers: Vec::new(),
            worker_last: 0,
            closing: false,
        });
        Self(Arc::new(Shared { state, work, ended: Condvar::new() }))
    }

    /// Queues a job. False when no worker is there for it yet: then [`Pool::relieve`] is to be
    /// called after [`STUCK_AFTER`].
    pub(crate) fn submit(&self, lane: Lane, job: Job) -> bool {
        let mut state = self.0.lock();
        if state.closing {
            return true;
        }
        state.queues[lane as usize].push_back(job);
        self.0.staff(state)
    }

    /// Looks again whether waiting jobs can have a worker. True when none waits without one.
    pub(crate) fn relieve(&self) -> bool {
        self.0.staff(self.0.lock())
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.lock().limits
    }

    /// Sets how many workers there may be. Those that are too many end as soon as they are idle;
    /// those that are to be kept are made at once.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut state = self.0.lock();
        state.limits = limits;
        while !state.closing && state.of(Lane::Normal).count() < limits.normal_min {
            if !self.0.spawn(&mut state, Lane::Normal) {
                break;
            }
        }
        self.0.work.iter().for_each(Condvar::notify_all);
        self.0.staff(state);
    }

    /// How many normal workers there are, how many have nothing to do, and what waits for them.
    pub(crate) fn load(&self) -> Load {
        let state = self.0.lock();
        Load {
            workers: state.of(Lane::Normal).count(),
            idle: state.idle[Lane::Normal as usize],
            queued: state.queues.iter().map(VecDeque::len).sum(),
        }
    }

    /// Lets the workers end and waits for those that do, at most so long.
    pub(crate) fn close(&self, patience: Duration) {
        let mut state = self.0.lock();
        state.closing = true;
        state.queues.iter_mut().for_each(VecDeque::clear);
        self.0.work.iter().for_each(Condvar::notify_all);
        let none_left = |state: &mut State| !state.workers.is_empty();
        let _ = self.0.ended.wait_timeout_while(state, patience, none_left);
    }
}

/// Tells the pool that this thread begins or ends a wait for a hypervisor.
pub(crate) fn on_wait(begins: bool) {
    CURRENT.with(|current| {
        let Some((shared, id)) = current.take() else { return };
        let mut state = shared.lock();
        if let Some(worker) = state.workers.iter_mut().find(|worker| worker.id == id) {
            worker.waiting = begins;
        }
        if begins {
            shared.staff(state);
        } else {
            drop(state);
        }
        current.set(Some((shared, id)));
    });
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that every queued job has a worker on its way, where limits allow.
    fn staff(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> bool {
        let [normal, priority] = [state.queues[0].len(), state.queues[1].len()];
        if normal + priority == 0 {
            return true;
        }
        // Normal workers serve both lanes, so they are woken first.
        let wake_normal = state.idle[0].min(normal + priority);
        let left = (normal + priority).saturating_sub(wake_normal);
        let wake_priority = state.idle[1].min(left).min(priority);
        let mut missing = left.saturating_sub(wake_priority);
        while missing > 0 {
            let lane = match self.vacancy(&state, priority > 0) {
                Some(lane) => lane,
                None => break,
            };
            if !self.spawn(&mut state, lane) {
                break;
            }
            missing -= 1;
        }
        drop(state);
        for _ in 0..wake_normal {
            self.work[0].notify_one();
        }
        for _ in 0..wake_priority {
            self.work[1].notify_one();
        }
        missing == 0
    }

    fn vacancy(&self, state: &State, for_priority: bool) -> Option<Lane> {
        if state.workers.len() >= state.limits.threads_max {
            return None;
        }
        let room = |lane| state.active(lane) < state.max(lane);
        if room(Lane::Normal) {
            Some(Lane::Normal)
        } else if for_priority && room(Lane::Priority) {
            Some(Lane::Priority)
        } else {
            None
        }
    }

    fn spawn(self: &Arc<Self>, state: &mut State, lane: Lane) -> bool {
        state.worker_last += 1;
        let id = state.worker_last;
        let shared = Arc::clone(self);
        let name = match lane {
            Lane::Normal => "rpc-worker",
            Lane::Priority => "prio-rpc-worker",
        };
        let made = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            CURRENT.with(|current| current.set(Some((Arc::clone(&shared), id))));
            shared.work(lane, id);
        });
        if made.is_ok() {
            state.workers.push(Worker { id, lane, started: None, waiting: false });
        }
        made.is_ok()
    }

    fn work(&self, lane: Lane, id: u64) {
        let mut state = self.lock();
        loop {
            match self.next_job(&mut state, lane) {
                Some(job) => {
                    mark(&mut state, id, Some(Instant::now()));
                    drop(state);
                    // The job catches its own panics; this one only keeps the count right.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                    state = self.lock();
                    mark(&mut state, id, None);
                    if state.active(lane) > state.max(lane) {
                        break;
                    }
                }
                // One that was stuck came back, or fewer are wanted now.
                None if state.closing || state.active(lane) > state.max(lane) => break,
                None => {
                    state.idle[lane as usize] += 1;
                    let waited = self.work[lane as usize].wait_timeout(state, IDLE_MAX);
                    let (back, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    state = back;
                    state.idle[lane as usize] -= 1;
                    if timeout.timed_out() && self.idle_surplus(&state, lane) {
                        break;
                    }
                }
            }
        }
        state.workers.retain(|worker| worker.id != id);
        if state.workers.is_empty() {
            self.ended.notify_all();
        }
    }

    fn next_job(&self, state: &mut State, lane: Lane) -> Option<Job> {
        let job = state.queues[Lane::Priority as usize].pop_front();
        match lane {
            Lane::Priority => job,
            Lane::Normal => job.or_else(|| state.queues[Lane::Normal as usize].pop_front()),
        }
    }

    fn idle_surplus(&self, state: &State, lane: Lane) -> bool {
        let queued = state.queues.iter().any(|queue| !queue.is_empty());
        !queued && (lane == Lane::Priority || state.of(lane).count() > state.limits.normal_min)
    }
}

fn mark(state: &mut State, id: u64, started: Option<Instant>) {
    if let Some(worker) = state.workers.iter_mut().find(|worker| worker.id == id) {
        worker.started = started;
        worker.waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn pool(normal_max: usize, priority_max: usize) -> Pool {
        Pool::new(Limits { normal_min: 1, normal_max, priority_max, threads_max: 1024 })
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn every_job_runs_once_on_few_threads() {
        let pool = pool(3, 1);
        let (tx, rx) = mpsc::channel();
        for number in 0..200 {
            let tx = tx.clone();
            let lane = if number % 3 == 0 { Lane::Priority } else { Lane::Normal };
            pool.submit(lane, Box::new(move || tx.send(number).expect("send")));
        }
        let mut seen: Vec<i32> =
            (0..200).map(|_| rx.recv_timeout(PATIENCE).expect("job")).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<_>>());
        assert!(pool.0.lock().workers.len() <= 4);
        pool.close(PATIENCE);
        assert_eq!(pool.0.lock().workers.len(), 0);
    }

    #[test]
    fn stuck_jobs_do_not_hold_up_others() {
        let pool = pool(2, 1);
        let (release, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        for number in 0..10 {
            let wait = Arc::clone(&wait);
            pool.submit(
                Lane::Normal,
                Box::new(move || {
                    if number % 2 == 0 {
                        on_wait(true);
                    }
                    let _ = wait.lock().expect("lock").recv();
                    on_wait(false);
                }),
            );
        }
        let (tx, rx) = mpsc::channel();
        pool.submit(Lane::Normal, Box::new(move || tx.send(()).expect("send")));
        while rx.try_recv().is_err() {
            std::thread::sleep(STUCK_AFTER / 5);
            pool.relieve();
        }
        drop(release);
        pool.close(PATIENCE);
    }

    #[test]
    fn limits_hold_from_when_they_are_set() {
        let pool = pool(8, 1);
        let workers = || pool.load().workers;
        pool.set_limits(Limits { normal_min: 6, normal_max: 8, priority_max: 1, threads_max: 64 });
        assert_eq!(workers(), 6);
        pool.set_limits(Limits { normal_min: 1, normal_max: 2, priority_max: 1, threads_max: 64 });
        let until = Instant::now() + PATIENCE;
        while workers() > 2 && Instant::now() < until {
            std::thread::sleep(STUCK_AFTER / 5);
        }
        assert_eq!(workers(), 2);
        pool.close(PATIENCE);
    }

    #[test]
    fn a_panic_costs_one_job() {
        let pool = pool(1, 1);
        let (tx, rx) = mpsc::channel();
        pool.submit(Lane::Normal, Box::new(|| std::panic::resume_unwind(Box::new("boom"))));
        pool.submit(Lane::Normal, Box::new(move || tx.send(()).expect("send")));
        rx.recv_timeout(PATIENCE).expect("second job");
        pool.close(PATIENCE);
    }
}
