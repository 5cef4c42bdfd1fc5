//! The calls that the daemon answers itself: opening, authentication, features, registrations.

use std::sync::Arc;

use virt_access::{Identity, Socket};
use virt_driver::{AccessPolicy, Caller, Names};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{TypedParam, TypedValue, feature};
use virt_wire::{Codec, Message, Procedure, Reader, Writer, XdrError, limits, qemu, remote};

use crate::auth;
use crate::calls::{Server, arguments, guarded};
use crate::client::{Client, start_reply};
use crate::entry::Way;
use crate::{events, monitors};

/// The version of libvirt whose interface this is: 11.3.0.
pub(crate) const LIB_VERSION: u64 = 11_003_000;
/// `VIR_CONNECT_RO` in the flags of an open.
const OPEN_READ_ONLY: u32 = 1;

/// Serves one procedure: its number, arguments and the answer to write.
type Run = fn(&Server, &Arc<Client>, u32, &[u8], &mut Writer) -> Result<()>;

/// Where a call of the daemon's own is answered.
pub(crate) enum Own {
    /// At once, on the loop.
    Loop(Run),
    /// By a worker: it may wait.
    Worker(Run),
}

/// How the daemon itself answers a procedure, if it does.
pub(crate) fn own(program: u32, number: u32) -> Option<Own> {
    use remote::*;
    if program == qemu::PROGRAM {
        return match number {
            qemu::CONNECT_DOMAIN_MONITOR_EVENT_REGISTER
            | qemu::CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER => Some(Own::Loop(monitors::serve)),
            _ => None,
        };
    }
    if program != PROGRAM {
        return None;
    }
    Some(match number {
        CONNECT_OPEN => Own::Worker(open),
        CONNECT_CLOSE => Own::Worker(close),
        AUTH_LIST => Own::Loop(auth::list),
        // Making a key of a password takes milliseconds; so does a look for a key in a file.
        AUTH_SASL_INIT => Own::Worker(auth::sasl_init),
        AUTH_SASL_START => Own::Worker(auth::sasl_start),
        AUTH_SASL_STEP => Own::Worker(auth::sasl_step),
        AUTH_POLKIT => Own::Worker(auth::polkit),
        CONNECT_SUPPORTS_FEATURE => Own::Loop(supports_feature),
        CONNECT_GET_LIB_VERSION => Own::Loop(lib_version),
        CONNECT_REGISTER_CLOSE_CALLBACK | CONNECT_UNREGISTER_CLOSE_CALLBACK => {
            Own::Loop(close_callback)
        }
        CONNECT_SET_IDENTITY => Own::Loop(set_identity),
        CONNECT_DOMAIN_EVENT_REGISTER
        | CONNECT_DOMAIN_EVENT_DEREGISTER
        | CONNECT_DOMAIN_EVENT_REGISTER_ANY
        | CONNECT_DOMAIN_EVENT_DEREGISTER_ANY
        | CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY
        | CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY
        | CONNECT_NETWORK_EVENT_REGISTER_ANY
        | CONNECT_NETWORK_EVENT_DEREGISTER_ANY
        | CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY
        | CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY
        | CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY
        | CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY
        | CONNECT_SECRET_EVENT_REGISTER_ANY
        | CONNECT_SECRET_EVENT_DEREGISTER_ANY => Own::Loop(events::serve),
        _ => return None,
    })
}

/// Whether nothing that comes after a call is heard. Compat: after its answer the daemon hangs up.
pub(crate) fn is_last(program: u32, number: u32) -> bool {
    (program, number) == (remote::PROGRAM, remote::CONNECT_CLOSE)
}

/// Runs one of them and answers.
pub(crate) fn answer(
    run: Run,
    server: &Server,
    client: &Arc<Client>,
    procedure: &Procedure,
    message: &Message,
) {
    let header = message.header;
    let result = guarded(procedure.api, || {
        admit(client, header.program, header.procedure)?;
        let mut reply = start_reply(header);
        run(server, client, header.procedure, arguments(message), &mut reply).map(|()| reply)
    });
    client.reply(header, result, Vec::new());
}

/// Whether an open connection's caller may make a call of the daemon's own.
fn admit(client: &Client, program: u32, number: u32) -> Result<()> {
    let Some(api) = virt_dispatch::own(program, number) else { return Ok(()) };
    let connection = client.session().connection.clone();
    connection.map_or(Ok(()), |connection| connection.admit(api))
}

pub(crate) fn read<T>(decoded: std::result::Result<T, XdrError>) -> Result<T> {
    decoded.map_err(|_| virt_dispatch::rpc_error("Unable to decode message payload"))
}

fn open(
    server: &Server,
    client: &Arc<Client>,
    _: u32,
    arguments: &[u8],
    _: &mut Writer,
) -> Result<()> {
    let r = &mut Reader::new(arguments);
    let name = read(r.optional(|r| r.string(limits::STRING_MAX)))?;
    let flags = read(r.u32())?;
    {
        let mut session = client.session();
        if session.connection.is_some() || session.opening {
            return Err(Error::internal(Origin::Rpc, "connection already open"));
        }
        session.opening = true;
    }
    let opened = open_named(server, client, name.as_deref(), flags);
    let mut session = client.session();
    session.opening = false;
    session.connection = Some(opened?);
    Ok(())
}

