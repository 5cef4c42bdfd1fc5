//! Events: what is seen now is compared with what was seen before.
//!
//! Neither xend nor xenstore says what happened: xenstore says that some domain came or went, xend says
//! nothing at all. So after each change of our own, at each word of xenstore, and now and then, the
//! domains are looked at, and the differences are told. What a change of ours was for is noted before
//! it is made.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use virt_driver::{EventBus, EventFilter, EventSink, EventSource, SubscriptionId};
use virt_error::Result;
use virt_types::{DomainRef, Event, Name, Uuid, api};

use crate::channels::Subject;
use crate::core::Core;
use crate::seen::{Life, Running};
use crate::xenstore;

/// How often the domains are looked at where xenstore says when that is needed, and where it does not.
const WATCHED: Duration = Duration::from_secs(5);
const UNWATCHED: Duration = Duration::from_secs(1);
/// How often it is seen whether tool stacks have come or gone.
const PROBED: Duration = Duration::from_secs(3);
/// How long who wants to hear of events waits until the domains have been looked at.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(2);
/// How long words of xenstore's are gathered before the domains are looked at, and how many.
const PAUSE: Duration = Duration::from_millis(20);
const WORDS_MAX: usize = 2048;
/// Limit: domains whose last end is remembered.
const ENDED_MAX: usize = 20_000;
/// What xenstore says when domains come and go.
const SPECIAL: [&str; 2] = ["@introduceDomain", "@releaseDomain"];

/// What a change of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Destroyed,
    Saved,
    Restored,
    MigratedAway,
}

/// What was seen of a domain last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    name: Name,
    kept: bool,
    id: Option<u32>,
    life: Option<Life>,
}

#[derive(Debug, Default)]
struct Notes {
    /// `None` until the domains have been looked at for the first time.
    seen: Option<HashMap<Uuid, Seen>>,
    expected: HashMap<Uuid, Why>,
    /// `virDomainShutoffReason` of domains that ran.
    ended: HashMap<Uuid, i32>,
    /// Why domains run or are paused that this daemon has let run, or has paused.
    moods: HashMap<Uuid, Mood>,
}

/// Why a domain is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mood {
    id: u32,
    paused: bool,
    /// `virDomainRunningReason` or `virDomainPausedReason`.
    reason: i32,
}

/// Who is told, and what was seen last.
#[derive(Default)]
pub(crate) struct Watch {
    bus: EventBus,
    subscribers: AtomicUsize,
    notes: Mutex<Notes>,
    /// One looks at a time: a host that does not answer holds up nobody who only asks what was noted.
    looking: Mutex<()>,
    started: AtomicBool,
}

impl Watch {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a change is for that is about to be made.
    pub(crate) fn expect(&self, uuid: Uuid, why: Why) {
        self.notes().expected.insert(uuid, why);
    }

    /// Why a domain does not run.
    pub(crate) fn ended(&self, uuid: &Uuid) -> i32 {
        let notes = self.notes();
        let expected = notes.expected.get(uuid).copied();
        let noted = notes.ended.get(uuid).copied();
        noted.or(expected.map(ended_by)).unwrap_or(api::DOMAIN_SHUTOFF_UNKNOWN)
    }

    /// Notes why a domain is paused, or is not.
    pub(crate) fn note(&self, running: &Running, paused: bool, reason: i32) {
        let mut notes = self.notes();
        if notes.moods.len() >= ENDED_MAX {
            notes.moods.clear();
        }
        notes.moods.insert(running.uuid, Mood { id: running.id, paused, reason });
    }

    /// Why a domain is as it is; 0 where somebody else has made it so.
    pub(crate) fn why(&self, running: &Running) -> i32 {
        let paused = match running.life {
            Life::Paused => true,
            Life::Running => false,
            // Compat: the others have no reasons.
            _ => return 0,
        };
        let mood = self.notes().moods.get(&running.uuid).copied();
        let mood = mood.filter(|mood| (mood.id, mood.paused) == (running.id, paused));
        mood.map_or(0, |mood| mood.reason)
    }

    pub(crate) fn publish(&self, event: &Event) {
        self.bus.publish(event);
    }

    /// Starts the thread that looks.
    pub(crate) fn begin(&self, core: &Core) {
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = core.weak();
        let thread = std::thread::Builder::new().name("xen-events".to_owned());
        if let Err(error) = thread.spawn(move || listen(&weak)) {
            virt_log::warning!("xen", "cannot start a thread: {error}");
        }
    }

    /// Looks at the domains, where anybody wants to hear of them.
    pub(crate) fn look(&self, core: &Core) {
        if self.subscribers.load(Ordering::Acquire) == 0 {
            return;
        }
        // Order: the turn of looking before the notes; two who look do not tell the same twice.
        let _turn = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(all) = core.all() else { return };
        let mut notes = self.notes();
        let now: HashMap<Uuid, Seen> =
            all.iter().map(|subject| (subject.uuid, seen(subject))).collect();
        let before = notes.seen.replace(now);
        let Some(before) = before else { return };
        let told = self.differences(&mut notes, &before, &all);
        drop(notes);
        for event in told {
            self.bus.publish(&event);
        }
    }

