//! The daemon at work: accepts clients, limits their number, ends when told or when left alone.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with, sockopt};
use tokio::io::Interest;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::sleep;
use virt_driver::Caller;
use virt_transport::tls;

use crate::calls::Server;
use crate::client::{Client, lock};
use crate::entry::{Arrival, Auth, Way};
use crate::hall::Hall;
use crate::pool::STUCK_AFTER;
use crate::watched::Watched;

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
        let hall = Rc::new(Hall::new(Arc::clone(server))?);
        for door in doors {
            let entrance = Entrance::open(door)?;
            tokio::task::spawn_local(accept(Arc::clone(server), Rc::clone(&hall), entrance));
        }
        tokio::task::spawn_local(async move { hall.run().await });
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
    listener: Watched,
    read_only: bool,
    admin: bool,
    auth: Auth,
    way: Way,
}

impl Entrance {
    fn open(door: Door) -> io::Result<Self> {
        let listener = match door.listener {
            Socket::Unix(listener) => OwnedFd::from(listener),
            Socket::Tcp(listener) => OwnedFd::from(listener),
        };
        let Door { read_only, admin, auth, way, .. } = door;
        let listener = Watched::new(listener)?;
        Ok(Self { listener, read_only, admin, auth, way })
    }

    async fn accept(&self) -> io::Result<(OwnedFd, Arrival)> {
        let Self { read_only, admin, auth, way, .. } = *self;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            self.listener.readable().await?;
            let (socket, peer) = match acceptfrom_with(&self.listener, flags) {
                Ok(came) => came,
                Err(Errno::AGAIN) => {
                    self.listener.drained(Interest::READABLE);
                    continue;
                }
                // Whoever knocked has gone already.
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            if way == Way::Unix {
                return Ok((socket, Arrival { way, read_only, admin, auth, peer: None }));
            }
            // Answers are short: each is sent at once.
            sockopt::set_tcp_nodelay(&socket, true)?;
            let peer = peer.and_then(|peer| peer.try_into().ok()).map(Box::new);
            return Ok((socket, Arrival { way, read_only, admin, auth, peer }));
        }
    }
}

/// Lets clients in through one door.
async fn accept(server: Arc<Server>, hall: Rc<Hall>, entrance: Entrance) {
    let crowd = if entrance.admin { &server.admin_crowd } else { &server.crowd };
    let asks = entrance.auth != Auth::None || entrance.way == Way::Tls;
    loop {
        // Compat: whoever comes above the maximum waits in the socket's queue.
        while crowd.is_full(asks) {
            crowd.changed.notified().await;
        }
        match entrance.accept().await {
            Ok((socket, arrival)) => welcome(&server, &hall, socket, arrival),
            Err(error) => {
                virt_log::warning!("rpc.server", "cannot accept a client: {error}");
                sleep(ACCEPT_RETRY_AFTER).await;
            }
        }
    }
}

/// Gives somebody who came a place among those who are served.
pub(crate) fn welcome(server: &Arc<Server>, hall: &Hall, socket: OwnedFd, arrival: Arrival) {
    let secure = match secured(server, arrival.way) {
        Ok(secure) => secure,
        Err(error) => return virt_log::error!("rpc.tls", "cannot serve a client: {error}"),
    };
    let crowd = if arrival.admin { &server.admin_crowd } else { &server.crowd };
    let place = crowd.take(|id| {
        let caller = caller(&socket, id, arrival.way);
        // Compat: polkit is not asked about root.
        let known = arrival.auth == Auth::Polkit && caller.uid == Some(0);
        let auth = if known { Auth::None } else { arrival.auth };
        let seat = (hall.next_seat(), hall.bell());
        Client::new(socket, seat, caller.into(), Arrival { auth, ..arrival }, secure)
    });
    let (caller, peer) = (&place.client.caller, &place.client.arrival.peer);
    virt_log::debug!("rpc.server", "a client came: {caller:?} {peer:?}");
    hall.seat(place);
}

/// The encryption for a client that comes by TLS.
fn secured(server: &Server, way: Way) -> virt_error::Result<Option<tls::Session>> {
    let tls = match way {
        Way::Tls => lock(&server.tls).clone(),
        Way::Unix | Way::Tcp => None,
    };
    tls.map(|tls| tls.accept()).transpose()
}

fn caller(socket: &OwnedFd, client_id: u64, way: Way) -> Caller {
    if way != Way::Unix {
        return Caller { client_id, ..Caller::default() };
    }
    let peer = sockopt::socket_peercred(socket).ok();
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