fn open_named(
    server: &Server,
    client: &Client,
    name: Option<&str>,
    flags: u32,
) -> Result<virt_driver::Connection> {
    // Compat: a daemon has no default of its own; without a name there is nothing to open.
    let name = name.ok_or_else(|| Error::internal(Origin::Rpc, "connection not open"))?;
    if !name.is_empty() {
        virt_transport::Uri::parse(name)?.require_driver()?;
    }
    let read_only = client.arrival.read_only || flags & OPEN_READ_ONLY != 0;
    let connection = server.drivers.registry.open(Some(name), read_only)?;
    let caller = client.named_caller();
    let guard = guard(server, client, &caller, read_only);
    let connection = connection.for_caller(caller, guard);
    connection.admit(&virt_driver::api::CONNECT_OPEN)?;
    Ok(connection)
}

/// The rules for somebody who has this client's connection.
fn guard(
    server: &Server,
    client: &Client,
    caller: &Caller,
    read_only: bool,
) -> Option<Arc<dyn AccessPolicy>> {
    let socket = match client.arrival.way {
        Way::Unix => Socket::Unix,
        Way::Tcp => Socket::Tcp,
        Way::Tls => Socket::Tls,
    };
    server.access.as_ref().map(|policy| policy.guard(Identity::of(caller, socket, read_only)))
}

fn close(_: &Server, client: &Arc<Client>, _: u32, _: &[u8], _: &mut Writer) -> Result<()> {
    events::forget_all(client);
    let closed = client.session().connection.take();
    closed.into_iter().for_each(|connection| connection.hang_up());
    Ok(())
}

fn supports_feature(
    _: &Server,
    client: &Arc<Client>,
    _: u32,
    arguments: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    let number = read(Reader::new(arguments).i32())?;
    // Compat: asking for keepalive starts it, and works before anything is open.
    if number == feature::PROGRAM_KEEPALIVE {
        client.ask_for_keepalive();
        reply.i32(1);
        return Ok(());
    }
    let connection = client.connection()?;
    let supported = match number {
        feature::FD_PASSING | feature::REMOTE_EVENT_CALLBACK | feature::REMOTE_CLOSE_CALLBACK => {
            true
        }
        other => connection.supports_feature(other),
    };
    reply.i32(supported.into());
    Ok(())
}

fn lib_version(
    _: &Server,
    client: &Arc<Client>,
    _: u32,
    _: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    if client.session().connection.is_none() {
        return Err(Error::internal(Origin::Rpc, "hypervisor connection not open"));
    }
    reply.u64(LIB_VERSION);
    Ok(())
}

fn close_callback(
    _: &Server,
    client: &Arc<Client>,
    number: u32,
    _: &[u8],
    _: &mut Writer,
) -> Result<()> {
    client.connection()?;
    client.session().events().close = number == remote::CONNECT_REGISTER_CLOSE_CALLBACK;
    Ok(())
}

/// A front daemon says on whose behalf it calls. Only what is known may be said, and where rules are
/// in force only root and the daemon's own user may say it: then the rules are those of the other.
fn set_identity(
    server: &Server,
    client: &Arc<Client>,
    _: u32,
    arguments: &[u8],
    _: &mut Writer,
) -> Result<()> {
    let r = &mut Reader::new(arguments);
    let params = read(r.list(limits::CONNECT_IDENTITY_PARAMS_MAX, TypedParam::decode))?;
    let _flags = read(r.u32())?;
    let connection = client.connection()?;
    let mut caller = Caller { client_id: client.caller.client_id, ..Caller::default() };
    let mut names = Names::default();
    for TypedParam { field, value } in params {
        let number = |number: u64| u32::try_from(number).ok();
        match (field.as_str(), value) {
            ("user_name" | "group_name" | "selinux_context", TypedValue::String(_))
            | ("process_time", TypedValue::Ullong(_)) => {}
            ("sasl_user_name", TypedValue::String(name)) => names.sasl = Some(name),
            ("x509_distinguished_name", TypedValue::String(name)) => names.x509 = Some(name),
            ("unix_user_id", TypedValue::Ullong(uid)) => caller.uid = number(uid),
            ("unix_group_id", TypedValue::Ullong(gid)) => caller.gid = number(gid),
            ("process_id", TypedValue::Llong(pid)) => caller.pid = i32::try_from(pid).ok(),
            _ => {
                let detail = format!("parameter '{field}' not supported");
                return Err(Error::new(Code::ArgumentUnsupported, Origin::None, detail));
            }
        }
    }
    if server.access.is_none() {
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    if !client.caller.uid.is_some_and(|uid| uid == 0 || uid == own) {
        let detail = "only root may call for somebody else";
        return Err(Error::new(Code::AccessDenied, Origin::Access, detail));
    }
    caller.names = (names != Names::default()).then(|| Box::new(names));
    let guard = guard(server, client, &caller, connection.is_read_only());
    client.session().connection = Some(connection.assume(caller, guard));
    Ok(())
}
