//! A message that arrived: whose it is, who answers it, and where.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use virt_access::Policy;
use virt_driver::{CallContext, Stream};
use virt_error::{Code, Error, Origin, Result};
use virt_transport::sasl::Passwords;
use virt_transport::tls::ServerTls;
use virt_wire::{
    Header, Message, MessageStatus, MessageType, Procedure, admin, find, keepalive, lxc, qemu,
    remote,
};

use crate::auth;
use crate::client::{Client, start_reply, with_fds};
use crate::crowd::Crowd;
use crate::drivers::Drivers;
use crate::pool::{self, Pool};
use crate::session::{self, Own};
use crate::settings::Settings;
use crate::streams;

/// What all clients share.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) drivers: Drivers,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) admin_crowd: Arc<Crowd>,
    /// Where clients come by TLS; can be read anew while we run.
    pub(crate) tls: Mutex<Option<ServerTls>>,
    pub(crate) passwords: Passwords,
    /// How long the daemon stays when nobody is there; for ever where it is none.
    pub(crate) idle_max: Mutex<Option<Duration>>,
    /// The rules, where there are some.
    pub(crate) access: Option<Arc<Policy>>,
    pub(crate) pool: Pool,
    /// The loop, for pumps that workers start.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Told that a job waits without a worker.
    pub(crate) starved: tokio::sync::Notify,
    /// Told that the daemon is to end.
    pub(crate) ending: tokio::sync::Notify,
}

impl Server {
    pub(crate) fn new(
        settings: Settings,
        drivers: Drivers,
        tls: Option<ServerTls>,
        access: Option<Arc<Policy>>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let limits = &settings.limits;
        let workers = pool::Limits {
            normal_min: limits.workers_min.min(limits.workers_max),
            normal_max: limits.workers_max,
            priority_max: limits.workers_priority,
            threads_max: limits.threads_max,
        };
        Self {
            drivers,
            crowd: Crowd::new(limits.clients_max, limits.clients_anonymous_max),
            admin_crowd: Crowd::new(limits.admin_clients_max, 0),
            tls: Mutex::new(tls),
            idle_max: Mutex::new(settings.idle_max),
            access,
            passwords: Passwords::at(&settings.password_file()),
            settings,
            pool: Pool::new(workers),
            runtime,
            starved: tokio::sync::Notify::new(),
            ending: tokio::sync::Notify::new(),
        }
    }

    /// Reads anew what may change while we run. What cannot be read changes nothing.
    pub(crate) fn reload(&self) {
        match &self.access {
            None => virt_log::info!("daemon", "there is nothing to reload"),
            Some(access) => match access.reload() {
                Ok(count) => virt_log::info!("access", "{count} access rules are in force"),
                Err(error) => {
                    virt_log::error!("access", "{error}; the rules as they were stay in force")
                }
            },
        }
    }

    pub(crate) fn submit(&self, lane: pool::Lane, job: pool::Job) {
        if !self.pool.submit(lane, job) {
            self.starved.notify_one();
        }
    }
}

fn table(program: u32, version: u32, admin: bool) -> Option<&'static [Procedure]> {
    let (known, table) = match program {
        admin::PROGRAM if admin => (admin::VERSION, admin::PROCEDURES),
        _ if admin => return None,
        remote::PROGRAM => (remote::VERSION, remote::PROCEDURES),
        qemu::PROGRAM => (qemu::VERSION, qemu::PROCEDURES),
        lxc::PROGRAM => (lxc::VERSION, lxc::PROCEDURES),
        _ => return None,
    };
    (known == version).then_some(table)
}

/// Serves one message.
pub(crate) fn serve(
    server: &Arc<Server>,
    client: &Arc<Client>,
    message: Message,
    fds: Vec<OwnedFd>,
) {
    let header = message.header;
    match header.kind {
        MessageType::Call | MessageType::CallWithFds => call(server, client, message, fds),
        MessageType::Stream | MessageType::StreamHole => streams::receive(client, message),
        MessageType::Message if header.program == keepalive::PROGRAM => ping(client, header),
        // Compat: what nobody asked for is passed over in silence.
        MessageType::Message | MessageType::Reply | MessageType::ReplyWithFds => {}
    }
}

