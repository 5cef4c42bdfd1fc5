//! The daemon at work: accepts clients, limits their number, ends when told or when left alone.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::sleep;
use virt_driver::Caller;
use virt_transport::tls;

use crate::calls::Server;
use crate::client::{Client, lock};
use crate::entry::{Arrival, Auth, Way};
use crate::pool::STUCK_AFTER;
use crate::serve;

/// Out of descriptors or memory: the next client is tried after so long.
const ACCEPT_RETRY_AFTER: Duration = Duration::from_millis(100);
/// Calls that are running when the daemon is to end may take so long.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// A socket that clients come to.
pub(crate) struct Door {
    pub(crate) listener: Socket,
    pub(crate) read_only: bool,
    /// For the administration program alone.
    pub(crate) admin: bool,
    pub(crate) auth: Auth,
    pub(crate) way: Way,
}

pub(crate) enum Socket {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

/// The signals that end the daemon, and the one that has it read its settings again.
pub(crate) struct Signals {
    ends: [Signal; 2],
    reload: Signal,
}

impl Signals {
    /// Takes them over from the system, which would just kill the daemon.
    pub(crate) fn take(runtime: &tokio::runtime::Runtime) -> io::Result<Self> {
        let _entered = runtime.enter();
        Ok(Self {
            ends: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?],
            reload: signal(SignalKind::hangup())?,
        })
    }
}

/// Serves until a signal says to end, or nobody came for so long as is allowed.
pub(crate) fn run(
    runtime: &tokio::runtime::Runtime,
    server: &Arc<Server>,
    signals: Signals,
    doors: Vec<Door>,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let local = LocalSet::new();
    let result = local.block_on(runtime, async {
        let Signals { mut ends, mut reload } = signals;
        for door in doors {
            let entrance = Entrance::open(door)?;
            tokio::task::spawn_local(accept(Arc::clone(server), entrance));
        }
        tokio::task::spawn_local(relieve(Arc::clone(server)));
        ready();
        let mut left_alone = pin!(left_alone(server));
        let mut told = pin!(server.ending.notified());
        poll_fn(|cx| {
            while poll_signal(&mut reload, cx) {
                server.reload();
            }
            if ends.iter_mut().any(|end| poll_signal(end, cx)) || told.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(());
            }
            left_alone.as_mut().poll(cx)
        })
        .await;
        Ok(())
    });
    // The clients' tasks end with the set; then their calls get a moment.
    drop(local);
    server.pool.close(CLOSE_PATIENCE);
    result
}

fn poll_signal(signal: &mut Signal, cx: &mut std::task::Context<'_>) -> bool {
    matches!(signal.poll_recv(cx), Poll::Ready(Some(())))
}

/// A door, open: whoever comes in is a stream socket, whatever its family.
struct Entrance {
    listener: Listener,
    read_only: bool,
    admin: bool,
    auth: Auth,
    way: Way,
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Entrance {
    fn open(door: Door) -> io::Result<Self> {
        let listener = match door.listener {
            Socket::Unix(listener) => Listener::Unix(UnixListener::from_std(listener)?),
            Socket::Tcp(listener) => Listener::Tcp(TcpListener::from_std(listener)?),
        };
        Ok(Self {
            listener,
            read_only: door.read_only,
            admin: door.admin,
            auth: door.auth,
            way: door.way,
        })
    }

    async fn accept(&self) -> io::Result<(UnixStream, Arrival)> {
        let Self { read_only, admin, auth, way, .. } = *self;
        match &self.listener {
            Listener::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((socket, Arrival { way, read_only, admin, auth, peer: None }))
            }
            Listener::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                // Answers are short: each is sent at once.
                socket.set_nodelay(true)?;
                // From here on only what all stream sockets have is asked of it.
                let socket =
                    std::os::unix::net::UnixStream::from(OwnedFd::from(socket.into_std()?));
                let arrival = Arrival { way, read_only, admin, auth, peer: Some(peer) };
                Ok((UnixStream::from_std(socket)?, arrival))
            }
        }
    }
}

/// Lets clients in through one door.
async fn accept(server: Arc<Server>, entrance: Entrance) {
    let crowd = if entrance.admin { &server.admin_crowd } else { &server.crowd };
    let asks = entrance.auth != Auth::None || entrance.way == Way::Tls;
    loop {
        // Compat: whoever comes above the maximum waits in the socket's queue.
        while crowd.is_full(asks) {
            crowd.changed.notified().await;
        }
        match entrance.accept().await {
            Ok((socket, arrival)) => welcome(&server, socket, arrival),
            Err(error) => {
                virt_log::warning!("rpc.server", "cannot accept a client: {error}");
                sleep(ACCEPT_RETRY_AFTER).await;
            }
        }
    }
}

