//! The task of one client: reads its messages, writes what is left, keeps the connection alive.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::time::{Instant, Sleep, sleep_until};
use virt_transport::fds;
use virt_wire::{FrameReader, MESSAGE_FDS_MAX, Message, MessageType, keepalive};

use crate::calls::{self, Server};
use crate::client::Client;
use crate::events;
use crate::outbox::Backlog;
use crate::pace::Pace;
use crate::pool::Lane;

/// Limit: calls of a client, and their bytes, that wait until others of its are answered. Reading
/// goes on so far, because behind them may be a ping.
const WAITING_CALLS_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 1 << 20;

/// How much is read at once; larger messages take several reads.
pub(crate) const READ_BYTES: usize = 64 << 10;

thread_local! {
    /// All clients are read into the same place: a read is over before the next one begins.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serves a client until it or we hang up.
pub(crate) async fn run(server: Arc<Server>, client: Arc<Client>) {
    let mut task = Task {
        frames: FrameReader::new(),
        fds: Vec::new(),
        fds_due: None,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        behind: false,
        keepalive: None,
        pace: Pace::new(client.caller.client_id),
        server: Arc::clone(&server),
        client: Arc::clone(&client),
    };
    task.run().await;
    gone(&server, &client);
}

/// Tells the loop that a socket has to become ready anew.
pub(crate) fn drained(socket: &tokio::net::UnixStream, interest: Interest) {
    let _ = socket.try_io(interest, || Err::<(), _>(std::io::ErrorKind::WouldBlock.into()));
}

/// Lets go of everything a client had. What may wait is done by a worker.
fn gone(server: &Server, client: &Arc<Client>) {
    client.close();
    let _ = rustix::net::shutdown(client.socket.as_fd(), rustix::net::Shutdown::Both);
    let (streams, calls) = {
        let mut session = client.session();
        (std::mem::take(&mut session.streams), std::mem::take(&mut session.calls))
    };
    streams.into_values().for_each(|link| link.close());
    calls.iter().for_each(|call| call.cancel.cancel());
    let client = Arc::clone(client);
    server.submit(
        Lane::Priority,
        Box::new(move || {
            events::forget_all(&client);
            let connection = client.session().connection.take();
            drop(connection);
        }),
    );
}

struct Task {
    server: Arc<Server>,
    client: Arc<Client>,
    frames: FrameReader,
    /// Descriptors that came and belong to no message yet.
    fds: Vec<OwnedFd>,
    /// A message that still waits for the bytes of so many of its descriptors.
    fds_due: Option<(Message, usize)>,
    /// Calls above the number that may be in flight.
    waiting: VecDeque<(Message, Vec<OwnedFd>)>,
    waiting_bytes: usize,
    /// Messages may be left in `frames` because it was behind with reading.
    behind: bool,
    keepalive: Option<Keepalive>,
    pace: Pace,
}

enum Ready {
    Read,
    /// Enough was written for streams to send again.
    Relieved,
    Tick,
    /// Somebody changed something about the client.
    Look,
    Close,
}

impl Task {
    async fn run(&mut self) {
        loop {
            match self.next().await {
                Ready::Close => return,
                Ready::Look => {
                    if !self.serve_waiting() {
                        return;
                    }
                }
                Ready::Relieved => {
                    let session = self.client.session();
                    session.streams.values().for_each(|link| link.resume());
                }
                Ready::Read => {
                    if !self.read() {
                        return;
                    }
                }
                Ready::Tick => {
                    if !self.tick() {
                        return;
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Ready {
        if self.keepalive.is_none() && self.client.session().keepalive {
            self.keepalive = Keepalive::new(&self.server);
        }
        let wants_read = !self.reads_no_more();
        let Self { client, keepalive, behind, .. } = self;
        poll_fn(|cx| {
            client.set_waker(cx.waker());
            if client.is_closing() || client.should_hang_up() {
                return Poll::Ready(Ready::Close);
            }
            loop {
                match client.backlog() {
                    Backlog::None => break,
                    Backlog::Relieved => return Poll::Ready(Ready::Relieved),
                    Backlog::Some => {}
                }
                let Poll::Ready(ready) = client.socket.poll_write_ready(cx) else { break };
                if ready.is_err() || client.is_closing() {
                    return Poll::Ready(Ready::Close);
                }
                if !client.flush() {
                    drained(&client.socket, Interest::WRITABLE);
                }
            }
            if *behind && !client.is_behind() {
                *behind = false;
                return Poll::Ready(Ready::Look);
            }
            if client.take_changed() {
                return Poll::Ready(Ready::Look);
            }
            if wants_read && client.socket.poll_read_ready(cx).is_ready() {
                return Poll::Ready(Ready::Read);
            }
            if keepalive
                .as_mut()
                .is_some_and(|keepalive| keepalive.timer.as_mut().poll(cx).is_ready())
            {
                return Poll::Ready(Ready::Tick);
            }
            Poll::Pending
        })
        .await
    }

    /// Whether nothing is to be read before calls are answered, answers read, or data of streams
    /// taken.
    fn reads_no_more(&mut self) -> bool {
        if self.serves_no_more() {
            return true;
        }
        if self.waiting.len() >= WAITING_CALLS_MAX || self.waiting_bytes >= WAITING_BYTES_MAX {
            return true;
        }
        let full = || self.client.session().streams.values().any(|link| link.inbox_is_full());
        if !full() {
            return false;
        }
        self.client.pause();
        full()
    }

    /// Whether even calls that are here already have to wait, or are heard no more.
    fn serves_no_more(&mut self) -> bool {
        self.behind |= self.client.is_behind();
        self.behind || self.client.is_hanging_up()
    }

    /// Whether so many calls are in flight that the next one has to wait.
    fn is_full(&self) -> bool {
        self.client.is_full(self.server.settings.requests_per_client_max)
    }

    /// Reads and serves what is there. False when the connection is over.
    fn read(&mut self) -> bool {
        let mut fds_before = self.fds.len();
        let mut received = self.receive();
        loop {
            match received {
                Ok(0) => return false,
                Ok(count) => {
                    // A read ends behind a descriptor, whatever else is there.
                    let more = count == READ_BYTES || self.fds.len() > fds_before;
                    if let Some(keepalive) = &mut self.keepalive {
                        keepalive.heard();
                    }
                    self.pace.heard(std::time::Instant::now());
                    if !self.serve_waiting() {
                        return false;
                    }
                    if more {
                        return true;
                    }
                    fds_before = self.fds.len();
                    received = self.receive_next();
                }
                Err(Errno::AGAIN) => {
                    // The socket is empty: another read would only say so. New bytes wake anew.
                    drained(&self.client.socket, Interest::READABLE);
                    return true;
                }
                Err(Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
    }

    fn receive(&mut self) -> Result<usize, Errno> {
        receive(&self.server, &self.client, &mut self.frames, &mut self.fds)
    }

    /// What comes at once after an answer, if it is worth waiting for; else `EAGAIN`.
    fn receive_next(&mut self) -> Result<usize, Errno> {
        let mut received = Err(Errno::AGAIN);
        if self.client.is_idle() && !self.reads_no_more() {
            let Self { pace, server, client, frames, fds, .. } = self;
            pace.wait(std::time::Instant::now, || {
                received = receive(server, client, frames, fds);
                received != Err(Errno::AGAIN)
            });
        }
        received
    }

    /// Serves the whole messages that are there, as long as their answers are taken. False when
    /// bytes are wrong.
    fn serve_waiting(&mut self) -> bool {
        loop {
            let fine = self.serve_batch();
            // What filled the batch may be gone with it.
            let again = fine && self.behind && !self.client.is_behind();
            if !again {
                return fine;
            }
            self.behind = false;
        }
    }

    /// Serves messages with their answers in one write.
    fn serve_batch(&mut self) -> bool {
        self.client.hold();
        while !self.waiting.is_empty() && !self.is_full() && !self.serves_no_more() {
            if let Some((message, fds)) = self.waiting.pop_front() {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(message.payload.len());
                calls::serve(&self.server, &self.client, message, fds);
            }
        }
        let mut fine = true;
        while fine && !self.reads_no_more() {
            match self.next_message() {
                Ok(Some((message, fds))) => self.serve_or_keep(message, fds),
                Ok(None) => break,
                Err(Broken) => fine = false,
            }
        }
        self.client.release();
        fine
    }

    fn serve_or_keep(&mut self, message: Message, fds: Vec<OwnedFd>) {
        let kind = message.header.kind;
        let is_call = matches!(kind, MessageType::Call | MessageType::CallWithFds);
        if is_call && (!self.waiting.is_empty() || self.is_full()) {
            self.waiting_bytes = self.waiting_bytes.saturating_add(message.payload.len());
            self.waiting.push_back((message, fds));
        } else {
            calls::serve(&self.server, &self.client, message, fds);
        }
    }

    /// The next message with all of its descriptors.
    fn next_message(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, Broken> {
        let (message, due) = match self.fds_due.take() {
            Some(waiting) => waiting,
            None => match self.frames.next_message().map_err(|_| Broken)? {
                None => return Ok(None),
                Some(message) => {
                    let due = fds_of(&message)?;
                    (message, due)
                }
            },
        };
        // Each comes with one byte of its own, behind the message.
        let missing = due.saturating_sub(self.frames.skip(due));
        if missing > 0 {
            self.fds_due = Some((message, missing));
            return Ok(None);
        }
        let count = fds_of(&message)?;
        if self.fds.len() < count {
            return Err(Broken);
        }
        Ok(Some((message, self.fds.drain(..count).collect())))
    }

    /// The timer of keepalive fired. False when the other side is given up.
    fn tick(&mut self) -> bool {
        let behind = self.client.is_behind();
        let unread = if behind { self.client.has_read() } else { self.reads_no_more() };
        let Some(keepalive) = &mut self.keepalive else { return true };
        if unread {
            // What it says is not read, so its silence means nothing; unless it does not read itself.
            keepalive.heard();
        }
        match keepalive.due() {
            Due::Nothing => true,
            Due::Ping => {
                self.client.send(calls::keepalive_message(keepalive::PING), Vec::new());
                true
            }
            Due::Dead => {
                let id = self.client.caller.client_id;
                virt_log::warning!("rpc.keepalive", "client {id} answers no keepalive");
                false
            }
        }
    }
}

/// Reads once.
fn receive(
    server: &Server,
    client: &Client,
    frames: &mut FrameReader,
    fds: &mut Vec<OwnedFd>,
) -> Result<usize, Errno> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(READ_BYTES, 0);
        let received = fds::receive(client.socket.as_fd(), scratch, fds);
        if let Ok(count) = received {
            let came = scratch.get(..count).unwrap_or_default();
            match client.secure() {
                None => frames.feed(came),
                Some(secure) => {
                    secure.open(server, client, came, |plain| frames.feed(plain)).map_err(
                        |refused| {
                            let id = client.caller.client_id;
                            virt_log::error!("rpc.tls", "client {id} is not let in: {refused}");
                            Errno::CONNABORTED
                        },
                    )?;
                }
            }
        }
        received
    })
}

/// The bytes of a client make no messages.
struct Broken;

fn fds_of(message: &Message) -> Result<usize, Broken> {
    if message.header.kind != MessageType::CallWithFds {
        return Ok(0);
    }
    let count = virt_wire::Reader::new(&message.payload).u32().map_err(|_| Broken)?;
    let count = usize::try_from(count).map_err(|_| Broken)?;
    if count > MESSAGE_FDS_MAX { Err(Broken) } else { Ok(count) }
}

/// Pings a silent client, and gives it up when it stays silent.
struct Keepalive {
    interval: Duration,
    pings_left: u32,
    count: u32,
    heard: Instant,
    timer: Pin<Box<Sleep>>,
}

enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Keepalive {
    fn new(server: &Server) -> Option<Self> {
        let interval = Duration::from_secs(server.settings.keepalive_interval_s?);
        let count = server.settings.keepalive_count;
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now + interval));
        Some(Self { interval, pings_left: count, count, heard: now, timer })
    }

    /// Something arrived. The timer is left alone: it looks at this when it fires.
    fn heard(&mut self) {
        self.heard = Instant::now();
        self.pings_left = self.count;
    }

    fn due(&mut self) -> Due {
        let now = Instant::now();
        let quiet_until = self.heard + self.interval;
        if quiet_until > now {
            self.timer.as_mut().reset(quiet_until);
            return Due::Nothing;
        }
        if self.pings_left == 0 {
            return Due::Dead;
        }
        self.pings_left -= 1;
        self.timer.as_mut().reset(now + self.interval);
        Due::Ping
    }
}