fn ping(client: &Client, header: Header) {
    if header.version == keepalive::VERSION && header.procedure == keepalive::PING {
        client.send(keepalive_message(keepalive::PONG), Vec::new());
    }
}

pub(crate) fn keepalive_message(procedure: u32) -> Vec<u8> {
    let header = Header::event(keepalive::PROGRAM, keepalive::VERSION, procedure);
    Header::finish(header.start()).unwrap_or_default()
}

fn call(server: &Arc<Server>, client: &Arc<Client>, message: Message, fds: Vec<OwnedFd>) {
    let header = message.header;
    let refuse = |text: String| client.reply_error(header, virt_dispatch::rpc_error(text));
    let Some(table) = table(header.program, header.version, client.arrival.admin) else {
        let (program, version) = (header.program, header.version);
        return refuse(format!("Cannot find program {program} version {version}"));
    };
    if header.status != MessageStatus::Ok {
        return refuse(format!("Unexpected message status {}", header.status as i32));
    }
    let Some(procedure) = find(table, header.procedure) else {
        // Compat: the number is signed where it is shown.
        return refuse(format!("unknown procedure: {}", header.procedure.cast_signed()));
    };
    if !client.is_authenticated() && !auth::is_part(header.program, header.procedure) {
        return refuse("authentication required".to_owned());
    }
    if client.arrival.admin {
        return session::answer(crate::admin::serve, server, client, procedure, &message);
    }
    match session::own(header.program, header.procedure) {
        Some(Own::Loop(run)) => {
            session::answer(run, server, client, procedure, &message);
        }
        Some(Own::Worker(run)) => {
            let (shared, client) = (Arc::clone(server), Arc::clone(client));
            if session::is_last(header.program, header.procedure) {
                client.close_after_reply();
            }
            submit(server, pool::Lane::Priority, client, move |client| {
                session::answer(run, &shared, client, procedure, &message);
            });
        }
        None => driver_call(server, client, procedure, message, fds),
    }
}

/// The payload behind the number of descriptors, where there is one.
pub(crate) fn arguments(message: &Message) -> &[u8] {
    let skipped = if message.header.kind == MessageType::CallWithFds { 4 } else { 0 };
    message.payload.get(skipped..).unwrap_or_default()
}

fn driver_call(
    server: &Arc<Server>,
    client: &Arc<Client>,
    procedure: &'static Procedure,
    message: Message,
    fds: Vec<OwnedFd>,
) {
    let at_once = || client.connection().is_ok_and(|conn| conn.answers_at_once(procedure.api));
    let lane = match procedure.lane {
        virt_wire::Lane::Inline => return run(server, client, procedure, &message, fds),
        _ if at_once() => return run(server, client, procedure, &message, fds),
        virt_wire::Lane::Priority => pool::Lane::Priority,
        virt_wire::Lane::Normal => pool::Lane::Normal,
    };
    let shared = Arc::clone(server);
    submit(server, lane, Arc::clone(client), move |client| {
        run(&shared, client, procedure, &message, fds);
    });
}

/// Gives work for a client to a worker; the client counts it as in flight meanwhile.
fn submit(
    server: &Arc<Server>,
    lane: pool::Lane,
    client: Arc<Client>,
    work: impl FnOnce(&Arc<Client>) + Send + 'static,
) {
    client.begin_call();
    let in_flight = InFlight(client);
    server.submit(lane, Box::new(move || work(&in_flight.0)));
}

/// A call that a worker has, or will have; over when it is dropped, however that comes.
struct InFlight(Arc<Client>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end_call();
    }
}

/// Runs what may panic: then the call fails and the daemon lives.
pub(crate) fn guarded<T>(name: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or_else(|_| {
        Err(Error::internal(Origin::Rpc, format!("{name} failed unexpectedly")))
    })
}