/// Gives somebody who came a place, and a task that serves them.
pub(crate) fn welcome(server: &Arc<Server>, socket: UnixStream, arrival: Arrival) {
    let secure = match secured(server, arrival.way) {
        Ok(secure) => secure,
        Err(error) => return virt_log::error!("rpc.tls", "cannot serve a client: {error}"),
    };
    let crowd = if arrival.admin { &server.admin_crowd } else { &server.crowd };
    let (place, client) = crowd.take(|id| {
        let caller = caller(&socket, id, arrival.way);
        // Compat: polkit is not asked about root.
        let known = arrival.auth == Auth::Polkit && caller.uid == Some(0);
        let auth = if known { Auth::None } else { arrival.auth };
        Client::new(socket, caller, Arrival { auth, ..arrival }, secure)
    });
    let (caller, peer) = (&client.caller, client.arrival.peer);
    virt_log::debug!("rpc.server", "a client came: {caller:?} {peer:?}");
    let hurry =
        (!client.is_authenticated()).then(|| hurry(Arc::clone(server), Arc::downgrade(&client)));
    let server = Arc::clone(server);
    tokio::task::spawn_local(async move {
        beside(serve::run(server, client), hurry).await;
        drop(place);
    });
}

/// Waits for one future, with another at its side that ends with it.
async fn beside(main: impl Future<Output = ()>, side: Option<impl Future<Output = ()>>) {
    let (mut main, mut side) = (pin!(main), pin!(side));
    poll_fn(|cx| {
        if side.as_mut().as_pin_mut().is_some_and(|side| side.poll(cx).is_ready()) {
            side.set(None);
        }
        main.as_mut().poll(cx)
    })
    .await;
}

/// The encryption for a client that comes by TLS.
fn secured(server: &Server, way: Way) -> virt_error::Result<Option<tls::Session>> {
    let tls = match way {
        Way::Tls => lock(&server.tls).clone(),
        Way::Unix | Way::Tcp => None,
    };
    tls.map(|tls| tls.accept()).transpose()
}

/// Gives up a client that does not show who it is in time.
async fn hurry(server: Arc<Server>, client: Weak<Client>) {
    sleep(Duration::from_secs(server.settings.entries.auth_timeout_s.into())).await;
    if let Some(client) = client.upgrade().filter(|client| !client.is_authenticated()) {
        virt_log::warning!("rpc.auth", "client {} takes too long", client.caller.client_id);
        client.close();
    }
}

fn caller(socket: &UnixStream, client_id: u64, way: Way) -> Caller {
    if way != Way::Unix {
        return Caller { client_id, ..Caller::default() };
    }
    let peer = rustix::net::sockopt::socket_peercred(socket.as_fd()).ok();
    Caller {
        uid: peer.as_ref().map(|peer| peer.uid.as_raw()),
        gid: peer.as_ref().map(|peer| peer.gid.as_raw()),
        pid: peer.as_ref().map(|peer| peer.pid.as_raw_nonzero().get()),
        client_id,
        ..Caller::default()
    }
}

/// Finds workers for jobs that waited too long for one.
pub(crate) async fn relieve(server: Arc<Server>) {
    loop {
        server.starved.notified().await;
        loop {
            sleep(STUCK_AFTER).await;
            if server.pool.relieve() {
                break;
            }
        }
    }
}

/// Ends when nobody was there for so long and nothing needs the daemon. Who administers it counts.
async fn left_alone(server: &Server) {
    let crowds = [&server.crowd, &server.admin_crowd];
    let is_alone = || crowds.iter().all(|crowd| crowd.count() == 0);
    loop {
        let mut changed = crowds.map(|crowd| Box::pin(crowd.changed.notified()));
        let idle_max = *lock(&server.idle_max);
        let mut alone = pin!(async {
            match idle_max.filter(|_| is_alone()) {
                Some(idle_max) => sleep(idle_max).await,
                None => std::future::pending().await,
            }
        });
        let timed_out = poll_fn(|cx| {
            if changed.iter_mut().any(|changed| changed.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(false);
            }
            alone.as_mut().poll(cx).map(|()| true)
        })
        .await;
        if timed_out && is_alone() && !server.drivers.busy() {
            return;
        }
    }
}
