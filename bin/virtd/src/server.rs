//! The daemon at work: accepts clients, limits their number, ends when told or when left alone.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::sleep;
use virt_driver::Caller;

use crate::calls::Server;
use crate::client::Client;
use crate::pool::STUCK_AFTER;
use crate::serve;

/// Out of descriptors or memory: the next client is tried after so long.
const ACCEPT_RETRY_AFTER: Duration = Duration::from_millis(100);
/// Calls that are running when the daemon is to end may take so long.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// A socket that clients come to.
pub(crate) struct Door {
    pub(crate) listener: std::os::unix::net::UnixListener,
    pub(crate) read_only: bool,
}

/// Serves until a signal says to end, or nobody came for `idle_max`.
pub(crate) fn run(
    runtime: &tokio::runtime::Runtime,
    server: &Arc<Server>,
    doors: Vec<Door>,
    idle_max: Option<Duration>,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let local = LocalSet::new();
    let result = local.block_on(runtime, async {
        let crowd = Rc::new(Crowd::default());
        // Order: signals are ours before anyone is told that we run.
        let mut ends = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let mut reload = signal(SignalKind::hangup())?;
        for door in doors {
            let entrance = UnixListener::from_std(door.listener)?;
            let (server, crowd) = (Arc::clone(server), Rc::clone(&crowd));
            tokio::task::spawn_local(accept(server, crowd, entrance, door.read_only));
        }
        tokio::task::spawn_local(relieve(Arc::clone(server)));
        ready();
        let mut left_alone = pin!(left_alone(&crowd, server, idle_max));
        poll_fn(|cx| {
            while poll_signal(&mut reload, cx) {
                virt_log::info!("daemon", "there is nothing to reload");
            }
            if ends.iter_mut().any(|end| poll_signal(end, cx)) {
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

/// How many clients there are.
#[derive(Default)]
struct Crowd {
    count: Cell<usize>,
    last_id: Cell<u64>,
    changed: Notify,
}

/// One client's place; given back when its task ends, however it ends.
struct Place(Rc<Crowd>);

impl Place {
    fn take(crowd: &Rc<Crowd>) -> (Self, u64) {
        crowd.count.set(crowd.count.get() + 1);
        crowd.last_id.set(crowd.last_id.get() + 1);
        crowd.changed.notify_waiters();
        (Self(Rc::clone(crowd)), crowd.last_id.get())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get().saturating_sub(1));
        self.0.changed.notify_waiters();
    }
}

/// Lets clients in through one door.
async fn accept(server: Arc<Server>, crowd: Rc<Crowd>, entrance: UnixListener, read_only: bool) {
    loop {
        // Compat: whoever comes above the maximum waits in the socket's queue.
        while crowd.count.get() >= server.settings.clients_max {
            crowd.changed.notified().await;
        }
        match entrance.accept().await {
            Ok((socket, _)) => {
                let (place, id) = Place::take(&crowd);
                let caller = caller(&socket, id);
                virt_log::debug!("rpc.server", "client {id} came: {caller:?}");
                let client = Arc::new(Client::new(socket, caller, read_only));
                let server = Arc::clone(&server);
                tokio::task::spawn_local(async move {
                    serve::run(server, client).await;
                    drop(place);
                });
            }
            Err(error) => {
                virt_log::warning!("rpc.server", "cannot accept a client: {error}");
                sleep(ACCEPT_RETRY_AFTER).await;
            }
        }
    }
}

fn caller(socket: &UnixStream, client_id: u64) -> Caller {
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
async fn relieve(server: Arc<Server>) {
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

/// Ends when nobody was there for so long and nothing needs the daemon.
async fn left_alone(crowd: &Crowd, server: &Server, idle_max: Option<Duration>) {
    let Some(idle_max) = idle_max else { return std::future::pending().await };
    loop {
        while crowd.count.get() > 0 {
            crowd.changed.notified().await;
        }
        let mut alone = pin!(sleep(idle_max));
        let mut changed = pin!(crowd.changed.notified());
        let timed_out = poll_fn(|cx| {
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            alone.as_mut().poll(cx).map(|()| true)
        })
        .await;
        if timed_out && crowd.count.get() == 0 && !server.drivers.busy() {
            return;
        }
    }
}
