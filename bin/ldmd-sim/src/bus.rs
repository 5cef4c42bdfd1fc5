//! Events on their way to the connections that registered for them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::event::EventfdFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::actions::Class;

/// Limit: events that a connection may leave unread before it is closed.
const QUEUE_MAX: usize = 10_000;

/// What waits for one connection.
#[derive(Debug)]
pub(crate) struct Mailbox {
    classes: AtomicU8,
    queue: Mutex<VecDeque<Arc<str>>>,
    has_overflown: AtomicBool,
    wake: OwnedFd,
}

fn bit(class: Class) -> u8 {
    match class {
        Class::Domain => 1,
        Class::Resource => 2,
        Class::Hardware => 4,
    }
}

impl Mailbox {
    fn new() -> std::io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let classes = AtomicU8::new(0);
        Ok(Self { classes, queue: Mutex::default(), has_overflown: AtomicBool::new(false), wake })
    }

    pub(crate) fn register(&self, classes: &[Class]) {
        for class in classes {
            self.classes.fetch_or(bit(*class), Ordering::Relaxed);
        }
    }

    pub(crate) fn unregister(&self, classes: &[Class]) {
        for class in classes {
            self.classes.fetch_and(!bit(*class), Ordering::Relaxed);
        }
    }

    fn listens(&self, class: Class) -> bool {
        self.classes.load(Ordering::Relaxed) & bit(class) != 0
    }

    fn push(&self, text: &Arc<str>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= QUEUE_MAX {
            self.has_overflown.store(true, Ordering::Relaxed);
        } else {
            queue.push_back(Arc::clone(text));
        }
        drop(queue);
        // A full counter is readable already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// The next event, in the order they were told.
    pub(crate) fn pop(&self) -> Option<Arc<str>> {
        let mut drained = [0; 8];
        // Nothing to read is what is wanted.
        let _ = rustix::io::read(&self.wake, &mut drained);
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn has_overflown(&self) -> bool {
        self.has_overflown.load(Ordering::Relaxed)
    }

    /// Readable when there is something to take.
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    mailboxes: Mutex<Vec<Weak<Mailbox>>>,
}

impl Bus {
    /// A mailbox that gets events as long as it is kept.
    pub(crate) fn join(&self) -> std::io::Result<Arc<Mailbox>> {
        let mailbox = Arc::new(Mailbox::new()?);
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        mailboxes.retain(|weak| weak.strong_count() > 0);
        mailboxes.push(Arc::downgrade(&mailbox));
        Ok(mailbox)
    }

    pub(crate) fn publish(&self, class: Class, text: &str) {
        let text: Arc<str> = text.into();
        let mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let all = mailboxes.iter().filter_map(Weak::upgrade);
        all.filter(|mailbox| mailbox.listens(class)).for_each(|mailbox| mailbox.push(&text));
    }
}
