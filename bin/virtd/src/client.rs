//! One client, as loop and workers share it: its socket, its outbox, its connection.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use virt_driver::{CallContext, Caller, Connection, Names};
use virt_error::{Error, Result};
use virt_wire::{Header, MessageStatus, MessageType, Writer, encode_error};

use virt_transport::sasl::{Layer, ServerExchange};
use virt_transport::tls;

use crate::crowd::Crowd;
use crate::entry::Arrival;
use crate::events::Registrations;
use crate::hall::Bell;
use crate::outbox::{Outbox, STREAM_BACKLOG_BYTES_MAX};
use crate::secure::Secure;
use crate::streams::Link;

/// A connected client.
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    /// Its number on the loop.
    pub(crate) seat: u32,
    bell: Arc<Bell>,
    /// It has rung, and the loop did not answer yet.
    rung: AtomicBool,
    /// Shared with its connection.
    pub(crate) caller: Arc<Caller>,
    pub(crate) arrival: Arrival,
    /// When it came, in seconds.
    pub(crate) since: i64,
    secure: OnceLock<Box<Secure>>,
    /// It has shown who it is, as far as it was asked to.
    authenticated: AtomicBool,
    outbox: Mutex<Outbox>,
    /// What waits in the outbox, as it was left last: most looks need no more.
    unread: AtomicUsize,
    /// A stream has more, and waits until less is there.
    stream_waits: AtomicBool,
    /// Some stream was opened; most clients never have one.
    streams: AtomicBool,
    /// It asked for keepalive.
    keepalive: AtomicBool,
    in_flight: AtomicUsize,
    /// Its task reads no more until calls have been answered or streams have taken data.
    paused: AtomicBool,
    /// It need not pause any longer.
    changed: AtomicBool,
    /// We hang up once everything is answered.
    hang_up: AtomicBool,
    closing: AtomicBool,
    pub(crate) session: Mutex<Session>,
}

/// What a client has open.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) connection: Option<Connection>,
    /// Missing where nothing is asked.
    shown: Option<Box<Shown>>,
    /// An open is under way.
    pub(crate) opening: bool,
    /// Missing where nothing was registered for.
    pub(crate) events: Option<Box<Registrations>>,
    /// By the serial of the call that opened them.
    pub(crate) streams: BTreeMap<u32, Arc<Link>>,
    pub(crate) calls: Vec<Arc<CallContext>>,
}

/// How a client shows who it is.
#[derive(Default)]
pub(crate) struct Shown {
    /// It is about to.
    pub(crate) sasl: Option<Box<ServerExchange>>,
    pub(crate) sasl_name: Option<String>,
    pub(crate) x509_name: Option<String>,
}

impl Session {
    pub(crate) fn shown(&mut self) -> &mut Shown {
        self.shown.get_or_insert_default()
    }

    pub(crate) fn events(&mut self) -> &mut Registrations {
        self.events.get_or_insert_default()
    }

    /// The names it has shown: by SASL, and by its certificate.
    pub(crate) fn names(&self) -> (Option<String>, Option<String>) {
        let shown = self.shown.as_ref();
        shown.map_or((None, None), |shown| (shown.sasl_name.clone(), shown.x509_name.clone()))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    pub(crate) fn new(
        socket: OwnedFd,
        (seat, bell): (u32, Arc<Bell>),
        caller: Arc<Caller>,
        arrival: Arrival,
        secure: Option<tls::Session>,
    ) -> Self {
        Self {
            socket,
            seat,
            bell,
            rung: AtomicBool::new(false),
            caller,
            authenticated: AtomicBool::new(!arrival.asks()),
            arrival,
            since: now_s(),
            secure: secure.map(|session| Box::new(Secure::tls(session)).into()).unwrap_or_default(),
            outbox: Mutex::default(),
            unread: AtomicUsize::new(0),
            stream_waits: AtomicBool::new(false),
            streams: AtomicBool::new(false),
            keepalive: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            hang_up: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            session: Mutex::default(),
        }
    }

    /// Whether it may call whatever it likes.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Acquire)
    }