/// Makes a driver's call and answers it.
fn run(
    server: &Arc<Server>,
    client: &Arc<Client>,
    procedure: &'static Procedure,
    message: &Message,
    fds: Vec<OwnedFd>,
) {
    let header = message.header;
    let connection = match client.connection() {
        Ok(connection) => connection,
        Err(error) => return client.reply_error(header, error),
    };
    let Some(row) = virt_dispatch::find(header.program, header.procedure) else {
        let refusal = Error::unsupported().in_call(procedure.api, virt_error::Origin::Domain);
        return client.reply_error(header, refusal);
    };
    let streams_max = server.settings.limits.streams_max;
    if procedure.stream.is_some() && client.session().streams.len() >= streams_max {
        return client.reply_error(header, too_many_streams());
    }
    let context = Arc::new(CallContext::new(fds, pool::on_wait));
    let connection = connection.with_context(Arc::clone(&context));
    let tracked = track(client, procedure, &context);
    let made = guarded(procedure.api, || {
        let mut reply = start_reply(header);
        virt_dispatch::dispatch(&connection, row, arguments(message), &mut reply)
            .map(|stream| (reply, stream))
    });
    if tracked {
        let calls = &mut client.session().calls;
        calls.retain(|other| !Arc::ptr_eq(other, &context));
        if calls.is_empty() {
            // A client at rest has no room for any.
            *calls = Vec::new();
        }
    }
    match made {
        Ok((reply, stream)) => {
            let fds = context.take_reply_files();
            let reply = if fds.is_empty() { reply } else { with_fds(reply, fds.len()) };
            // Order: the stream is known before the client can have heard of it.
            let link = stream.map(|stream| open_stream(server, client, procedure, header, stream));
            match link.transpose() {
                Ok(link) => {
                    client.reply(header, Ok(reply), fds);
                    link.into_iter().for_each(|link| streams::start(server, link));
                }
                Err(error) => client.reply_error(header, error),
            }
        }
        Err(error) => {
            log_failure(procedure, &error);
            client.reply_error(header, error);
        }
    }
}

/// Calls that may take long can be cancelled when their client goes.
fn track(client: &Client, procedure: &Procedure, context: &Arc<CallContext>) -> bool {
    let tracked = procedure.lane == virt_wire::Lane::Normal;
    if tracked {
        client.session().calls.push(Arc::clone(context));
    }
    tracked
}

fn open_stream(
    server: &Server,
    client: &Arc<Client>,
    procedure: &Procedure,
    header: Header,
    stream: Arc<dyn Stream>,
) -> Result<Arc<streams::Link>> {
    let limits = &server.settings.limits;
    let inbox = limits.stream_bytes_max;
    let link = streams::Link::new(client, header, procedure.stream, Arc::clone(&stream), inbox);
    let link = Arc::new(link);
    client.has_streams_now();
    let mut session = client.session();
    // Several may have been opened at once, and each found room.
    if session.streams.len() >= limits.streams_max {
        drop(session);
        stream.abort();
        return Err(too_many_streams());
    }
    let replaced = session.streams.insert(header.serial, Arc::clone(&link));
    drop(session);
    // A client that uses a number twice cannot mean the first stream any more.
    if let Some(replaced) = replaced {
        replaced.close();
    }
    Ok(link)
}

fn too_many_streams() -> Error {
    virt_dispatch::rpc_error("too many open streams")
}

/// Compat: what is only the client's mistake is not an error of the daemon.
fn log_failure(procedure: &Procedure, error: &Error) {
    let ordinary = error.code().is_some_and(|code| {
        matches!(
            code,
            Code::NoDomain
                | Code::NoNetwork
                | Code::NoStoragePool
                | Code::NoStorageVol
                | Code::NoNodeDevice
                | Code::NoInterface
                | Code::NoNwfilter
                | Code::NoNwfilterBinding
                | Code::NoSecret
                | Code::NoDomainSnapshot
                | Code::NoDomainCheckpoint
                | Code::NoDomainMetadata
                | Code::OperationInvalid
        )
    });
    let level = if ordinary { virt_log::Level::Debug } else { virt_log::Level::Error };
    virt_log::log!(level, "rpc.server", "{}: {error}", procedure.api);
}
