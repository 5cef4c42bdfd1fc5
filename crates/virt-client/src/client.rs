//! The connection: who writes, who reads, who waits for what.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virt_error::{Code, Error, Origin, Result};
use virt_transport::Channel;
use virt_transport::sasl::Layer;
use virt_wire::{Header, MESSAGE_FDS_MAX, Message, MessageStatus, MessageType, decode_error};
use virt_wire::{Reader, Writer, remote};

use crate::inbound::Inbound;
use crate::keepalive::{self, Keepalive};
use crate::stream::{ClientStream, Queue};
use crate::{CALLS_IN_FLIGHT_MAX, EVENTS_QUEUED_MAX, STREAM_BYTES_MAX};

/// Is given every event message: its header and its payload.
pub type EventHandler = Box<dyn Fn(Header, &[u8]) + Send + Sync>;

/// The answer to a call.
#[derive(Debug)]
pub struct Reply {
    pub payload: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// A connection to a daemon. Dropping it hangs up.
pub struct Client(Arc<Shared>);

pub(crate) struct Shared {
    channel: Channel,
    /// Held while a message is written.
    writing: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
    handler: EventHandler,
}

#[derive(Default)]
pub(crate) struct State {
    serial_next: u32,
    /// Calls without an answer, and answers nobody took yet.
    calls: HashMap<u32, Option<Answer>>,
    pub(crate) streams: HashMap<u32, Queue>,
    events: VecDeque<Message>,
    /// A thread is reading; only it touches what is inbound.
    reading: bool,
    inbound: Inbound,
    /// Our own thread runs.
    attended: bool,
    pub(crate) keepalive: Option<Keepalive>,
    dead: Option<Error>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    header: Header,
    reply: Reply,
}

impl Client {
    /// A client on a connected channel.
    pub fn new(channel: Channel, handler: EventHandler) -> Self {
        Self(Arc::new(Shared {
            channel,
            writing: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            handler,
        }))
    }

    /// Makes a call and waits for its answer. `encode` writes the arguments.
    pub fn call(
        &self,
        program: u32,
        procedure: u32,
        encode: impl FnOnce(&mut Writer) -> virt_wire::Result<()>,
        fds: &[OwnedFd],
    ) -> Result<Reply> {
        let header = self.0.begin(program, procedure, false)?;
        self.0.finish(header, encode, fds)
    }

    /// [`Client::call`] for a procedure with a stream.
    pub fn open_stream(
        &self,
        program: u32,
        procedure: u32,
        encode: impl FnOnce(&mut Writer) -> virt_wire::Result<()>,
    ) -> Result<(Reply, ClientStream)> {
        self.attend()?;
        let header = self.0.begin(program, procedure, true)?;
        // Dropped on failure, it forgets the stream.
        let stream = ClientStream::new(Arc::clone(&self.0), header)?;
        let reply = self.0.finish(header, encode, &[])?;
        stream.opened();
        Ok((reply, stream))
    }

    /// From now on all is sealed by what an exchange by SASL ended in. Nothing is under way then.
    pub fn seal(&self, layer: Layer) {
        self.0.channel.seal(layer);
    }

    /// Makes sure that events are received while no call is made.
    pub fn attend(&self) -> Result<()> {
        let mut state = self.0.lock();
        if state.attended || state.dead.is_some() {
            return Ok(());
        }
        let shared = Arc::downgrade(&self.0);
        let thread = std::thread::Builder::new().name("virt-client".to_owned());
        thread
            .spawn(move || {
                // The thread must not keep the connection: it looks for it anew in each turn.
                while shared.upgrade().is_some_and(|shared| shared.attend_once()) {}
            })
            .map_err(|error| Error::io(Origin::Rpc, &error, "cannot start a thread"))?;
        state.attended = true;
        Ok(())
    }

    /// Pings the daemon when it is silent for `interval_s`; gives it up after `count` pings without
    /// answer. An interval of 0 ends it.
    pub fn set_keepalive(&self, interval_s: u32, count: u32) -> Result<()> {
        self.attend()?;
        self.0.lock().keepalive = Keepalive::new(interval_s, count);
        self.0.changed.notify_all();
        self.0.nudge();
        Ok(())
    }