    fn differences(
        &self,
        notes: &mut Notes,
        before: &HashMap<Uuid, Seen>,
        all: &[Subject],
    ) -> Vec<Event> {
        let mut told = Vec::new();
        for subject in all {
            let was = before.get(&subject.uuid);
            kept_changes(subject, was, &mut told);
            let why = notes.expected.get(&subject.uuid).copied();
            let ran = was.and_then(|was| was.id);
            let runs = subject.running.as_ref().map(|running| running.id);
            if ran.is_some() && ran != runs {
                let (detail, ended) = stopped(why, was.and_then(|was| was.life));
                note_end(notes, subject.uuid, ended);
                told.push(lifecycle(subject.to_ref_of(-1), api::DOMAIN_EVENT_STOPPED, detail));
            }
            if let Some(running) = &subject.running {
                running_changes(subject, running, was, why, &mut told);
            }
            if ran != runs {
                notes.expected.remove(&subject.uuid);
            }
        }
        for (uuid, was) in before {
            if all.iter().any(|subject| subject.uuid == *uuid) {
                continue;
            }
            let dom = DomainRef { name: was.name.clone(), uuid: *uuid, id: -1 };
            if was.id.is_some() {
                let (detail, ended) = stopped(notes.expected.remove(uuid), was.life);
                note_end(notes, *uuid, ended);
                told.push(lifecycle(dom.clone(), api::DOMAIN_EVENT_STOPPED, detail));
            }
            if was.kept {
                let detail = api::DOMAIN_EVENT_UNDEFINED_REMOVED;
                told.push(lifecycle(dom, api::DOMAIN_EVENT_UNDEFINED, detail));
            }
        }
        told
    }
}

impl Subject {
    pub(crate) fn to_ref(&self) -> DomainRef {
        self.to_ref_of(self.running.as_ref().map_or(-1, Running::public_id))
    }

    fn to_ref_of(&self, id: i32) -> DomainRef {
        DomainRef { name: self.name.clone(), uuid: self.uuid, id }
    }
}

fn seen(subject: &Subject) -> Seen {
    let running = subject.running.as_ref();
    Seen {
        name: subject.name.clone(),
        kept: subject.kept,
        id: running.map(|running| running.id),
        life: running.map(|running| running.life),
    }
}

fn lifecycle(dom: DomainRef, event: i32, detail: i32) -> Event {
    Event::DomainLifecycle { dom, event, detail }
}

fn note_end(notes: &mut Notes, uuid: Uuid, reason: i32) {
    if notes.ended.len() >= ENDED_MAX {
        notes.ended.clear();
    }
    notes.ended.insert(uuid, reason);
}

fn ended_by(why: Why) -> i32 {
    match why {
        Why::Destroyed => api::DOMAIN_SHUTOFF_DESTROYED,
        Why::Saved => api::DOMAIN_SHUTOFF_SAVED,
        Why::MigratedAway => api::DOMAIN_SHUTOFF_MIGRATED,
        Why::Restored => api::DOMAIN_SHUTOFF_UNKNOWN,
    }
}

/// How a guest ended, as an event's detail and as a reason.
fn stopped(why: Option<Why>, life: Option<Life>) -> (i32, i32) {
    match why {
        Some(Why::Destroyed) => {
            (api::DOMAIN_EVENT_STOPPED_DESTROYED, api::DOMAIN_SHUTOFF_DESTROYED)
        }
        Some(Why::Saved) => (api::DOMAIN_EVENT_STOPPED_SAVED, api::DOMAIN_SHUTOFF_SAVED),
        Some(Why::MigratedAway) => {
            (api::DOMAIN_EVENT_STOPPED_MIGRATED, api::DOMAIN_SHUTOFF_MIGRATED)
        }
        _ if life == Some(Life::Crashed) => {
            (api::DOMAIN_EVENT_STOPPED_CRASHED, api::DOMAIN_SHUTOFF_CRASHED)
        }
        _ => (api::DOMAIN_EVENT_STOPPED_SHUTDOWN, api::DOMAIN_SHUTOFF_SHUTDOWN),
    }
}

/// What is told of a definition.
fn kept_changes(subject: &Subject, was: Option<&Seen>, told: &mut Vec<Event>) {
    let was_kept = was.is_some_and(|was| was.kept);
    let (event, detail) = match (was_kept, subject.kept) {
        (false, true) => (api::DOMAIN_EVENT_DEFINED, api::DOMAIN_EVENT_DEFINED_ADDED),
        (true, false) => (api::DOMAIN_EVENT_UNDEFINED, api::DOMAIN_EVENT_UNDEFINED_REMOVED),
        (true, true) if was.is_some_and(|was| was.name != subject.name) => {
            (api::DOMAIN_EVENT_DEFINED, api::DOMAIN_EVENT_DEFINED_RENAMED)
        }
        _ => return,
    };
    told.push(lifecycle(subject.to_ref(), event, detail));
}

