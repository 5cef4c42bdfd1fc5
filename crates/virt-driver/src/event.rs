//! Events: who wants which, and how a driver tells them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virt_error::{Code, Error, Origin, Result};
use virt_types::{Event, EventClass, Name, Uuid};

/// Receives events. It must not wait: a subscriber that is slow keeps a bounded queue of its own and
/// gives up the connection when that is full.
pub type EventSink = Arc<dyn Fn(&Event) + Send + Sync>;

/// Names a subscription of one [`EventSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId(pub u64);

/// Which events are wanted: all of a class, one kind, or one kind of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFilter {
    pub class: EventClass,
    /// The event's number in its class (`VIR_DOMAIN_EVENT_ID_…`).
    pub id: i32,
    /// The object's UUID, where it has one, or its name.
    pub object: Option<EventObject>,
}

/// How an event's object is recognised.
#[derive(Clone, Debug, PartialEq)]
pub enum EventObject {
    Uuid(Uuid),
    Name(Name),
}

impl EventFilter {
    pub fn all(class: EventClass, id: i32) -> Self {
        Self { class, id, object: None }
    }

    pub fn of(class: EventClass, id: i32, uuid: Uuid) -> Self {
        Self { class, id, object: Some(EventObject::Uuid(uuid)) }
    }

    pub fn named(class: EventClass, id: i32, name: Name) -> Self {
        Self { class, id, object: Some(EventObject::Name(name)) }
    }

    pub fn matches(&self, event: &Event) -> bool {
        if event.kind() != (self.class, self.id) {
            return false;
        }
        match &self.object {
            None => true,
            Some(EventObject::Uuid(uuid)) => event_uuid(event) == Some(*uuid),
            Some(EventObject::Name(name)) => {
                event.node_device().is_some_and(|device| device.name == *name)
            }
        }
    }
}

fn event_uuid(event: &Event) -> Option<Uuid> {
    if let Some(domain) = event.domain() {
        return Some(domain.uuid);
    }
    if let Some(network) = event.network() {
        return Some(network.uuid);
    }
    if let Some(pool) = event.storage_pool() {
        return Some(pool.uuid);
    }
    event.secret().map(|secret| secret.uuid)
}

/// Where events come from.
pub trait EventSource: Send + Sync {
    fn subscribe(&self, filter: EventFilter, sink: EventSink) -> Result<SubscriptionId>;
    fn unsubscribe(&self, id: SubscriptionId) -> Result<()>;
}

/// What subscribers say of the events they want.
pub trait Wanted: Send + Sync {
    type Event;
    fn matches(&self, event: &Self::Event) -> bool;
}

impl Wanted for EventFilter {
    type Event = Event;

    fn matches(&self, event: &Event) -> bool {
        self.matches(event)
    }
}

/// The event source of a driver that lives in this process.
///
/// Order: events are published while the job on their object is still held, so every subscriber sees
/// the events of one object in the order of its changes.
pub struct Bus<F: Wanted> {
    subscribers: Mutex<Vec<Subscriber<F>>>,
    last_id: AtomicU64,
}

/// A bus for the public events.
pub type EventBus = Bus<EventFilter>;

type Sink<F> = Arc<dyn Fn(&<F as Wanted>::Event) + Send + Sync>;

struct Subscriber<F: Wanted> {
    id: SubscriptionId,
    filter: F,
    sink: Sink<F>,
}

impl<F: Wanted> Default for Bus<F> {
    fn default() -> Self {
        Self { subscribers: Mutex::default(), last_id: AtomicU64::new(0) }
    }
}

impl<F: Wanted> Bus<F> {
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber<F>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody listens at all.
    pub fn is_heard(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Tells everyone who wants it. The sinks run without a lock held, so they may unsubscribe.
    pub fn publish(&self, event: &F::Event) {
        let sinks: Vec<Sink<F>> = self
            .lock()
            .iter()
            .filter(|subscriber| subscriber.filter.matches(event))
            .map(|subscriber| Arc::clone(&subscriber.sink))
            .collect();
        for sink in sinks {
            sink(event);
        }
    }

    pub fn add(&self, filter: F, sink: Sink<F>) -> SubscriptionId {
        let id = SubscriptionId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        self.lock().push(Subscriber { id, filter, sink });
        id
    }

    pub fn remove(&self, id: SubscriptionId) -> Result<()> {
        let mut subscribers = self.lock();
        let before = subscribers.len();
        subscribers.retain(|subscriber| subscriber.id != id);
        if subscribers.len() == before {
            let detail = format!("event callback {} is not registered", id.0);
            return Err(Error::new(Code::InvalidArg, Origin::Event, detail));
        }
        Ok(())
    }
}

impl EventSource for EventBus {
    fn subscribe(&self, filter: EventFilter, sink: EventSink) -> Result<SubscriptionId> {
        Ok(self.add(filter, sink))
    }

    fn unsubscribe(&self, id: SubscriptionId) -> Result<()> {
        self.remove(id)
    }
}

impl<F: Wanted> std::fmt::Debug for Bus<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("subscribers", &self.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use virt_types::DomainRef;

    fn reboot(uuid: u8) -> Event {
        Event::DomainReboot { dom: DomainRef { name: "a".into(), uuid: Uuid([uuid; 16]), id: 1 } }
    }

    #[test]
    fn only_what_is_wanted_arrives() {
        let bus = EventBus::new();
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let sink: EventSink = Arc::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let filter = EventFilter::of(EventClass::Domain, 1, Uuid([7; 16]));
        let id = bus.subscribe(filter, sink).unwrap();
        bus.publish(&reboot(7));
        bus.publish(&reboot(8));
        assert_eq!(seen.load(Ordering::Relaxed), 1);
        bus.unsubscribe(id).unwrap();
        bus.publish(&reboot(7));
        assert_eq!(seen.load(Ordering::Relaxed), 1);
        assert!(bus.unsubscribe(id).is_err());
    }
}