    /// It has shown who it is.
    pub(crate) fn admit(&self, crowd: &Crowd) {
        if !self.authenticated.swap(true, Ordering::AcqRel) {
            crowd.known();
        }
    }

    /// Who calls, with the names it has shown.
    pub(crate) fn named_caller(&self) -> Arc<Caller> {
        match self.session().names() {
            (None, None) => Arc::clone(&self.caller),
            (sasl, x509) => {
                let names = Some(Box::new(Names { sasl, x509 }));
                Arc::new(Caller { names, ..(*self.caller).clone() })
            }
        }
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    /// The open connection, or libvirt's words for that there is none.
    pub(crate) fn connection(&self) -> Result<Connection> {
        self.session().connection.clone().ok_or_else(|| {
            Error::internal(virt_error::Origin::Rpc, "hypervisor connection not open")
        })
    }

    /// Sends a whole message. A client whose socket fails is given up.
    pub(crate) fn send(&self, message: Vec<u8>, fds: Vec<OwnedFd>) {
        let outbox = lock(&self.outbox);
        let message = match self.secure() {
            None => Some(message),
            Some(secure) => secure.seal(message),
        };
        match message {
            Some(message) => self.push(outbox, message, fds),
            None => self.close(),
        }
    }

    fn push(&self, mut outbox: MutexGuard<'_, Outbox>, bytes: Vec<u8>, fds: Vec<OwnedFd>) {
        let was_empty = outbox.is_empty();
        let sent = outbox.push(self.socket.as_fd(), bytes, fds);
        let left = !outbox.is_empty();
        self.left(outbox);
        if sent.is_err() {
            self.close();
        } else if left && was_empty {
            self.wake();
        }
    }

    /// Sends what the encryption itself has to say.
    pub(crate) fn send_sealed(&self) {
        let Some(secure) = self.secure() else { return };
        let outbox = lock(&self.outbox);
        let output = secure.take_output();
        self.push(outbox, output, Vec::new());
    }

    pub(crate) fn secure(&self) -> Option<&Secure> {
        self.secure.get().map(Box::as_ref)
    }

    /// Whether SASL seals what it says.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self.secure(), Some(Secure::Sasl(_)))
    }

    /// What it says from now on, and what it is told after the next message, is sealed.
    pub(crate) fn seal_after_reply(&self, layer: Layer) {
        // One that came by TLS has its encryption, and no exchange ends in another.
        let _ = self.secure.set(Box::new(Secure::sasl(layer)));
    }

    /// [`Client::send`] for an event: a client that lets too many wait is given up.
    pub(crate) fn send_event(&self, message: Vec<u8>, unread_bytes_max: usize) {
        if self.is_behind(unread_bytes_max) {
            virt_log::warning!("rpc.client", "client {} reads too slowly", self.caller.client_id);
            self.close();
        } else {
            self.send(message, Vec::new());
        }
    }

    /// Whether so much is unread that it is not to ask for more.
    pub(crate) fn is_behind(&self, unread_bytes_max: usize) -> bool {
        self.unread.load(Ordering::SeqCst) > unread_bytes_max
    }

    /// Whether it has read anything since this was asked last.
    pub(crate) fn has_read(&self) -> bool {
        lock(&self.outbox).take_moved()
    }

    /// Whether a stream may send; if not, its task will resume it.
    pub(crate) fn stream_may_send(&self) -> bool {
        let may_send = || self.unread.load(Ordering::SeqCst) < STREAM_BACKLOG_BYTES_MAX;
        if may_send() {
            return true;
        }
        // Order: the mark is set before the look that decides; whoever takes the rest sees it.
        self.stream_waits.store(true, Ordering::SeqCst);
        may_send()
    }

    /// Holds answers back until [`Client::release`], so that several need one write.
    pub(crate) fn hold(&self) {
        lock(&self.outbox).hold();
    }

    pub(crate) fn release(&self) {
        let mut outbox = lock(&self.outbox);
        let released = outbox.release(self.socket.as_fd());
        self.left(outbox);
        if released.is_err() {
            self.close();
        }
    }