/// What is told of a guest that runs.
fn running_changes(
    subject: &Subject,
    running: &Running,
    was: Option<&Seen>,
    why: Option<Why>,
    told: &mut Vec<Event>,
) {
    let dom = subject.to_ref();
    let before = was.filter(|was| was.id == Some(running.id)).and_then(|was| was.life);
    let Some(before) = before else {
        let detail = match why {
            Some(Why::Restored) => api::DOMAIN_EVENT_STARTED_RESTORED,
            _ => api::DOMAIN_EVENT_STARTED_BOOTED,
        };
        told.push(lifecycle(dom.clone(), api::DOMAIN_EVENT_STARTED, detail));
        if running.life == Life::Paused {
            let detail = api::DOMAIN_EVENT_SUSPENDED_PAUSED;
            told.push(lifecycle(dom, api::DOMAIN_EVENT_SUSPENDED, detail));
        }
        return;
    };
    let (event, detail) = match (before, running.life) {
        (Life::Paused, Life::Running | Life::Blocked) => {
            (api::DOMAIN_EVENT_RESUMED, api::DOMAIN_EVENT_RESUMED_UNPAUSED)
        }
        (Life::Running | Life::Blocked, Life::Paused) => {
            (api::DOMAIN_EVENT_SUSPENDED, api::DOMAIN_EVENT_SUSPENDED_PAUSED)
        }
        (before, Life::Crashed) if before != Life::Crashed => {
            (api::DOMAIN_EVENT_CRASHED, api::DOMAIN_EVENT_CRASHED_PANICKED)
        }
        (before, Life::Down) if before.is_up() => {
            (api::DOMAIN_EVENT_SHUTDOWN, api::DOMAIN_EVENT_SHUTDOWN_FINISHED)
        }
        _ => return,
    };
    told.push(lifecycle(dom, event, detail));
}

/// The thread: waits for xenstore's word or for some time, until nobody has the driver any more.
fn listen(weak: &Weak<Core>) {
    let mut watcher = None;
    let mut probed = Instant::now();
    loop {
        if watcher.is_none() {
            let Some(core) = weak.upgrade() else { return };
            watcher = core.store().watching().ok().and_then(|(store, watcher)| {
                let all = SPECIAL.iter().all(|path| store.watch(path, path).is_ok());
                all.then_some((store, watcher))
            });
        }
        let gone = match &watcher {
            Some((_, watcher)) => {
                let event = watcher.next(WATCHED);
                if let Some(core) = weak.upgrade().filter(|_| event.is_some()) {
                    core.glances.forget();
                }
                // Limit: a storm of words is looked after together, and again after a pause.
                if event.is_some() {
                    std::thread::sleep(PAUSE);
                }
                let more = std::iter::from_fn(|| watcher.next(Duration::ZERO));
                event.into_iter().chain(more.take(WORDS_MAX)).any(|e| e == xenstore::Event::Gone)
            }
            None => {
                std::thread::sleep(UNWATCHED);
                false
            }
        };
        if gone {
            watcher = None;
            std::thread::sleep(UNWATCHED);
        }
        // Order: the driver is let go before the next wait.
        let Some(core) = weak.upgrade() else { return };
        if probed.elapsed() >= PROBED {
            crate::open::refresh(&core);
            probed = Instant::now();
        }
        core.tend();
        core.watch.look(&core);
    }
}

impl Core {
    /// Looks at the domains for somebody who wants to hear of what happens from now on, and who shall not wait for
    /// a host that does not answer: what happens until it does is not told then.
    fn first_look(&self) {
        let (weak, (done, looked)) = (self.weak(), sync_channel(1));
        let look = move || {
            if let Some(core) = weak.upgrade() {
                core.watch.look(&core);
            }
            let _ = done.try_send(());
        };
        if std::thread::Builder::new().name("xen-look".to_owned()).spawn(look).is_ok() {
            let _ = looked.recv_timeout(FIRST_LOOK_MAX);
        }
    }
}

impl EventSource for Core {
    fn subscribe(&self, filter: EventFilter, sink: EventSink) -> Result<SubscriptionId> {
        let id = self.watch.bus.subscribe(filter, sink)?;
        if self.watch.subscribers.fetch_add(1, Ordering::AcqRel) == 0 {
            // What is from before there was anybody to tell is not told.
            self.watch.notes().seen = None;
            self.first_look();
        }
        Ok(id)
    }

    fn unsubscribe(&self, id: SubscriptionId) -> Result<()> {
        self.watch.bus.unsubscribe(id)?;
        self.watch.subscribers.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }
}
