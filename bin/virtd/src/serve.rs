//! One client's turn on the loop: reads its messages, writes what is left, keeps the connection alive.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use virt_transport::fds;
use virt_wire::{FrameReader, MESSAGE_FDS_MAX, Message, MessageType, keepalive};

use crate::calls::{self, Server};
use crate::client::Client;
use crate::crowd::Place;
use crate::events;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::pool::Lane;

/// How much is read at once; larger messages take several reads.
const READ_BYTES: usize = 64 << 10;

/// Limit: what is done for one client before others have their turn.
const STEPS_IN_TURN_MAX: usize = 16;

/// What all turns share: they come one after another.
pub(crate) struct Desk {
    pub(crate) server: Arc<Server>,
    /// All clients are read into the same place.
    scratch: Vec<u8>,
    /// Of a client that needed it no more.
    spare: Option<Box<Input>>,
    pace: Pace,
}

impl Desk {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, scratch: vec![0; READ_BYTES], spare: None, pace: Pace::new() }
    }
}

/// A client as the loop has it.
pub(crate) struct Task {
    place: Place,
    input: Option<Box<Input>>,
    keepalive: Option<Box<Keepalive>>,
    /// Until then it must have shown who it is.
    hurry: Option<Instant>,
    /// Bytes, or the end, may be there to be read.
    readable: bool,
    /// The other side says no more.
    ended: bool,
    /// Nor does it hear any more.
    deserted: bool,
    /// Messages may be left in the input because it was behind with reading.
    behind: bool,
    /// What comes is sealed by SASL.
    sealed: bool,
}

/// What came and is not served yet. Most clients at rest have none, so it is lent to them.
#[derive(Default)]
struct Input {
    frames: FrameReader,
    /// Descriptors that came and belong to no message yet.
    fds: Vec<OwnedFd>,
    /// A message that still waits for the bytes of so many of its descriptors.
    fds_due: Option<(Message, usize)>,
    /// Calls above the number that may be in flight.
    waiting: VecDeque<(Message, Vec<OwnedFd>)>,
    waiting_bytes: usize,
}

/// Why a client has its turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) readable: bool,
    pub(crate) ended: bool,
    pub(crate) deserted: bool,
    /// Its deadline has passed.
    pub(crate) due: bool,
}

/// What comes after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Waits,
    /// There is more to do once others had their turn.
    More,
    Over,
}

enum Ready {
    Read,
    /// Enough was written for streams to send again.
    Relieved,
    /// Somebody changed something about the client.
    Look,
    Close,
    Nothing,
}

impl Task {
    pub(crate) fn new(server: &Server, place: Place) -> Self {
        let patience = Duration::from_secs(server.settings.limits.auth_timeout_s as u64);
        let hurry = (!place.client.is_authenticated()).then(|| Instant::now() + patience);
        Self {
            place,
            input: None,
            keepalive: None,
            hurry,
            readable: true,
            ended: false,
            deserted: false,
            behind: false,
            sealed: false,
        }
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.place.client
    }

