//! Pumps: the bytes of consoles and volumes between a driver's stream and its client.
//!
//! A stream with a descriptor is pumped on the loop, one without on workers, a step at a time.
//!
//! ```text
//! client   ── data ──▶   inbox ── Stream::send ──▶   driver
//!          ── ok ────▶         ── Stream::finish     then confirmed with ok
//!          ── error ─▶         ── Stream::abort      then confirmed with ok
//! client  ◀── data ───          ◀── Stream::recv ──  driver
//!         ◀── nothing ─                              the driver's data ended; the client says ok
//!         ◀── error ───                              the stream failed and is gone
//! ```

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use virt_driver::{Received, Stream};
use virt_error::{Code, Error, Origin, Result};
use virt_wire::{
    Header, Message, MessageStatus, MessageType, Reader, STREAM_DATA_BYTES_MAX, StreamWay,
};

use crate::calls::Server;
use crate::client::{Client, error_message, lock};
use crate::pool;
use crate::watched::Watched;

/// What a message counts for beside its data: holes and ends have none, and take memory too.
const MESSAGE_COST_BYTES: usize = 64;
/// A console's messages need not be as long as a volume's: a terminal gives no more at once.
const CONSOLE_READ_BYTES: usize = 4 << 10;
/// After a piece smaller than this one, a console is left alone for [`GATHER`]: a guest that prints
/// byte by byte must not cost a message each. What comes after silence is sent at once.
const GATHER_BYTES: usize = 1 << 10;
const GATHER: Duration = Duration::from_millis(1);
/// Messages in one direction before the other one has its turn.
const STEPS_IN_TURN_MAX: usize = 16;
/// A stream that can wait but has no descriptor is asked again after so long.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// An open stream, as its client's task and its pump share it.
pub(crate) struct Link {
    client: Arc<Client>,
    /// Of the call that opened it: its messages carry the same procedure and serial.
    header: Header,
    sends_down: bool,
    stream: Arc<dyn Stream>,
    inbox: Mutex<Inbox>,
    /// Limit: so much the driver may leave there; then the client is not read any more.
    inbox_bytes_max: usize,
    changed: Notify,
    closed: AtomicBool,
}

#[derive(Default)]
struct Inbox {
    queue: VecDeque<Inward>,
    bytes: usize,
}

/// What a client says on a stream.
enum Inward {
    Data(Vec<u8>),
    Hole(u64),
    Finish,
    Abort,
}

impl Inward {
    fn cost(&self) -> usize {
        match self {
            Self::Data(data) => MESSAGE_COST_BYTES.saturating_add(data.len()),
            Self::Hole(_) | Self::Finish | Self::Abort => MESSAGE_COST_BYTES,
        }
    }
}