    /// Whether the connection still stands.
    pub fn is_alive(&self) -> bool {
        self.0.lock().dead.is_none()
    }

    /// Why it stands no more.
    pub fn death(&self) -> Option<Error> {
        self.0.lock().dead.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.die(closed());
    }
}

fn closed() -> Error {
    Error::internal(Origin::Rpc, "client socket is closed")
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a serial for a call, and room for its answer.
    fn begin(&self, program: u32, procedure: u32, stream: bool) -> Result<Header> {
        let mut state = self.lock();
        if state.dead.is_some() {
            return Err(closed());
        }
        if state.calls.len() >= CALLS_IN_FLIGHT_MAX {
            return Err(rpc("too many calls in flight"));
        }
        let taken = |state: &State, serial: &u32| {
            state.calls.contains_key(serial) || state.streams.contains_key(serial)
        };
        let mut serial = state.serial_next;
        while taken(&state, &serial) {
            serial = serial.wrapping_add(1);
        }
        state.serial_next = serial.wrapping_add(1);
        state.calls.insert(serial, None);
        if stream {
            state.streams.insert(serial, Queue::default());
        }
        Ok(Header::call(program, remote::VERSION, procedure, serial))
    }

    fn finish(
        self: &Arc<Self>,
        header: Header,
        encode: impl FnOnce(&mut Writer) -> virt_wire::Result<()>,
        fds: &[OwnedFd],
    ) -> Result<Reply> {
        let sent = self.send_call(header, encode, fds);
        let answer = sent.and_then(|()| self.await_answer(header.serial));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.lock().calls.remove(&header.serial);
                return Err(error);
            }
        };
        if answer.header.status == MessageStatus::Error {
            let error = decode_error(&mut Reader::new(&answer.reply.payload));
            return Err(error.unwrap_or_else(|_| rpc("Unable to decode message payload")));
        }
        Ok(answer.reply)
    }

    fn send_call(
        &self,
        header: Header,
        encode: impl FnOnce(&mut Writer) -> virt_wire::Result<()>,
        fds: &[OwnedFd],
    ) -> Result<()> {
        let unfit = |_| rpc("Unable to encode message payload");
        let mut message = if fds.is_empty() {
            header.start()
        } else {
            let count = u32::try_from(fds.len()).unwrap_or(u32::MAX);
            let mut message = Header { kind: MessageType::CallWithFds, ..header }.start();
            message.u32(count);
            message
        };
        if fds.len() > MESSAGE_FDS_MAX {
            return Err(rpc(format!(
                "Too many FDs to send {}, expected {MESSAGE_FDS_MAX} maximum",
                fds.len()
            )));
        }
        encode(&mut message).map_err(unfit)?;
        self.send(&Header::finish(message).map_err(unfit)?, fds)
    }

    /// Writes a whole message and its descriptors.
    pub(crate) fn send(&self, message: &[u8], fds: &[OwnedFd]) -> Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.channel.send(message, fds).map_err(|error| {
            let error = self.channel.broken(&error, "Cannot write data");
            self.die(error.clone());
            error
        })
    }

    /// Waits for an answer; reads for everyone while nobody else does.
    fn await_answer(&self, serial: u32) -> Result<Answer> {
        let mut state = self.lock();
        loop {
            if let Some(Some(_)) = state.calls.get(&serial) {
                let answer = state.calls.remove(&serial).flatten();
                // Somebody else has to read on.
                self.changed.notify_all();
                return answer.ok_or_else(closed);
            }
            if let Some(error) = &state.dead {
                return Err(error.clone());
            }
            state = self.read_or_wait(state, None);
        }
    }

    /// Reads once for everyone, or waits until somebody else has.
    pub(crate) fn read_or_wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        let stalled = state.streams.values().any(|queue| queue.bytes() >= STREAM_BYTES_MAX);
        if state.reading || stalled {
            return match until {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let patience = until.saturating_duration_since(Instant::now());
                    let waited = self.changed.wait_timeout(state, patience);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.reading = true;
        let mut inbound = std::mem::take(&mut state.inbound);
        drop(state);
        let result =
            if self.wait_readable(until) { inbound.receive(&self.channel) } else { Ok(()) };
        let mut state = self.lock();
        let mut pings = 0;
        let handed_out = result.and_then(|()| {
            while let Some((message, fds)) = inbound.next_message()? {
                pings += self.hand_out(&mut state, message, fds)?;
            }
            Ok(())
        });
        state.inbound = inbound;
        state.reading = false;
        self.changed.notify_all();
        if let Err(error) = handed_out {
            drop(state);
            self.die(error);
            return self.lock();
        }
        if pings > 0 {
            drop(state);
            for _ in 0..pings {
                // A failure shows in the next read.
                let _ = self.send(&keepalive::pong(), &[]);
            }
            return self.lock();
        }
        state
    }

    /// Waits for bytes. False when it was in vain until then.
    fn wait_readable(&self, until: Option<Instant>) -> bool {
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut fds = [PollFd::new(&self.channel, PollFlags::IN)];
        !matches!(poll(&mut fds, timeout.as_ref()), Ok(0) | Err(rustix::io::Errno::INTR))
    }

    /// Gives a message to whom it is for. Says how many pings are to be answered.
    fn hand_out(&self, state: &mut State, message: Message, fds: Vec<OwnedFd>) -> Result<usize> {
        if let Some(keepalive) = &mut state.keepalive {
            keepalive.heard();
        }
        let header = message.header;
        match header.kind {
            MessageType::Reply | MessageType::ReplyWithFds => {
                if let Some(slot) = state.calls.get_mut(&header.serial) {
                    let skipped = if header.kind == MessageType::Reply { 0 } else { 4 };
                    let payload = message.payload.get(skipped..).unwrap_or_default().to_vec();
                    *slot = Some(Answer { header, reply: Reply { payload, fds } });
                }
            }
            MessageType::Stream | MessageType::StreamHole => {
                if let Some(queue) = state.streams.get_mut(&header.serial) {
                    queue.push(message);
                }
            }
            MessageType::Message if header.program == virt_wire::keepalive::PROGRAM => {
                return Ok(usize::from(header.procedure == virt_wire::keepalive::PING));
            }
            MessageType::Message if state.events.len() < EVENTS_QUEUED_MAX => {
                state.events.push_back(message);
            }
            MessageType::Message => return Err(rpc("events are not handled as fast as they come")),
            MessageType::Call | MessageType::CallWithFds => {}
        }
        Ok(0)
    }

    /// One turn of our own thread. False when the connection is over.
    fn attend_once(&self) -> bool {
        let mut state = self.lock();
        if let Some(event) = state.events.pop_front() {
            drop(state);
            (self.handler)(event.header, &event.payload);
            return true;
        }
        if state.dead.is_some() {
            return false;
        }
        match state.keepalive.as_mut().map(Keepalive::due) {
            Some(keepalive::Due::Dead) => {
                drop(state);
                let text = "connection closed due to keepalive timeout";
                self.die(Error::internal(Origin::Rpc, text));
                return true;
            }
            Some(keepalive::Due::Ping) => {
                drop(state);
                let _ = self.send(&keepalive::ping(), &[]);
                return true;
            }
            Some(keepalive::Due::Nothing) | None => {}
        }
        let until = state.keepalive.as_ref().map(Keepalive::deadline);
        drop(self.read_or_wait(state, until));
        true
    }

    /// Wakes a thread that reads without knowing of a new deadline: the daemon answers a ping.
    fn nudge(&self) {
        let _ = self.send(&keepalive::ping(), &[]);
    }

    /// Ends the connection: every call and stream fails with this error.
    pub(crate) fn die(&self, error: Error) {
        let mut state = self.lock();
        if state.dead.is_none() {
            state.dead = Some(error);
        }
        state.streams.values().for_each(Queue::wake);
        drop(state);
        self.channel.shutdown();
        self.changed.notify_all();
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    pub(crate) fn wait_change<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.read_or_wait(state, None)
    }
}

impl State {
    pub(crate) fn dead(&self) -> Option<&Error> {
        self.dead.as_ref()
    }
}

pub(crate) fn rpc(detail: impl Into<String>) -> Error {
    Error::new(Code::Rpc, Origin::Rpc, detail)
}
