//! Which events a client gets: registrations with callback ids, and the older ones without.

use std::sync::{Arc, Weak};

use virt_driver::{Connection, EventFilter, EventSink, SubscriptionId};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{
    DomainRef, Event, EventClass, NetworkRef, NodeDeviceRef, SecretRef, StoragePoolRef,
};
use virt_wire::{Codec, Header, Reader, Writer, XdrError, events, remote};

use crate::calls::Server;
use crate::client::Client;
use crate::limits::Limits;
use crate::monitors::Monitored;

/// Events with older messages have no number above this one (`VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED`).
const LEGACY_ID_MAX: i32 = 15;

/// What a client registered for.
#[derive(Default)]
pub(crate) struct Registrations {
    list: Vec<Registration>,
    pub(crate) monitors: Vec<Monitored>,
    next_callback: i32,
    /// It wants to hear when the connection to the hypervisor is lost.
    pub(crate) close: bool,
}

impl Registrations {
    /// Whether no more may be registered for.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.list.len().saturating_add(self.monitors.len()) >= limits.callbacks_max
    }

    pub(crate) fn next_callback(&mut self) -> i32 {
        let callback = self.next_callback;
        self.next_callback = callback.wrapping_add(1);
        callback
    }
}

struct Registration {
    /// `None` for an older registration, which is known by its event's number.
    callback: Option<i32>,
    filter: EventFilter,
    subscription: SubscriptionId,
}

/// A class of events on the wire.
struct Class {
    class: EventClass,
    /// The public function, as a refusal names it.
    api: &'static str,
    /// In errors.
    name: &'static str,
    /// Before `event ID` in errors.
    prefix: &'static str,
    ids: i32,
}

fn class_of(number: u32) -> Class {
    use remote::*;
    let row = |class, api, name, prefix, ids| Class { class, api, name, prefix, ids };
    match number {
        CONNECT_NETWORK_EVENT_REGISTER_ANY | CONNECT_NETWORK_EVENT_DEREGISTER_ANY => {
            let api = "virConnectNetworkEventRegisterAny";
            row(EventClass::Network, api, "network event", "network ", 2)
        }
        CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY | CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY => {
            let api = "virConnectStoragePoolEventRegisterAny";
            row(EventClass::StoragePool, api, "storage pool event", "storage pool ", 2)
        }
        CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY | CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY => {
            let api = "virConnectNodeDeviceEventRegisterAny";
            row(EventClass::NodeDevice, api, "node device event", "node device ", 2)
        }
        CONNECT_SECRET_EVENT_REGISTER_ANY | CONNECT_SECRET_EVENT_DEREGISTER_ANY => {
            // Compat: a deregistration that fails says "node device" here too.
            let api = "virConnectSecretEventRegisterAny";
            row(EventClass::Secret, api, "node device event", "secret ", 2)
        }
        _ => {
            let api = "virConnectDomainEventRegisterAny";
            row(EventClass::Domain, api, "domain event", "", 28)
        }
    }
}

/// Events of a family that no driver has cannot be registered for.
fn check_family(connection: &Connection, class: &Class) -> Result<()> {
    let (present, origin) = match class.class {
        EventClass::Domain => (connection.domains().map(drop), Origin::None),
        EventClass::Network => (connection.networks().map(drop), Origin::Network),
        EventClass::StoragePool => (connection.pools().map(drop), Origin::Storage),
        EventClass::NodeDevice => (connection.node_devices().map(drop), Origin::Nodedev),
        EventClass::Secret => (connection.secrets().map(drop), Origin::Secret),
    };
    present.map_err(|error| error.in_call(class.api, origin))
}

/// Serves a call that registers or deregisters events.
pub(crate) fn serve(
    server: &Server,
    client: &Arc<Client>,
    number: u32,
    arguments: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    use remote::*;
    let limits = &server.settings.limits;
    let r = &mut Reader::new(arguments);
    match number {
        CONNECT_DOMAIN_EVENT_REGISTER => {
            register_legacy(client, 0, limits)?;
            reply.i32(0);
        }
        CONNECT_DOMAIN_EVENT_DEREGISTER => {
            deregister_legacy(client, 0)?;
            reply.i32(0);
        }
        CONNECT_DOMAIN_EVENT_REGISTER_ANY => {
            let id = legacy_id(read(r.i32())?)?;
            register_legacy(client, id, limits)?;
        }
        CONNECT_DOMAIN_EVENT_DEREGISTER_ANY => {
            let id = legacy_id(read(r.i32())?)?;
            deregister_legacy(client, id)?;
        }
        CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY
        | CONNECT_NETWORK_EVENT_REGISTER_ANY
        | CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY
        | CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY
        | CONNECT_SECRET_EVENT_REGISTER_ANY => {
            let class = class_of(number);
            let filter = read(read_filter(&class, r))?;
            if !(0..class.ids).contains(&filter.id) {
                let detail = format!("unsupported {}event ID {}", class.prefix, filter.id);
                return Err(Error::internal(Origin::Rpc, detail));
            }
            check_family(&client.connection()?, &class)?;
            reply.i32(register(client, filter, limits)?);
        }
        _ => {
            let class = class_of(number);
            let callback = read(r.i32())?;
            deregister(client, &class, callback)?;
        }
    }
    Ok(())
}

