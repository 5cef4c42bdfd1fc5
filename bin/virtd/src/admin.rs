//! The administration program: who is there, what they may take up, what is logged.
//!
//! It is served only to those who come by the administration socket, which is the owner's alone.
//! Everything here is a look at memory, so it is answered on the loop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use virt_error::{Code, Error, Origin, Result};
use virt_types::{
    ClientRef, ConnectGetLoggingFilters, ConnectGetLoggingOutputs, ServerRef, TypedParam,
    TypedValue,
};
use virt_wire::{Codec, Reader, Writer, XdrError, admin, limits};

use crate::calls::Server;
use crate::client::{Client, lock};
use crate::crowd::Crowd;
use crate::entry::Way;
use crate::session::{LIB_VERSION, read};

/// Compat: the daemon has two servers, its own and this one.
const ADMIN: &str = "admin";
/// `VIR_DAEMON_SHUTDOWN_PRESERVE`: guests outlive the daemon anyway.
const SHUTDOWN_PRESERVE: u32 = 1;

/// Serves one call.
pub(crate) fn serve(
    server: &Server,
    client: &Arc<Client>,
    number: u32,
    arguments: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    let r = &mut Reader::new(arguments);
    match number {
        admin::CONNECT_OPEN => {
            let args: admin::ConnectOpenArgs = decode(r)?;
            no_flags(args.flags, "adminConnectOpen")
        }
        admin::CONNECT_CLOSE => {
            client.close_after_reply();
            Ok(())
        }
        admin::CONNECT_GET_LIB_VERSION => {
            reply.u64(LIB_VERSION);
            Ok(())
        }
        admin::CONNECT_LIST_SERVERS => {
            let args: admin::ConnectListServersArgs = decode(r)?;
            let mut servers = [ADMIN, &server.settings.daemon].map(named);
            // Compat: by name.
            servers.sort_by(|one, other| one.name.cmp(&other.name));
            list(reply, &servers, args.need_results != 0, limits::SERVER_LIST_MAX)
        }
        admin::CONNECT_LOOKUP_SERVER => {
            let args: admin::ConnectLookupServerArgs = decode(r)?;
            crowd(server, &args.name)?;
            put(named(&args.name).encode(reply))
        }
        admin::SERVER_GET_THREADPOOL_PARAMETERS => {
            let args: admin::ServerGetThreadpoolParametersArgs = decode(r)?;
            let threads = threads(server, &args.srv.name)?;
            params(reply, &threads, limits::SERVER_THREADPOOL_PARAMETERS_MAX)
        }
        admin::SERVER_LIST_CLIENTS => {
            let args: admin::ServerListClientsArgs = decode(r)?;
            let clients = crowd(server, &args.srv.name)?.all();
            let clients: Vec<ClientRef> =
                clients.iter().map(|client| reference(&args.srv, client)).collect();
            list(reply, &clients, args.need_results != 0, limits::CLIENT_LIST_MAX)
        }
        admin::SERVER_LOOKUP_CLIENT => {
            let args: admin::ServerLookupClientArgs = decode(r)?;
            let found = find(server, &args.srv.name, args.id)?;
            put(reference(&args.srv, &found).encode(reply))
        }
        admin::CLIENT_GET_INFO => {
            let args: admin::ClientGetInfoArgs = decode(r)?;
            let found = find(server, &args.clnt.srv.name, args.clnt.id)?;
            params(reply, &identity(&found), limits::CLIENT_INFO_PARAMETERS_MAX)
        }
        admin::SERVER_GET_CLIENT_LIMITS => {
            let args: admin::ServerGetClientLimitsArgs = decode(r)?;
            let crowd = crowd(server, &args.srv.name)?;
            params(reply, &crowd_params(crowd), limits::SERVER_CLIENT_LIMITS_MAX)
        }
        admin::CONNECT_GET_LOGGING_FILTERS | admin::CONNECT_GET_LOGGING_OUTPUTS => {
            logging(number, r, reply)
        }
        _ => change(server, number, r),
    }
}

/// What is logged, and where.
fn logging(number: u32, r: &mut Reader<'_>, reply: &mut Writer) -> Result<()> {
    let length = |all: &[String]| u32::try_from(all.len()).unwrap_or(u32::MAX);
    // The arguments of both are flags alone.
    let args: admin::ConnectGetLoggingFiltersArgs = decode(r)?;
    if number == admin::CONNECT_GET_LOGGING_OUTPUTS {
        no_flags(args.flags, "adminConnectGetLoggingOutputs")?;
        let all = virt_log::outputs();
        let (outputs, noutputs) = (all.join(" "), length(&all));
        return put(ConnectGetLoggingOutputs { outputs, noutputs }.encode(reply));
    }
    no_flags(args.flags, "adminConnectGetLoggingFilters")?;
    let all = virt_log::filters();
    // Compat: a blank stands behind each.
    let filters = Some(all.iter().map(|filter| format!("{filter} ")).collect());
    put(ConnectGetLoggingFilters { filters, nfilters: length(&all) }.encode(reply))
}