    /// When it is to have a turn whatever happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let ping = self.keepalive.as_ref().map(|keepalive| keepalive.until);
        [ping, self.hurry].into_iter().flatten().min()
    }

    /// Does what can be done now.
    pub(crate) fn turn(&mut self, desk: &mut Desk, seen: Seen) -> Turn {
        self.ended |= seen.ended;
        self.readable |= seen.readable;
        self.deserted |= seen.deserted;
        self.client().answered_the_bell();
        let turn = if seen.due && !self.tick(&desk.server.settings.limits) {
            Turn::Over
        } else {
            self.work(desk)
        };
        if self.input.as_ref().is_some_and(|input| input.is_empty()) {
            desk.spare = self.input.take();
        }
        turn
    }

    fn work(&mut self, desk: &mut Desk) -> Turn {
        for _ in 0..STEPS_IN_TURN_MAX {
            let goes_on = match self.next(&desk.server) {
                Ready::Nothing => return Turn::Waits,
                Ready::Close => false,
                Ready::Look => self.serve_waiting(&desk.server),
                Ready::Relieved => {
                    let session = self.client().session();
                    session.streams.values().for_each(|link| link.resume());
                    true
                }
                Ready::Read => self.read(desk),
            };
            if !goes_on {
                return Turn::Over;
            }
        }
        Turn::More
    }

    fn next(&mut self, server: &Server) -> Ready {
        let limits = &server.settings.limits;
        let client = &self.place.client;
        if self.keepalive.is_none() && client.wants_keepalive() {
            self.keepalive = Keepalive::new(server, client.arrival.admin).map(Box::new);
        }
        if client.is_closing() || client.should_hang_up() {
            return Ready::Close;
        }
        if client.has_backlog() {
            client.flush();
            if client.is_closing() || client.should_hang_up() {
                return Ready::Close;
            }
        }
        if client.is_relieved() {
            return Ready::Relieved;
        }
        if self.behind && !self.is_behind(limits) {
            self.behind = false;
            return Ready::Look;
        }
        if self.client().take_changed() {
            return Ready::Look;
        }
        if !self.reads_no_more(limits) {
            return if self.readable { Ready::Read } else { Ready::Nothing };
        }
        // What it left unread nobody waits for any more.
        if self.deserted { Ready::Close } else { Ready::Nothing }
    }

    /// Whether nothing is to be read before calls are answered, answers read, or data of streams
    /// taken.
    ///
    /// Calls above the number that may be in flight are read on for a while: behind them may be a
    /// ping.
    fn reads_no_more(&mut self, limits: &Limits) -> bool {
        if self.is_showing()
            || self.serves_no_more(limits)
            || self.input.as_deref().is_some_and(|input| input.is_full(limits))
        {
            return true;
        }
        let client = self.client();
        if !client.has_full_stream() {
            return false;
        }
        client.pause();
        client.has_full_stream()
    }

    /// Whether a worker looks at what it showed: that is one thing after the other, and nothing else
    /// is heard meanwhile.
    fn is_showing(&self) -> bool {
        !self.client().is_authenticated() && self.client().is_full(1)
    }

    /// Notices that an exchange by SASL has ended in encryption.
    ///
    /// Order: what was heard before must all have been served, for anybody between could have said
    /// it. While the exchange goes on nothing is read, so the look comes before what is sealed.
    fn notice_seal(&mut self) -> Result<(), Broken> {
        if self.sealed || !self.client().is_sealed() {
            return Ok(());
        }
        self.sealed = true;
        if self.input.as_deref().is_none_or(Input::is_empty) { Ok(()) } else { Err(Broken) }
    }

    fn is_behind(&self, limits: &Limits) -> bool {
        self.client().is_behind(limits.unread_bytes_max)
    }

    /// Whether even calls that are here already have to wait, or are heard no more.
    fn serves_no_more(&mut self, limits: &Limits) -> bool {
        self.behind |= self.is_behind(limits);
        self.behind || self.client().is_hanging_up()
    }

    /// Reads and serves what is there. False when the connection is over.
    fn read(&mut self, desk: &mut Desk) -> bool {
        if self.notice_seal().is_err() {
            return false;
        }
        let input = self.input.get_or_insert_with(|| desk.spare.take().unwrap_or_default());
        let mut fds_before = input.fds.len();
        let client = &self.place.client;
        let mut received = input.receive(&desk.server, client, &mut desk.scratch);
        loop {
            match received {
                Ok(0) => return false,
                Ok(count) => {
                    // A read ends behind a descriptor, whatever else is there.
                    let fds_now = self.input.as_ref().map_or(0, |input| input.fds.len());
                    let more = count == READ_BYTES || fds_now > fds_before;
                    if let Some(keepalive) = &mut self.keepalive {
                        keepalive.heard();
                    }
                    desk.pace.heard(self.client().caller.client_id, Instant::now());
                    if !self.serve_waiting(&desk.server) {
                        return false;
                    }
                    if more {
                        return true;
                    }
                    fds_before = self.input.as_ref().map_or(0, |input| input.fds.len());
                    received = self.receive_next(desk);
                }
                Err(Errno::AGAIN) => {
                    // The socket is empty: another read would only say so. New bytes wake anew, the
                    // end does not.
                    self.readable = self.ended;
                    return true;
                }
                Err(Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
    }

    /// What comes at once after an answer, if it is worth waiting for; else `EAGAIN`.
    fn receive_next(&mut self, desk: &mut Desk) -> Result<usize, Errno> {
        let mut received = Err(Errno::AGAIN);
        if self.notice_seal().is_err() {
            return Err(Errno::CONNABORTED);
        }
        if self.client().is_idle()
            && !self.reads_no_more(&desk.server.settings.limits)
            && let Some(input) = &mut self.input
        {
            let Desk { server, scratch, pace, .. } = desk;
            pace.wait(Instant::now, || {
                received = input.receive(server, &self.place.client, scratch);
                received != Err(Errno::AGAIN)
            });
        }
        received
    }

    /// Serves the whole messages that are there, as long as their answers are taken. False when
    /// bytes are wrong.
    fn serve_waiting(&mut self, server: &Arc<Server>) -> bool {
        loop {
            let fine = self.serve_batch(server);
            // What filled the batch may be gone with it.
            let again = fine && self.behind && !self.is_behind(&server.settings.limits);
            if !again {
                return fine;
            }
            self.behind = false;
        }
    }

    /// Serves messages with their answers in one write.
    fn serve_batch(&mut self, server: &Arc<Server>) -> bool {
        self.client().hold();
        let fine = loop {
            match self.next_to_serve(server) {
                Ok(Some((message, fds))) => calls::serve(server, self.client(), message, fds),
                Ok(None) => break true,
                Err(Broken) => break false,
            }
        };
        self.client().release();
        fine
    }

    /// The next message that may be served now; calls that may not are kept.
    fn next_to_serve(&mut self, server: &Server) -> Result<Option<Whole>, Broken> {
        let limits = &server.settings.limits;
        let admin = self.client().arrival.admin;
        let requests_max = if admin { limits.admin_requests_max } else { limits.requests_max };
        loop {
            if self.is_showing() || self.serves_no_more(limits) {
                return Ok(None);
            }
            self.notice_seal()?;
            let full = self.client().is_full(requests_max);
            if let Some(input) = &mut self.input
                && !full
                && let Some(message) = input.take_waiting()
            {
                return Ok(Some(message));
            }
            if self.reads_no_more(limits) {
                return Ok(None);
            }
            let Some(input) = &mut self.input else { return Ok(None) };
            let Some(message) = input.next_message(limits)? else { return Ok(None) };
            if !is_call(&message.0) || !full {
                return Ok(Some(message));
            }
            input.keep(message);
        }
    }

    /// Its deadline has passed. False when the other side is given up.
    fn tick(&mut self, limits: &Limits) -> bool {
        let id = self.client().caller.client_id;
        if self.client().is_authenticated() {
            self.hurry = None;
        } else if self.hurry.is_some_and(|until| until <= Instant::now()) {
            virt_log::warning!("rpc.auth", "client {id} takes too long");
            return false;
        }
        let behind = self.is_behind(limits);
        let unread = if behind { self.client().has_read() } else { self.reads_no_more(limits) };
        let Some(keepalive) = &mut self.keepalive else { return true };
        if unread {
            // What it says is not read, so its silence means nothing; unless it does not read itself.
            keepalive.heard();
        }
        match keepalive.due() {
            Due::Nothing => true,
            Due::Ping => {
                self.client().send(calls::keepalive_message(keepalive::PING), Vec::new());
                true
            }
            Due::Dead => {
                virt_log::warning!("rpc.keepalive", "client {id} answers no keepalive");
                false
            }
        }
    }

    /// Lets go of everything the client had. What may wait is done by a worker.
    pub(crate) fn gone(self, server: &Server) {
        let client = Arc::clone(self.client());
        client.close();
        let _ = rustix::net::shutdown(client.socket.as_fd(), rustix::net::Shutdown::Both);
        let (streams, calls) = {
            let mut session = client.session();
            (std::mem::take(&mut session.streams), std::mem::take(&mut session.calls))
        };
        streams.into_values().for_each(|link| link.close());
        server.submit(
            Lane::Priority,
            Box::new(move || {
                events::forget_all(&client);
                let connection = client.session().connection.take();
                // Order: calls that are still queued find no connection; those at work end first, so
                // that few hold up what is done at the end.
                calls.iter().for_each(|call| call.cancel.cancel());
                connection.into_iter().for_each(|connection| connection.hang_up());
            }),
        );
    }
}

/// A message with its descriptors.
type Whole = (Message, Vec<OwnedFd>);

fn is_call(message: &Message) -> bool {
    matches!(message.header.kind, MessageType::Call | MessageType::CallWithFds)
}

impl Input {
    fn is_empty(&self) -> bool {
        self.frames.pending() == 0
            && self.fds.is_empty()
            && self.fds_due.is_none()
            && self.waiting.is_empty()
    }

    fn is_full(&self, limits: &Limits) -> bool {
        self.waiting.len() >= limits.requests_queued_max
            || self.waiting_bytes >= limits.requests_queued_bytes_max
    }

    fn keep(&mut self, message: Whole) {
        self.waiting_bytes = self.waiting_bytes.saturating_add(message.0.payload.len());
        self.waiting.push_back(message);
    }

    fn take_waiting(&mut self) -> Option<Whole> {
        let message = self.waiting.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(message.0.payload.len());
        Some(message)
    }

    /// The next message with all of its descriptors.
    fn next_message(&mut self, limits: &Limits) -> Result<Option<Whole>, Broken> {
        let (message, due) = match self.fds_due.take() {
            Some(waiting) => waiting,
            None => {
                let next = self.frames.next_message_below(limits.message_bytes_max);
                let Some(message) = next.map_err(|_| Broken)? else { return Ok(None) };
                let due = fds_of(&message)?;
                (message, due)
            }
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

    /// Reads once.
    fn receive(
        &mut self,
        server: &Server,
        client: &Client,
        scratch: &mut [u8],
    ) -> Result<usize, Errno> {
        let count = fds::receive(client.socket.as_fd(), scratch, &mut self.fds)?;
        let came = scratch.get(..count).unwrap_or_default();
        let frames = &mut self.frames;
        match client.secure() {
            None => frames.feed(came),
            Some(secure) => secure.open(server, client, came, |plain| frames.feed(plain)).map_err(
                |refused| {
                    let id = client.caller.client_id;
                    virt_log::error!("rpc.tls", "client {id} is not let in: {refused}");
                    Errno::CONNABORTED
                },
            )?,
        }
        Ok(count)
    }
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
    pings_left: usize,
    count: usize,
    heard: Instant,
    until: Instant,
}

enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Keepalive {
    fn new(server: &Server, admin: bool) -> Option<Self> {
        let (settings, limits) = (&server.settings, &server.settings.limits);
        let (interval_s, count) = match admin {
            true => (settings.admin_keepalive_interval_s, limits.admin_keepalive_count),
            false => (settings.keepalive_interval_s, limits.keepalive_count),
        };
        let interval = Duration::from_secs(interval_s?);
        let now = Instant::now();
        Some(Self { interval, pings_left: count, count, heard: now, until: now + interval })
    }

    /// Something arrived. The deadline is left alone: when it has passed, this is looked at.
    fn heard(&mut self) {
        self.heard = Instant::now();
        self.pings_left = self.count;
    }

    fn due(&mut self) -> Due {
        let now = Instant::now();
        if self.until > now {
            return Due::Nothing;
        }
        let quiet_until = self.heard + self.interval;
        if quiet_until > now {
            self.until = quiet_until;
            return Due::Nothing;
        }
        if self.pings_left == 0 {
            return Due::Dead;
        }
        self.pings_left -= 1;
        self.until = now + self.interval;
        Due::Ping
    }
}