    /// Writes what is left, as far as the socket takes it.
    pub(crate) fn flush(&self) {
        let mut outbox = lock(&self.outbox);
        let flushed = outbox.flush(self.socket.as_fd());
        self.left(outbox);
        if flushed.is_err() {
            self.close();
        }
    }

    /// Lets the outbox go as it is now.
    fn left(&self, outbox: MutexGuard<'_, Outbox>) {
        self.unread.store(outbox.cost(), Ordering::SeqCst);
    }

    /// Whether streams that waited may send again. Said once.
    pub(crate) fn is_relieved(&self) -> bool {
        self.stream_waits.load(Ordering::SeqCst)
            && self.unread.load(Ordering::SeqCst) < STREAM_BACKLOG_BYTES_MAX
            && self.stream_waits.swap(false, Ordering::SeqCst)
    }

    /// Whether anything is left to be written.
    pub(crate) fn has_backlog(&self) -> bool {
        self.unread.load(Ordering::SeqCst) > 0
    }

    /// A stream is opened.
    pub(crate) fn has_streams_now(&self) {
        self.streams.store(true, Ordering::SeqCst);
    }

    /// Whether the driver of some stream has not taken what was sent to it.
    pub(crate) fn has_full_stream(&self) -> bool {
        self.streams.load(Ordering::SeqCst)
            && self.session().streams.values().any(|link| link.inbox_is_full())
    }

    /// Answers a call: `reply` was begun with [`start_reply`].
    pub(crate) fn reply(&self, call: Header, reply: Result<Writer>, fds: Vec<OwnedFd>) {
        let framed = reply.and_then(|writer| {
            Header::finish(writer)
                .map_err(|_| virt_dispatch::rpc_error("Unable to encode message payload"))
        });
        match framed {
            Ok(message) => self.send(message, fds),
            Err(error) => {
                self.send(error_message(call.reply(MessageStatus::Error), &error), Vec::new())
            }
        }
    }

    pub(crate) fn reply_error(&self, call: Header, error: Error) {
        self.reply(call, Err(error), Vec::new());
    }

    /// Has the loop look at this client.
    pub(crate) fn wake(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.bell.ring(self.seat);
        }
    }

    /// The loop looks at it now.
    pub(crate) fn answered_the_bell(&self) {
        self.rung.swap(false, Ordering::SeqCst);
    }

    /// It asked to be pinged.
    pub(crate) fn ask_for_keepalive(&self) {
        self.keepalive.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn wants_keepalive(&self) -> bool {
        self.keepalive.load(Ordering::Acquire)
    }

    /// Ends the connection from our side.
    pub(crate) fn close(&self) {
        if !self.closing.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Counts a call that a worker is to answer.
    pub(crate) fn begin_call(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts it as answered; reading goes on if it was held up.
    pub(crate) fn end_call(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.is_hanging_up() {
            // The last one lets the task hang up, whichever it is.
            self.wake();
        }
        self.resume();
    }

    /// Whether so many calls are in flight that no more are to be read.
    ///
    /// Order: the mark is set before the count is looked at again, and [`Client::end_call`] does it
    /// the other way round; so one of the two sees the other.
    pub(crate) fn is_full(&self, requests_max: usize) -> bool {
        if self.in_flight.load(Ordering::SeqCst) < requests_max {
            return false;
        }
        self.paused.store(true, Ordering::SeqCst);
        self.in_flight.load(Ordering::SeqCst) >= requests_max
    }

    /// Whether nothing is in flight and nothing is left to send.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) == 0 && !self.has_backlog() && !self.is_closing()
    }

    /// Marks the task as reading no more, until [`Client::resume`].
    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::SeqCst);
    }

    /// Lets the task look again, if it paused.
    pub(crate) fn resume(&self) {
        if self.paused.swap(false, Ordering::SeqCst) {
            self.changed.store(true, Ordering::SeqCst);
            self.wake();
        }
    }

    pub(crate) fn take_changed(&self) -> bool {
        self.changed.load(Ordering::SeqCst) && self.changed.swap(false, Ordering::SeqCst)
    }

    /// Hangs up once the calls in flight are answered.
    pub(crate) fn close_after_reply(&self) {
        self.hang_up.store(true, Ordering::SeqCst);
        self.pause();
    }

    /// Nothing more is read: the connection was closed by a call.
    pub(crate) fn is_hanging_up(&self) -> bool {
        self.hang_up.load(Ordering::SeqCst)
    }

    pub(crate) fn should_hang_up(&self) -> bool {
        self.is_hanging_up() && self.in_flight.load(Ordering::SeqCst) == 0 && !self.has_backlog()
    }
}

