//! When guests crash by themselves: one thread a world, there once something is to be waited for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use virt_types::Uuid;

use crate::domain::crash;
use crate::world::World;

/// Limit: crashes that are waited for at a time in one world.
const WAITING_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Alarm {
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    waiting: Vec<Entry>,
    /// Where the guests are, once the world is one that others have.
    world: Option<Weak<World>>,
    running: bool,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    guest: Uuid,
    /// The run of the guest that ends then; a later one is no business of ours.
    run: i32,
}

impl Alarm {
    /// A guest crashes after so long, if it still runs.
    pub(super) fn set(self: &Arc<Self>, after: Duration, guest: Uuid, run: i32) {
        let Some(at) = Instant::now().checked_add(after) else { return };
        let mut book = self.book();
        // A guest crashes once.
        book.waiting.retain(|entry| entry.guest != guest || (entry.run == run && entry.at < at));
        if book.waiting.iter().any(|entry| entry.guest == guest)
            || book.waiting.len() >= WAITING_MAX
        {
            return;
        }
        book.waiting.push(Entry { at, guest, run });
        self.run(&mut book);
    }

    /// The world is complete: what was noted while it was read counts from now on.
    pub(super) fn start(self: &Arc<Self>, world: Weak<World>) {
        let mut book = self.book();
        book.world = Some(world);
        self.run(&mut book);
    }

    pub(super) fn end(&self) {
        self.book().ended = true;
        self.changed.notify_all();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread where there is something to do and none yet, or wakes it.
    fn run(self: &Arc<Self>, book: &mut Book) {
        if book.running {
            self.changed.notify_all();
        } else if let (false, Some(world)) = (book.waiting.is_empty(), book.world.clone()) {
            let alarm = Arc::clone(self);
            let thread = std::thread::Builder::new().name("test-crashes".to_owned());
            // Where there can be no thread, guests do not crash: nothing else depends on it.
            book.running = thread.spawn(move || alarm.keep(&world)).is_ok();
        }
    }

    fn keep(&self, world: &Weak<World>) {
        let mut book = self.book();
        while !book.ended {
            let now = Instant::now();
            let due = book.waiting.iter().position(|entry| entry.at <= now);
            if let Some(entry) = due.map(|at| book.waiting.swap_remove(at)) {
                drop(book);
                let Some(world) = world.upgrade() else { return };
                if let Some(domain) = world.domains.by_uuid(&entry.guest) {
                    crash::crash(&world, &domain, Some(entry.run));
                }
                drop(world);
                book = self.book();
                continue;
            }
            let next = book.waiting.iter().map(|entry| entry.at).min();
            book = match next {
                None => self.changed.wait(book).unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let left = next.saturating_duration_since(now);
                    let woken = self.changed.wait_timeout(book, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