/// Serves one call that changes something.
fn change(server: &Server, number: u32, r: &mut Reader<'_>) -> Result<()> {
    match number {
        admin::CLIENT_CLOSE => {
            let args: admin::ClientCloseArgs = decode(r)?;
            find(server, &args.clnt.srv.name, args.clnt.id)?.close();
            Ok(())
        }
        admin::SERVER_SET_THREADPOOL_PARAMETERS => set_threads(server, &decode(r)?),
        admin::SERVER_SET_CLIENT_LIMITS => set_limits(server, &decode(r)?),
        admin::SERVER_UPDATE_TLS_FILES => {
            let args: admin::ServerUpdateTlsFilesArgs = decode(r)?;
            crowd(server, &args.srv.name)?;
            update_tls(server)
        }
        admin::CONNECT_SET_LOGGING_FILTERS => {
            let args: admin::ConnectSetLoggingFiltersArgs = decode(r)?;
            let filters = virt_log::parse_filters(&args.filters.unwrap_or_default());
            virt_log::set_filters(filters.map_err(|error| invalid(error.to_string()))?);
            Ok(())
        }
        admin::CONNECT_SET_LOGGING_OUTPUTS => {
            let args: admin::ConnectSetLoggingOutputsArgs = decode(r)?;
            let asked = args.outputs.filter(|outputs| !outputs.trim().is_empty());
            let outputs = asked.as_ref().unwrap_or(&server.settings.log_outputs_usual);
            let outputs = virt_log::parse_outputs(outputs);
            virt_log::set_outputs(outputs.map_err(|error| invalid(error.to_string()))?);
            Ok(())
        }
        admin::CONNECT_SET_DAEMON_TIMEOUT => {
            let args: admin::ConnectSetDaemonTimeoutArgs = decode(r)?;
            no_flags(args.flags, "adminConnectSetDaemonTimeout")?;
            let seconds = Some(args.timeout).filter(|&seconds| seconds > 0);
            *lock(&server.idle_max) = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            server.crowd.changed.notify_waiters();
            Ok(())
        }
        admin::CONNECT_DAEMON_SHUTDOWN => {
            let args: admin::ConnectDaemonShutdownArgs = decode(r)?;
            no_flags(args.flags & !SHUTDOWN_PRESERVE, "adminConnectDaemonShutdown")?;
            server.ending.notify_one();
            Ok(())
        }
        _ => Err(Error::unsupported()),
    }
}

fn decode<T: Codec>(r: &mut Reader<'_>) -> Result<T> {
    read(T::decode(r))
}

fn put(written: std::result::Result<(), XdrError>) -> Result<()> {
    written.map_err(|_| virt_dispatch::rpc_error("Unable to encode message payload"))
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::Admin, detail)
}

fn no_flags(flags: u32, function: &str) -> Result<()> {
    if flags == 0 {
        return Ok(());
    }
    Err(invalid(format!("unsupported flags (0x{flags:x}) in function {function}")))
}

fn named(name: &str) -> ServerRef {
    ServerRef { name: name.into() }
}

fn crowd<'a>(server: &'a Server, name: &str) -> Result<&'a Arc<Crowd>> {
    match name {
        ADMIN => Ok(&server.admin_crowd),
        name if name == server.settings.daemon => Ok(&server.crowd),
        other => {
            let detail = format!("No server named '{other}'");
            Err(Error::new(Code::NoServer, Origin::Admin, detail))
        }
    }
}

fn find(server: &Server, name: &str, id: u64) -> Result<Arc<Client>> {
    crowd(server, name)?.find(id).ok_or_else(|| {
        let detail = format!("No client with matching ID '{id}'");
        Error::new(Code::NoClient, Origin::Admin, detail)
    })
}

/// A list, or nothing but its length.
fn list<T: Codec>(w: &mut Writer, all: &[T], wanted: bool, max: usize) -> Result<()> {
    let shown = if wanted { all } else { &[] };
    put(w.count(shown.len(), max))?;
    for one in shown {
        put(one.encode(w))?;
    }
    w.u32(u32::try_from(all.len()).unwrap_or(u32::MAX));
    Ok(())
}

fn params(w: &mut Writer, all: &[TypedParam], max: usize) -> Result<()> {
    put(w.count(all.len(), max))?;
    all.iter().try_for_each(|param| put(param.encode(w)))
}

fn param(field: &str, value: TypedValue) -> TypedParam {
    TypedParam { field: field.to_owned(), value }
}

fn count(field: &str, value: usize) -> TypedParam {
    param(field, TypedValue::Uint(u32::try_from(value).unwrap_or(u32::MAX)))
}

fn words(field: &str, value: impl Into<String>) -> TypedParam {
    param(field, TypedValue::String(value.into()))
}

fn threads(server: &Server, name: &str) -> Result<[TypedParam; 6]> {
    crowd(server, name)?;
    // Who administers is answered on the loop, so that no worker need be free for it.
    let (limits, load) = match name {
        ADMIN => Default::default(),
        _ => (server.pool.limits(), server.pool.load()),
    };
    Ok([
        count("minWorkers", limits.normal_min),
        count("maxWorkers", limits.normal_max),
        count("nWorkers", load.workers),
        count("freeWorkers", load.idle),
        count("prioWorkers", limits.priority_max),
        count("jobQueueDepth", load.queued),
    ])
}