impl Link {
    pub(crate) fn new(
        client: &Arc<Client>,
        header: Header,
        way: Option<StreamWay>,
        stream: Arc<dyn Stream>,
        inbox_bytes_max: usize,
    ) -> Self {
        Self {
            client: Arc::clone(client),
            header,
            sends_down: way != Some(StreamWay::Up),
            stream,
            inbox: Mutex::default(),
            inbox_bytes_max,
            changed: Notify::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Ends the pump: the client is gone.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// The client takes more again.
    pub(crate) fn resume(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn inbox_is_full(&self) -> bool {
        lock(&self.inbox).bytes >= self.inbox_bytes_max
    }

    fn take(&self) -> Option<Inward> {
        let mut inbox = lock(&self.inbox);
        let taken = inbox.queue.pop_front();
        if let Some(inward) = &taken {
            inbox.bytes = inbox.bytes.saturating_sub(inward.cost());
            if inbox.bytes < self.inbox_bytes_max {
                drop(inbox);
                self.client.resume();
            }
        }
        taken
    }

    fn has_inward(&self) -> bool {
        !lock(&self.inbox).queue.is_empty()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn send_status(&self, status: MessageStatus) {
        let message = Header::finish(self.header.stream(status).start()).unwrap_or_default();
        self.client.send(message, Vec::new());
    }

    fn send_error(&self, error: &Error) {
        let header = self.header.stream(MessageStatus::Error);
        self.client.send(error_message(header, error), Vec::new());
    }

    /// Takes the stream off the client's list; what still comes for it is passed over.
    fn forget(&self) {
        let streams = &mut self.client.session().streams;
        let serial = self.header.serial;
        // Another one may have its number by now.
        if streams.get(&serial).is_some_and(|link| std::ptr::eq(Arc::as_ptr(link), self)) {
            streams.remove(&serial);
        }
        self.client.resume();
    }
}

/// Queues what a client sent on one of its streams. One that is not open any more is passed over.
pub(crate) fn receive(client: &Arc<Client>, message: Message) {
    let header = message.header;
    let link = client.session().streams.get(&header.serial).cloned();
    let Some(link) = link.filter(|link| {
        (link.header.program, link.header.procedure) == (header.program, header.procedure)
    }) else {
        return;
    };
    let inward = match (header.kind, header.status) {
        (MessageType::StreamHole, _) => {
            let mut r = Reader::new(&message.payload);
            match r.i64().ok().and_then(|length| u64::try_from(length).ok()) {
                Some(length) => Inward::Hole(length),
                None => Inward::Abort,
            }
        }
        (_, MessageStatus::Continue) => Inward::Data(message.payload),
        (_, MessageStatus::Ok) => Inward::Finish,
        (_, MessageStatus::Error) => Inward::Abort,
    };
    let mut inbox = lock(&link.inbox);
    inbox.bytes = inbox.bytes.saturating_add(inward.cost());
    inbox.queue.push_back(inward);
    drop(inbox);
    link.changed.notify_one();
}

/// Starts the pump of a stream that was just opened.
pub(crate) fn start(server: &Arc<Server>, link: Arc<Link>) {
    let shared = Arc::clone(server);
    server.runtime.spawn(async move {
        let watched = link.stream.poll_fd();
        // Where it cannot be watched, workers pump the stream.
        let watched = watched.and_then(|fd| Watched::clone_of(fd).ok());
        let pumped = Arc::downgrade(&link);
        link.stream.on_change(Box::new(move || {
            if let Some(link) = pumped.upgrade() {
                link.resume();
            }
        }));
        let mut pump =
            Pump { server: shared, link, watched, rest: None, ended: false, hold_until: None };
        pump.run().await;
        pump.link.forget();
    });
}

struct Pump {
    server: Arc<Server>,
    link: Arc<Link>,
    watched: Option<Watched>,
    /// Data the stream has not taken yet, and how much of it it has.
    rest: Option<(Vec<u8>, usize)>,
    /// The driver's data ended and the client was told so.
    ended: bool,
    /// Until when more output is gathered before it is read.
    hold_until: Option<Instant>,
}

/// How a step went.
#[derive(PartialEq)]
enum Step {
    Moved,
    Waits,
    Over,
}

impl Pump {
    async fn run(&mut self) {
        loop {
            if self.link.is_closed() {
                let _ = self.call(|stream| stream.abort()).await;
                return;
            }
            let mut moved = false;
            for direction in [true, false] {
                let step = if direction { self.inward().await } else { self.outward().await };
                match step {
                    Ok(Step::Over) => return,
                    Ok(step) => moved |= step == Step::Moved,
                    Err(error) => {
                        let _ = self.call(|stream| stream.abort()).await;
                        return self.link.send_error(&error);
                    }
                }
            }
            if !moved {
                self.wait().await;
            }
        }
    }

    /// Calls the stream: here when it cannot wait, else on a worker.
    async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Stream) -> R + Send + 'static,
    ) -> Result<R> {
        if self.watched.is_some() {
            return Ok(call(self.link.stream.as_ref()));
        }
        let (tx, rx) = oneshot::channel();
        let stream = Arc::clone(&self.link.stream);
        let job = Box::new(move || drop(tx.send(call(stream.as_ref()))));
        self.server.submit(pool::Lane::Normal, job);
        rx.await.map_err(|_| failure())
    }

    /// Gives the stream what the client sent.
    async fn inward(&mut self) -> Result<Step> {
        let mut moved = Step::Waits;
        for _ in 0..STEPS_IN_TURN_MAX {
            if let Some((data, taken)) = self.rest.take() {
                let (data, result) = self
                    .call(move |stream| {
                        let result = stream.send(data.get(taken..).unwrap_or_default());
                        (data, result)
                    })
                    .await?;
                let count = result?;
                let taken = taken.saturating_add(count);
                if taken < data.len() {
                    self.rest = Some((data, taken));
                }
                if count == 0 {
                    self.drained(Interest::WRITABLE);
                    return Ok(moved);
                }
                moved = Step::Moved;
                continue;
            }
            match self.link.take() {
                None => return Ok(moved),
                Some(Inward::Data(data)) if data.is_empty() => {}
                Some(Inward::Data(data)) => self.rest = Some((data, 0)),
                Some(Inward::Hole(length)) => {
                    self.call(move |stream| stream.send_hole(length)).await??;
                }
                Some(Inward::Finish) => {
                    self.call(|stream| stream.finish()).await??;
                    self.link.forget();
                    self.link.send_status(MessageStatus::Ok);
                    return Ok(Step::Over);
                }
                Some(Inward::Abort) => {
                    self.call(|stream| stream.abort()).await?;
                    self.link.forget();
                    self.link.send_status(MessageStatus::Ok);
                    return Ok(Step::Over);
                }
            }
            moved = Step::Moved;
        }
        Ok(moved)
    }

    /// Sends the client what the stream has.
    async fn outward(&mut self) -> Result<Step> {
        let mut moved = Step::Waits;
        if self.holds() {
            return Ok(moved);
        }
        for _ in 0..STEPS_IN_TURN_MAX {
            if !self.wants_outward() {
                break;
            }
            let header = self.link.header;
            let max = match self.watched {
                Some(_) => CONSOLE_READ_BYTES,
                None => STREAM_DATA_BYTES_MAX,
            };
            let (received, message) = self.call(move |stream| read(stream, header, max)).await?;
            match received? {
                Received::Data(count) => {
                    self.link.client.send(message, Vec::new());
                    if self.watched.is_some() && count < GATHER_BYTES {
                        self.hold_until = Some(Instant::now() + GATHER);
                        return Ok(Step::Moved);
                    }
                }
                Received::Hole(length) => self.send_hole(length),
                Received::Pending => {
                    self.drained(Interest::READABLE);
                    break;
                }
                Received::End => {
                    self.ended = true;
                    self.link.send_status(MessageStatus::Continue);
                }
            }
            moved = Step::Moved;
        }
        Ok(moved)
    }

    fn send_hole(&self, length: u64) {
        let header = self.link.header.stream(MessageStatus::Continue);
        let mut w = Header { kind: MessageType::StreamHole, ..header }.start();
        w.i64(i64::try_from(length).unwrap_or(i64::MAX));
        w.u32(0);
        self.link.client.send(Header::finish(w).unwrap_or_default(), Vec::new());
    }

    fn wants_outward(&self) -> bool {
        self.link.sends_down && !self.ended && self.link.client.stream_may_send()
    }

    fn holds(&self) -> bool {
        self.hold_until.is_some_and(|until| Instant::now() < until)
    }

    fn drained(&self, interest: Interest) {
        if let Some(watched) = &self.watched {
            watched.drained(interest);
        }
    }

    /// Waits until something can move.
    async fn wait(&self) {
        let Some(watched) = &self.watched else {
            if self.rest.is_some() || self.wants_outward() {
                return tokio::time::sleep(RETRY_AFTER).await;
            }
            return self.link.changed.notified().await;
        };
        let mut changed = pin!(self.link.changed.notified());
        let (outward, inward) = (self.wants_outward(), self.rest.is_some());
        let held = self.hold_until.filter(|_| self.holds());
        let mut hold = pin!(sleep_until(held.unwrap_or_else(Instant::now)));
        poll_fn(|cx| {
            let mut readable = |cx: &mut Context<'_>| match held {
                Some(_) => hold.as_mut().poll(cx).is_ready(),
                None => watched.poll_read(cx).is_ready(),
            };
            let woken = changed.as_mut().poll(cx).is_ready()
                || (!inward && self.link.has_inward())
                || (outward && readable(cx))
                || (inward && watched.poll_write(cx).is_ready());
            if woken { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Reads straight into a message.
fn read(stream: &dyn Stream, header: Header, max: usize) -> (Result<Received>, Vec<u8>) {
    let mut message = header.stream(MessageStatus::Continue).start().into_vec();
    let data_at = message.len();
    message.resize(data_at + max, 0);
    let received = stream.recv(message.get_mut(data_at..).unwrap_or_default());
    let count = match received {
        Ok(Received::Data(count)) => count.min(max),
        _ => 0,
    };
    message.truncate(data_at + count);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(word) = message.get_mut(..length.len()) {
        word.copy_from_slice(&length);
    }
    (received, message)
}

fn failure() -> Error {
    Error::new(Code::Rpc, Origin::Streams, "stream had I/O failure")
}
