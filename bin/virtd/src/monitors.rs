//! Registrations for what emulators say by themselves: events of the qemu program.

use std::sync::{Arc, Weak};

use virt_driver::{MonitorEvent, MonitorFilter, SubscriptionId};
use virt_error::{Error, Origin, Result};
use virt_types::api;
use virt_wire::qemu::{
    CONNECT_DOMAIN_MONITOR_EVENT_REGISTER, ConnectDomainMonitorEventRegisterArgs,
    DOMAIN_MONITOR_EVENT, DomainMonitorEventMsg,
};
use virt_wire::{Codec, Header, Reader, Writer, qemu};

use crate::calls::Server;
use crate::client::Client;
use crate::limits::Limits;
use crate::session::read;

const API: &str = "virConnectDomainQemuMonitorEventRegister";
const MICROS: u64 = 1_000_000;

/// A callback's number, and what the driver calls it.
pub(crate) type Monitored = (i32, SubscriptionId);

/// Serves a call that registers or deregisters one.
pub(crate) fn serve(
    server: &Server,
    client: &Arc<Client>,
    number: u32,
    arguments: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    let r = &mut Reader::new(arguments);
    if number == CONNECT_DOMAIN_MONITOR_EVENT_REGISTER {
        let wanted = read(ConnectDomainMonitorEventRegisterArgs::decode(r))?;
        let callback = register(client, wanted, &server.settings.limits)?;
        reply.i32(callback);
        return Ok(());
    }
    let callback = read(r.i32())?;
    let connection = client.connection()?;
    let known = {
        let mut session = client.session();
        let list = &mut session.events().monitors;
        list.iter().position(|(own, _)| *own == callback).map(|at| list.remove(at))
    };
    match known {
        Some((_, subscription)) => connection.unsubscribe_monitor(subscription),
        None => {
            let detail = format!("qemu monitor event callback {callback} not registered");
            Err(Error::internal(Origin::Rpc, detail))
        }
    }
}

fn register(
    client: &Arc<Client>,
    wanted: ConnectDomainMonitorEventRegisterArgs,
    limits: &Limits,
) -> Result<i32> {
    let connection = client.connection()?;
    let nocase = api::CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE;
    let regex = api::CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX;
    virt_driver::check_flags(wanted.flags, nocase | regex, API)?;
    let filter = MonitorFilter {
        domain: wanted.dom.map(|dom| dom.uuid),
        name: wanted.event,
        any_case: wanted.flags & nocase != 0,
        pattern: wanted.flags & regex != 0,
    };
    let callback = {
        let mut session = client.session();
        let events = session.events();
        if events.is_full(limits) {
            return Err(virt_dispatch::rpc_error("too many event callbacks"));
        }
        events.next_callback()
    };
    let (unread_bytes_max, weak) = (limits.unread_events_bytes_max, Arc::downgrade(client));
    let sink = move |event: &MonitorEvent| tell(&weak, callback, event, unread_bytes_max);
    // Order: no lock of ours is held while the driver takes its own.
    let subscription = connection.subscribe_monitor(filter, Arc::new(sink))?;
    client.session().events().monitors.push((callback, subscription));
    Ok(callback)
}

fn tell(client: &Weak<Client>, callback: i32, event: &MonitorEvent, unread_bytes_max: usize) {
    let message = DomainMonitorEventMsg {
        callback_id: callback,
        dom: event.dom.clone(),
        event: event.name.clone(),
        seconds: i64::try_from(event.at_us / MICROS).unwrap_or(i64::MAX),
        micros: u32::try_from(event.at_us % MICROS).unwrap_or(0),
        details: event.details.clone(),
    };
    let mut w = Header::event(qemu::PROGRAM, qemu::VERSION, DOMAIN_MONITOR_EVENT).start();
    // One that does not fit the protocol's limits is not told.
    let framed = message.encode(&mut w).ok().and_then(|()| Header::finish(w).ok());
    if let (Some(client), Some(framed)) = (client.upgrade(), framed) {
        client.send_event(framed, unread_bytes_max);
    }
}