fn set_threads(server: &Server, args: &admin::ServerSetThreadpoolParametersArgs) -> Result<()> {
    crowd(server, &args.srv.name)?;
    no_flags(args.flags, "adminServerSetThreadPoolParameters")?;
    if args.srv.name.as_str() == ADMIN {
        let detail = "the server 'admin' has no workers: it is answered before them";
        return Err(Error::new(Code::ArgumentUnsupported, Origin::Admin, detail));
    }
    let mut limits = server.pool.limits();
    for param in &args.params {
        match (param.field.as_str(), &param.value) {
            ("minWorkers", TypedValue::Uint(number)) => limits.normal_min = *number as usize,
            ("maxWorkers", TypedValue::Uint(number)) => limits.normal_max = *number as usize,
            ("prioWorkers", TypedValue::Uint(number)) => limits.priority_max = *number as usize,
            (other, _) => return Err(invalid(format!("parameter '{other}' not supported"))),
        }
    }
    if limits.normal_max == 0 {
        return Err(invalid(
            "maxWorkers must not be switched from zero to non-zero and vice versa",
        ));
    }
    if limits.normal_min > limits.normal_max {
        return Err(invalid("minWorkers cannot be larger than maxWorkers"));
    }
    server.pool.set_limits(limits);
    Ok(())
}

fn crowd_params(crowd: &Crowd) -> [TypedParam; 4] {
    [
        count("nclients_max", crowd.clients_max.load(Ordering::Acquire)),
        count("nclients", crowd.count()),
        count("nclients_unauth_max", crowd.anonymous_max.load(Ordering::Acquire)),
        count("nclients_unauth", crowd.anonymous()),
    ]
}

fn set_limits(server: &Server, args: &admin::ServerSetClientLimitsArgs) -> Result<()> {
    let crowd = crowd(server, &args.srv.name)?;
    let mut clients_max = crowd.clients_max.load(Ordering::Acquire);
    let mut anonymous_max = crowd.anonymous_max.load(Ordering::Acquire);
    for param in &args.params {
        match (param.field.as_str(), &param.value) {
            ("nclients_max", TypedValue::Uint(number)) => clients_max = *number as usize,
            ("nclients_unauth_max", TypedValue::Uint(number)) => anonymous_max = *number as usize,
            (other, _) => return Err(invalid(format!("parameter '{other}' not supported"))),
        }
    }
    if clients_max < anonymous_max {
        return Err(invalid(
            "The overall maximum number of clients must not be less than the number of clients \
             waiting for authentication",
        ));
    }
    crowd.clients_max.store(clients_max, Ordering::Release);
    crowd.anonymous_max.store(anonymous_max, Ordering::Release);
    crowd.changed.notify_waiters();
    Ok(())
}

fn update_tls(server: &Server) -> Result<()> {
    let mut tls = lock(&server.tls);
    if tls.is_none() {
        let detail = "no tls service found, unable to update tls files";
        return Err(Error::internal(Origin::Admin, detail));
    }
    // Those who are there keep what they agreed on.
    *tls = Some(server.settings.entries.server_tls()?);
    Ok(())
}

fn reference(server: &ServerRef, client: &Client) -> ClientRef {
    let transport = match client.arrival.way {
        Way::Unix => 0,
        Way::Tcp => 1,
        Way::Tls => 2,
    };
    let (id, timestamp) = (client.caller.client_id, client.since);
    ClientRef { srv: server.clone(), id, timestamp, transport }
}

fn identity(client: &Client) -> Vec<TypedParam> {
    let session = client.session();
    let opened = session.connection.as_ref().is_some_and(virt_driver::Connection::is_read_only);
    let read_only = client.arrival.read_only || opened;
    let names = session.names();
    drop(session);
    let mut all = vec![param("readonly", TypedValue::Boolean(read_only))];
    if let Some(peer) = &client.arrival.peer {
        all.push(words("sock_addr", peer.to_string()));
    }
    all.extend(names.0.map(|name| words("sasl_user_name", name)));
    all.extend(names.1.map(|name| words("tls_x509_dname", name)));
    let int = |field: &str, number: i32| param(field, TypedValue::Int(number));
    let caller = &client.caller;
    if let (Some(uid), Some(gid), Some(pid)) = (caller.uid, caller.gid, caller.pid) {
        all.push(int("unix_user_id", uid.cast_signed()));
        all.extend(account("/etc/passwd", uid).map(|name| words("unix_user_name", name)));
        all.push(int("unix_group_id", gid.cast_signed()));
        all.extend(account("/etc/group", gid).map(|name| words("unix_group_name", name)));
        all.push(int("unix_process_id", pid));
    }
    all
}

/// The name of a user or a group.
fn account(file: &str, id: u32) -> Option<String> {
    let lines = std::fs::read_to_string(file).ok()?;
    lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}
