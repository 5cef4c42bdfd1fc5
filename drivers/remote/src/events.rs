//! Events of a daemon: registered there once per kind and object, told to those who asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virt_client::Client;
use virt_driver::{EventFilter, EventObject, EventSink, EventSource, SubscriptionId};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{DomainRef, EventClass, NetworkRef, NodeDeviceRef, SecretRef, StoragePoolRef};
use virt_wire::{Header, Reader, events, remote};

use crate::driver::ask;

pub(crate) struct RemoteEvents {
    client: Arc<Client>,
    subscribers: Arc<Subscribers>,
    last_id: AtomicU64,
}

pub(crate) type Subscribers = Mutex<Vec<Subscriber>>;

pub(crate) struct Subscriber {
    id: SubscriptionId,
    filter: EventFilter,
    sink: EventSink,
    /// The daemon's id; `None` until it has answered, and events may come before that.
    callback: Option<i32>,
}

impl RemoteEvents {
    pub(crate) fn new(client: &Arc<Client>, subscribers: Arc<Subscribers>) -> Self {
        Self { client: Arc::clone(client), subscribers, last_id: AtomicU64::new(0) }
    }

    fn register(&self, filter: &EventFilter) -> Result<i32> {
        let client = &self.client;
        let event_id = filter.id;
        let uuid = match &filter.object {
            Some(EventObject::Uuid(uuid)) => Some(*uuid),
            _ => None,
        };
        let name = match &filter.object {
            Some(EventObject::Name(name)) => Some(name.clone()),
            _ => None,
        };
        match filter.class {
            EventClass::Domain => {
                let dom = uuid.map(|uuid| DomainRef { name: "".into(), uuid, id: -1 });
                let args = remote::ConnectDomainEventCallbackRegisterAnyArgs { event_id, dom };
                let number = remote::CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY;
                ask(client, number, &args, |r| r.i32())
            }
            EventClass::Network => {
                let net = uuid.map(|uuid| NetworkRef { name: "".into(), uuid });
                let args = remote::ConnectNetworkEventRegisterAnyArgs { event_id, net };
                let number = remote::CONNECT_NETWORK_EVENT_REGISTER_ANY;
                ask(client, number, &args, |r| r.i32())
            }
            EventClass::StoragePool => {
                let pool = uuid.map(|uuid| StoragePoolRef { name: "".into(), uuid });
                let args = remote::ConnectStoragePoolEventRegisterAnyArgs { event_id, pool };
                let number = remote::CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY;
                ask(client, number, &args, |r| r.i32())
            }
            EventClass::NodeDevice => {
                let dev = name.map(|name| NodeDeviceRef { name });
                let args = remote::ConnectNodeDeviceEventRegisterAnyArgs { event_id, dev };
                let number = remote::CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY;
                ask(client, number, &args, |r| r.i32())
            }
            EventClass::Secret => {
                let secret =
                    uuid.map(|uuid| SecretRef { uuid, usage_type: 0, usage_id: String::new() });
                let args = remote::ConnectSecretEventRegisterAnyArgs { event_id, secret };
                let number = remote::CONNECT_SECRET_EVENT_REGISTER_ANY;
                ask(client, number, &args, |r| r.i32())
            }
        }
    }

    fn deregister(&self, class: EventClass, callback_id: i32) -> Result<()> {
        use remote::*;
        let client = &self.client;
        match class {
            EventClass::Domain => {
                let args = ConnectDomainEventCallbackDeregisterAnyArgs { callback_id };
                ask(client, CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, &args, |_| Ok(()))
            }
            EventClass::Network => {
                let args = ConnectNetworkEventDeregisterAnyArgs { callback_id };
                ask(client, CONNECT_NETWORK_EVENT_DEREGISTER_ANY, &args, |_| Ok(()))
            }
            EventClass::StoragePool => {
                let args = ConnectStoragePoolEventDeregisterAnyArgs { callback_id };
                ask(client, CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY, &args, |_| Ok(()))
            }
            EventClass::NodeDevice => {
                let args = ConnectNodeDeviceEventDeregisterAnyArgs { callback_id };
                ask(client, CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY, &args, |_| Ok(()))
            }
            EventClass::Secret => {
                let args = ConnectSecretEventDeregisterAnyArgs { callback_id };
                ask(client, CONNECT_SECRET_EVENT_DEREGISTER_ANY, &args, |_| Ok(()))
            }
        }
    }
}

impl EventSource for RemoteEvents {
    fn subscribe(&self, filter: EventFilter, sink: EventSink) -> Result<SubscriptionId> {
        let id = SubscriptionId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let mut subscribers = lock(&self.subscribers);
        // One registration at the daemon serves all equal filters.
        let equal = subscribers.iter().find(|known| known.filter == filter);
        let shared = equal.and_then(|known| known.callback);
        subscribers.push(Subscriber { id, filter: filter.clone(), sink, callback: shared });
        drop(subscribers);
        if shared.is_none() {
            let registered = self.register(&filter);
            let mut subscribers = lock(&self.subscribers);
            match registered {
                Ok(callback) => {
                    let own = subscribers.iter_mut().find(|known| known.id == id);
                    if let Some(own) = own {
                        own.callback = Some(callback);
                    }
                }
                Err(error) => {
                    subscribers.retain(|known| known.id != id);
                    return Err(error);
                }
            }
        }
        self.client.attend()?;
        Ok(id)
    }

    fn unsubscribe(&self, id: SubscriptionId) -> Result<()> {
        let mut subscribers = lock(&self.subscribers);
        let Some(at) = subscribers.iter().position(|known| known.id == id) else {
            let detail = format!("event callback {} is not registered", id.0);
            return Err(Error::new(Code::InvalidArg, Origin::Remote, detail));
        };
        let gone = subscribers.remove(at);
        let still_used = subscribers.iter().any(|known| known.callback == gone.callback);
        drop(subscribers);
        match gone.callback {
            Some(callback) if !still_used => self.deregister(gone.filter.class, callback),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for RemoteEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = lock(&self.subscribers).len();
        f.debug_struct("RemoteEvents").field("subscribers", &count).finish_non_exhaustive()
    }
}

/// Tells those whose registration brought the message; what cannot be read is dropped, as an
/// unknown event is. The sinks run without the lock.
pub(crate) fn publish(subscribers: &Subscribers, header: Header, payload: &[u8]) {
    if header.program != remote::PROGRAM {
        return;
    }
    let mut r = Reader::new(payload);
    let Ok(callback) = r.i32() else { return };
    let Ok(Some(event)) = events::decode(header.procedure, &mut r) else { return };
    let meant = |known: &&Subscriber| {
        known.callback.is_none_or(|own| own == callback) && known.filter.matches(&event)
    };
    let sinks: Vec<EventSink> =
        lock(subscribers).iter().filter(meant).map(|known| Arc::clone(&known.sink)).collect();
    for sink in sinks {
        sink(&event);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