fn now_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok().and_then(|now| i64::try_from(now.as_secs()).ok()).unwrap_or(0)
}

/// Begins the answer to a call.
pub(crate) fn start_reply(call: Header) -> Writer {
    call.reply(MessageStatus::Ok).start()
}

/// The header of an answer that brings descriptors, and how many, before its values.
pub(crate) fn with_fds(message: Writer, count: usize) -> Writer {
    const KIND_AT: usize = 16;
    const PAYLOAD_AT: usize = 28;
    let bytes = message.into_vec();
    let mut marked = Writer::on(bytes.get(..PAYLOAD_AT).unwrap_or_default().to_vec());
    marked.patch_u32(KIND_AT, MessageType::ReplyWithFds as u32);
    marked.u32(u32::try_from(count).unwrap_or(u32::MAX));
    marked.raw(bytes.get(PAYLOAD_AT..).unwrap_or_default());
    marked
}

/// A message whose payload is an error.
pub(crate) fn error_message(header: Header, error: &Error) -> Vec<u8> {
    let mut message = header.start();
    let payload_at = message.len();
    if encode_error(error, &mut message).is_err() {
        // Only a text beyond the protocol's limit gets here.
        message.truncate(payload_at);
        let plain = virt_dispatch::rpc_error("Unable to encode error message");
        let _ = encode_error(&plain, &mut message);
    }
    Header::finish(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client on one end of a socket, and the other end.
    fn pair() -> (Client, std::os::unix::net::UnixStream) {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("pair");
        near.set_nonblocking(true).expect("nonblocking");
        let arrival = Arrival {
            way: crate::entry::Way::Unix,
            read_only: false,
            admin: false,
            auth: crate::entry::Auth::None,
            peer: None,
        };
        let seat = (0, Arc::default());
        (Client::new(near.into(), seat, Arc::default(), arrival, None), far)
    }

    #[test]
    fn a_subscriber_that_does_not_read_loses_its_connection() {
        const UNREAD_BYTES_MAX: usize = 4 << 20;
        let (client, _far) = pair();
        let event = vec![0; 1 << 20];
        let mut sent = 0;
        while !client.is_closing() {
            assert!(sent <= UNREAD_BYTES_MAX + 2 * event.len());
            client.send_event(event.clone(), UNREAD_BYTES_MAX);
            sent += event.len();
        }
        assert!(sent > UNREAD_BYTES_MAX);
    }

    #[test]
    fn streams_hold_back_before_events_do() {
        let (client, far) = pair();
        assert!(client.stream_may_send());
        client.send(vec![0; STREAM_BACKLOG_BYTES_MAX * 2], Vec::new());
        assert!(!client.stream_may_send());
        drop(far);
        client.flush();
        assert!(client.is_closing());
    }

    #[test]
    fn the_last_call_in_flight_lets_a_closed_client_go() {
        let (client, _far) = pair();
        client.begin_call();
        client.begin_call();
        client.close_after_reply();
        client.end_call();
        assert!(client.is_hanging_up() && !client.should_hang_up());
        client.end_call();
        assert!(client.should_hang_up());
    }

    #[test]
    fn an_error_too_long_for_the_wire_is_still_an_error() {
        let header = Header::call(1, 1, 1, 1).reply(MessageStatus::Error);
        let error = virt_dispatch::rpc_error("x".repeat(5 << 20));
        let message = error_message(header, &error);
        assert!(message.len() > 28 && message.len() < 4096);
    }
}
