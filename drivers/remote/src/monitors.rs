//! What emulators below a daemon say by themselves: one registration there for each subscriber.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use virt_client::Client;
use virt_driver::{MonitorEvent, MonitorFilter, MonitorSink, MonitorSource, SubscriptionId};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{DomainRef, api};
use virt_wire::qemu::{
    self, CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER, CONNECT_DOMAIN_MONITOR_EVENT_REGISTER,
    ConnectDomainMonitorEventDeregisterArgs, ConnectDomainMonitorEventRegisterArgs,
    DOMAIN_MONITOR_EVENT, DomainMonitorEventMsg,
};
use virt_wire::{Codec, Header, Reader};

use crate::driver::ask_program;
use crate::events::lock;

const MICROS: u64 = 1_000_000;

pub(crate) struct RemoteMonitors {
    client: Arc<Client>,
    listeners: Arc<Listeners>,
    last_id: AtomicU64,
}

pub(crate) type Listeners = Mutex<Vec<Listener>>;

pub(crate) struct Listener {
    id: SubscriptionId,
    filter: MonitorFilter,
    sink: MonitorSink,
    /// The daemon's id; `None` until it has answered, and events may come before that.
    callback: Option<i32>,
}

impl RemoteMonitors {
    pub(crate) fn new(client: &Arc<Client>, listeners: Arc<Listeners>) -> Self {
        Self { client: Arc::clone(client), listeners, last_id: AtomicU64::new(0) }
    }

    fn register(&self, filter: &MonitorFilter) -> Result<i32> {
        let flag = |set, flag: u32| if set { flag } else { 0 };
        let args = ConnectDomainMonitorEventRegisterArgs {
            dom: filter.domain.map(|uuid| DomainRef { name: "".into(), uuid, id: -1 }),
            event: filter.name.clone(),
            flags: flag(filter.any_case, api::CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE)
                | flag(filter.pattern, api::CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX),
        };
        let number = CONNECT_DOMAIN_MONITOR_EVENT_REGISTER;
        ask_program(&self.client, qemu::PROGRAM, number, &args, |r| r.i32())
    }
}

impl MonitorSource for RemoteMonitors {
    fn subscribe(&self, filter: MonitorFilter, sink: MonitorSink) -> Result<SubscriptionId> {
        let id = SubscriptionId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let listener = Listener { id, filter: filter.clone(), sink, callback: None };
        lock(&self.listeners).push(listener);
        let registered = self.register(&filter);
        let mut listeners = lock(&self.listeners);
        match registered {
            Ok(callback) => {
                let own = listeners.iter_mut().find(|known| known.id == id);
                own.into_iter().for_each(|own| own.callback = Some(callback));
            }
            Err(error) => {
                listeners.retain(|known| known.id != id);
                return Err(error);
            }
        }
        drop(listeners);
        self.client.attend()?;
        Ok(id)
    }

    fn unsubscribe(&self, id: SubscriptionId) -> Result<()> {
        let mut listeners = lock(&self.listeners);
        let Some(at) = listeners.iter().position(|known| known.id == id) else {
            let detail = format!("qemu monitor event callback {} is not registered", id.0);
            return Err(Error::new(Code::InvalidArg, Origin::Remote, detail));
        };
        let gone = listeners.remove(at);
        drop(listeners);
        let Some(callback_id) = gone.callback else { return Ok(()) };
        let args = ConnectDomainMonitorEventDeregisterArgs { callback_id };
        let number = CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER;
        ask_program(&self.client, qemu::PROGRAM, number, &args, |_| Ok(()))
    }
}

impl std::fmt::Debug for RemoteMonitors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = lock(&self.listeners).len();
        f.debug_struct("RemoteMonitors").field("listeners", &count).finish_non_exhaustive()
    }
}

/// Tells those whose registration brought the message. The sinks run without the lock.
pub(crate) fn publish(listeners: &Listeners, header: Header, payload: &[u8]) {
    if header.program != qemu::PROGRAM || header.procedure != DOMAIN_MONITOR_EVENT {
        return;
    }
    let Ok(message) = DomainMonitorEventMsg::decode(&mut Reader::new(payload)) else { return };
    let seconds = u64::try_from(message.seconds).unwrap_or(0);
    let event = MonitorEvent {
        dom: message.dom,
        name: message.event,
        at_us: seconds.saturating_mul(MICROS).saturating_add(u64::from(message.micros)),
        details: message.details,
    };
    let callback = message.callback_id;
    let meant = |known: &&Listener| match known.callback {
        Some(own) => own == callback,
        None => known.filter.may_match(&event),
    };
    let sinks: Vec<MonitorSink> =
        lock(listeners).iter().filter(meant).map(|known| Arc::clone(&known.sink)).collect();
    for sink in sinks {
        sink(&event);
    }
}
