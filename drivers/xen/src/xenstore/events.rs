//! What was watched and has changed, waiting for its reader.
//!
//! A guest can write its nodes as fast as it likes. An event says only that something changed, so one
//! that waits stands for all like it; and when too many wait, one word stands for all of them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Limit: events that wait; beyond it the reader is told to look at everything.
pub(super) const EVENTS_MAX: usize = 1024;

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// This node or something below it; the token is the one it is watched by.
    Changed { path: String, token: String },
    /// More than could be kept: whatever is watched may have changed.
    Lost,
    /// The connection is gone, and no event will come.
    Gone,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Event>,
    known: BTreeSet<Event>,
    gone: bool,
}

/// The queue between the reader of the socket and whoever watches.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, event: Event) {
        let mut waiting = self.lock();
        if waiting.known.contains(&event) || waiting.known.contains(&Event::Lost) {
            return;
        }
        let event = if waiting.queue.len() >= EVENTS_MAX {
            waiting.queue.clear();
            waiting.known.clear();
            Event::Lost
        } else {
            event
        };
        waiting.known.insert(event.clone());
        waiting.queue.push_back(event);
        self.arrived.notify_one();
    }

    pub(super) fn end(&self) {
        self.lock().gone = true;
        self.arrived.notify_all();
    }
}

/// The end of the queue that is read.
#[derive(Debug)]
pub struct Watcher(pub(super) Arc<Events>);

impl Watcher {
    /// The next event, where one comes before the time is over.
    pub fn next(&self, wait_max: Duration) -> Option<Event> {
        let until = Instant::now() + wait_max;
        let mut waiting = self.0.lock();
        loop {
            if let Some(event) = waiting.queue.pop_front() {
                waiting.known.remove(&event);
                return Some(event);
            }
            if waiting.gone {
                return Some(Event::Gone);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let woken = self.0.arrived.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(path: &str) -> Event {
        Event::Changed { path: path.to_owned(), token: "t".to_owned() }
    }

    #[test]
    fn a_storm_of_one_node_is_one_event() {
        let events = Arc::new(Events::default());
        for _ in 0..100_000 {
            events.push(changed("/a"));
        }
        events.push(changed("/b"));
        let watcher = Watcher(Arc::clone(&events));
        assert_eq!(watcher.next(Duration::ZERO), Some(changed("/a")));
        events.push(changed("/a"));
        assert_eq!(watcher.next(Duration::ZERO), Some(changed("/b")));
        assert_eq!(watcher.next(Duration::ZERO), Some(changed("/a")));
        assert_eq!(watcher.next(Duration::from_millis(1)), None);
    }

    #[test]
    fn a_storm_of_many_nodes_is_one_word() {
        let events = Arc::new(Events::default());
        for at in 0..10 * EVENTS_MAX {
            events.push(changed(&format!("/{at}")));
        }
        let watcher = Watcher(Arc::clone(&events));
        assert_eq!(watcher.next(Duration::ZERO), Some(Event::Lost));
        assert_eq!(watcher.next(Duration::ZERO), None);
        events.end();
        assert_eq!(watcher.next(Duration::from_secs(60)), Some(Event::Gone));
    }
}