fn read<T>(decoded: std::result::Result<T, XdrError>) -> Result<T> {
    decoded.map_err(|_| virt_dispatch::rpc_error("Unable to decode message payload"))
}

fn read_filter(class: &Class, r: &mut Reader<'_>) -> std::result::Result<EventFilter, XdrError> {
    let id = r.i32()?;
    let kind = class.class;
    let of = |uuid| EventFilter::of(kind, id, uuid);
    let filter = match class.class {
        EventClass::Domain => r.optional(DomainRef::decode)?.map(|object| of(object.uuid)),
        EventClass::Network => r.optional(NetworkRef::decode)?.map(|object| of(object.uuid)),
        EventClass::StoragePool => {
            r.optional(StoragePoolRef::decode)?.map(|object| of(object.uuid))
        }
        EventClass::Secret => r.optional(SecretRef::decode)?.map(|object| of(object.uuid)),
        EventClass::NodeDevice => r
            .optional(NodeDeviceRef::decode)?
            .map(|object| EventFilter::named(kind, id, object.name)),
    };
    Ok(filter.unwrap_or_else(|| EventFilter::all(kind, id)))
}

fn legacy_id(id: i32) -> Result<i32> {
    if (0..=LEGACY_ID_MAX).contains(&id) {
        return Ok(id);
    }
    Err(Error::internal(Origin::Rpc, format!("unsupported event ID {id}")))
}

fn register(client: &Arc<Client>, filter: EventFilter, limits: &Limits) -> Result<i32> {
    let callback = client.session().events().next_callback();
    subscribe(client, filter, Some(callback), limits)?;
    Ok(callback)
}

fn register_legacy(client: &Arc<Client>, id: i32, limits: &Limits) -> Result<()> {
    subscribe(client, EventFilter::all(EventClass::Domain, id), None, limits)
}

fn subscribe(
    client: &Arc<Client>,
    filter: EventFilter,
    callback: Option<i32>,
    limits: &Limits,
) -> Result<()> {
    let connection = client.connection()?;
    {
        let mut session = client.session();
        let known = session.events();
        let same = |other: &Registration| other.filter == filter;
        if known.list.iter().any(same) {
            let detail = "event callback already tracked";
            return Err(Error::new(Code::InvalidArg, Origin::None, detail));
        }
        if known.is_full(limits) {
            return Err(virt_dispatch::rpc_error("too many event callbacks"));
        }
    }
    // Order: no lock of ours is held while the driver takes its own; it may be publishing to us.
    let subscription = connection.subscribe(filter.clone(), sink(client, callback, limits))?;
    client.session().events().list.push(Registration { callback, filter, subscription });
    Ok(())
}

fn sink(client: &Arc<Client>, callback: Option<i32>, limits: &Limits) -> EventSink {
    let unread_bytes_max = limits.unread_events_bytes_max;
    let client: Weak<Client> = Arc::downgrade(client);
    Arc::new(move |event| {
        if let (Some(client), Some(message)) = (client.upgrade(), message(event, callback)) {
            client.send_event(message, unread_bytes_max);
        }
    })
}

/// The event as a message, if it fits the protocol's limits.
fn message(event: &Event, callback: Option<i32>) -> Option<Vec<u8>> {
    let number = match callback {
        Some(_) => events::procedure(event),
        None => events::legacy_procedure(event)?,
    };
    let mut w = Header::event(remote::PROGRAM, remote::VERSION, number).start();
    if let Some(callback) = callback {
        w.i32(callback);
    }
    events::encode(event, &mut w).ok()?;
    Header::finish(w).ok()
}

fn deregister_legacy(client: &Client, id: i32) -> Result<()> {
    let named = |one: &Registration| one.callback.is_none() && one.filter.id == id;
    remove(client, named, || format!("domain event {id} not registered"))
}

fn deregister(client: &Client, class: &Class, callback: i32) -> Result<()> {
    let named =
        |one: &Registration| one.callback == Some(callback) && one.filter.class == class.class;
    remove(client, named, || format!("{} callback {callback} not registered", class.name))
}

fn remove(
    client: &Client,
    named: impl Fn(&Registration) -> bool,
    complaint: impl Fn() -> String,
) -> Result<()> {
    let connection = client.connection()?;
    let removed = {
        let mut session = client.session();
        let list = &mut session.events().list;
        list.iter().position(named).map(|at| list.remove(at))
    };
    match removed {
        Some(removed) => connection.unsubscribe(removed.subscription),
        None => Err(Error::internal(Origin::Rpc, complaint())),
    }
}

/// Forgets all registrations of a client that is gone.
pub(crate) fn forget_all(client: &Client) {
    let (connection, events) = {
        let mut session = client.session();
        (session.connection.clone(), session.events.take())
    };
    if let (Some(connection), Some(events)) = (connection, events) {
        // One that the driver forgot already is forgotten all the same.
        for registration in events.list {
            let _ = connection.unsubscribe(registration.subscription);
        }
        for (_, subscription) in events.monitors {
            let _ = connection.unsubscribe_monitor(subscription);
        }
    }
}
