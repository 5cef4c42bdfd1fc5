//! The manager's events: a connection of their own, read by a thread that comes back after losses.
//!
//! An event makes what was known of its domain doubtful before anybody is told of it, so whoever hears
//! of a change and asks gets the changed answer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use virt_driver::{EventFilter, EventSink, EventSource, SubscriptionId};
use virt_error::Result;
use virt_types::{DomainRef, Event, api};

use crate::facts::Facts;
use crate::link::{LinkError, Session};
use crate::manager::{EventsHangup, Manager, lock};
use crate::message::{Command, Data, Message};
use crate::world::Progress;

/// Compat: how often the manager's own local clients try again.
const RETRY: Duration = Duration::from_secs(3);
/// Limit: how long a manager may take to register a listener.
const REGISTER_WAIT_MAX: Duration = Duration::from_secs(20);

/// Whether the events are listened to.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    started: bool,
    hangup: Option<EventsHangup>,
}

/// How a registration ended that did not succeed.
enum NoEvents {
    /// The manager has none, or not for us.
    Refused,
    Lost(LinkError),
}

impl From<LinkError> for NoEvents {
    fn from(error: LinkError) -> Self {
        Self::Lost(error)
    }
}

impl Manager {
    /// Listens to events from now on. Without them the driver asks again for every call.
    pub(crate) fn watch(self: &Arc<Self>) {
        if std::mem::replace(&mut lock(&self.watching).started, true) {
            return;
        }
        let session = match self.register() {
            Ok(session) => Some(session),
            Err(NoEvents::Refused) => return,
            Err(NoEvents::Lost(error)) => {
                virt_log::warning!("ldoms", "no events from the LDoms Manager: {error}");
                None
            }
        };
        let weak = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("ldoms-events".to_owned());
        if let Err(error) = thread.spawn(move || listen(&weak, session)) {
            virt_log::warning!("ldoms", "cannot start a thread: {error}");
            self.world().trust(false);
        }
    }

    /// Opens a connection on which the manager tells of changes.
    fn register(&self) -> std::result::Result<Session, NoEvents> {
        let registered = self.try_register();
        if matches!(registered, Err(NoEvents::Lost(_))) {
            self.unlearn();
        }
        registered
    }

    fn try_register(&self) -> std::result::Result<Session, NoEvents> {
        let mut session = Session::open(&self.target, &self.person, self.protocol())?;
        let data = match session.protocol {
            crate::link::Protocol::Socket => "2.0",
            crate::link::Protocol::Xmpp => "3.0",
        };
        let mut command = Command::new("reg-all-events");
        command.data.push(Data { version: data.to_owned(), ..Data::default() });
        let request = Message::request(&self.version(), command);
        let answer = session.ask(&request, Instant::now() + REGISTER_WAIT_MAX)?;
        if let Err(reasons) = answer.verdict() {
            virt_log::info!("ldoms", "no events: {}", reasons.join("; "));
            return Err(NoEvents::Refused);
        }
        lock(&self.watching).hangup = Some(session.hangup()?);
        self.world().trust(true);
        Ok(session)
    }

    /// Deals with one event.
    fn heard_of(&self, event: &Message) {
        for command in &event.commands {
            let envelopes = command.data.iter().filter_map(|data| data.envelope.as_ref());
            let contents: Vec<_> = envelopes.flat_map(|envelope| &envelope.contents).collect();
            let names: Vec<&str> = contents.iter().map(|content| content.id.as_str()).collect();
            if command.action == "migration-process" {
                contents.iter().for_each(|content| self.progressed(content));
                continue;
            }
            let before: Vec<_> = names.iter().map(|name| self.world().by_name(name)).collect();
            self.world().happened(&command.action, &names);
            if self.subscribers.load(Ordering::Acquire) == 0 {
                continue;
            }
            for (name, before) in names.iter().zip(before) {
                self.tell(&command.action, name, before);
            }
        }
    }

    /// How a migration goes, as one of its events says.
    fn progressed(&self, content: &crate::message::Content) {
        let word = |key| content.property(key).unwrap_or_default().to_owned();
        let percent = word("progress").trim_end_matches('%').trim().parse().unwrap_or(0);
        let mut world = self.world();
        let since = world.progress.get(&content.id).map_or_else(Instant::now, |known| known.since);
        let progress = Progress { percent, status: word("status").to_ascii_lowercase(), since };
        if progress.status == "done" {
            world.happened("migrate-domain", &[&content.id]);
        }
        world.progress.insert(content.id.clone(), progress);
    }

    /// Publishes what an event of the manager means to listeners of the public interface.
    fn tell(&self, action: &str, name: &str, before: Option<Arc<Facts>>) {
        // What cannot be asked now is told by what was known.
        let now = self.named(None, name).ok().flatten();
        let Some(facts) = now.as_ref().or(before.as_ref()) else { return };
        let dom = facts.to_ref();
        match action {
            "add-domain" => {
                self.publish(dom, api::DOMAIN_EVENT_DEFINED, api::DOMAIN_EVENT_DEFINED_ADDED);
            }
            "set-domain" => {
                self.publish(dom, api::DOMAIN_EVENT_DEFINED, api::DOMAIN_EVENT_DEFINED_UPDATED);
            }
            "remove-domain" => {
                let dom = DomainRef { id: -1, ..dom };
                self.publish(dom, api::DOMAIN_EVENT_UNDEFINED, api::DOMAIN_EVENT_UNDEFINED_REMOVED);
            }
            "start-domain" => {
                let dom = DomainRef { id: facts.id, ..dom };
                self.publish(dom, api::DOMAIN_EVENT_STARTED, api::DOMAIN_EVENT_STARTED_BOOTED);
            }
            "stop-domain" => self.publish(
                DomainRef { id: -1, ..dom },
                api::DOMAIN_EVENT_STOPPED,
                api::DOMAIN_EVENT_STOPPED_SHUTDOWN,
            ),
            "migrate-domain" if now.is_none() => self.publish(
                DomainRef { id: -1, ..dom },
                api::DOMAIN_EVENT_STOPPED,
                api::DOMAIN_EVENT_STOPPED_MIGRATED,
            ),
            "panic-domain" => {
                self.publish(dom, api::DOMAIN_EVENT_CRASHED, api::DOMAIN_EVENT_CRASHED_PANICKED);
            }
            "domain-reset" => self.bus.publish(&Event::DomainReboot { dom }),
            "set-memory" | "add-memory" | "remove-memory" if facts.state.is_active() => {
                self.bus.publish(&Event::DomainBalloonChange { dom, actual: facts.memory_kib });
            }
            _ => {}
        }
    }

    fn publish(&self, dom: DomainRef, event: i32, detail: i32) {
        self.bus.publish(&Event::DomainLifecycle { dom, event, detail });
    }

    /// Tells what changed while nobody listened: by comparing what was with what is.
    fn catch_up(&self, before: &[Arc<Facts>]) {
        if self.subscribers.load(Ordering::Acquire) == 0 {
            return;
        }
        let Ok(now) = self.all(None) else { return };
        let same = |list: &[Arc<Facts>], name: &str| list.iter().find(|f| f.name == name).cloned();
        for facts in &now {
            let was = same(before, &facts.name);
            if was.is_none() {
                self.tell("add-domain", &facts.name, None);
            }
            let ran = was.is_some_and(|was| was.state.is_active());
            match (ran, facts.state.is_active()) {
                (false, true) => self.tell("start-domain", &facts.name, None),
                (true, false) => self.tell("stop-domain", &facts.name, None),
                _ => {}
            }
        }
        for gone in before.iter().filter(|facts| same(&now, &facts.name).is_none()) {
            if gone.state.is_active() {
                self.tell("stop-domain", &gone.name, Some(Arc::clone(gone)));
            }
            self.tell("remove-domain", &gone.name, Some(Arc::clone(gone)));
        }
    }
}

/// The thread: reads events until nobody has the manager open any more.
fn listen(manager: &Weak<Manager>, mut session: Option<Session>) {
    loop {
        while let Some(open) = &mut session {
            let event = open.event();
            // Order: the manager is let go before the next event is waited for.
            let Some(manager) = manager.upgrade() else { return };
            match event {
                Ok(event) => manager.heard_of(&event),
                Err(error) => {
                    virt_log::warning!("ldoms", "events are lost: {error}");
                    manager.world().trust(false);
                    manager.set_alive(false);
                    session = None;
                }
            }
        }
        std::thread::sleep(RETRY);
        let Some(manager) = manager.upgrade() else { return };
        let before = manager.world().all();
        match manager.register() {
            Ok(again) => {
                manager.set_alive(true);
                manager.catch_up(&before);
                session = Some(again);
            }
            Err(NoEvents::Refused) => return,
            Err(NoEvents::Lost(error)) => virt_log::debug!("ldoms", "still no events: {error}"),
        }
    }
}

impl EventSource for Manager {
    fn subscribe(&self, filter: EventFilter, sink: EventSink) -> Result<SubscriptionId> {
        let id = self.bus.subscribe(filter, sink)?;
        self.subscribers.fetch_add(1, Ordering::AcqRel);
        Ok(id)
    }

    fn unsubscribe(&self, id: SubscriptionId) -> Result<()> {
        self.bus.unsubscribe(id)?;
        self.subscribers.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }
}
