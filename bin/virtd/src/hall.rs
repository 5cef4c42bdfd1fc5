//! All clients on the loop: their sockets in one set of our own, and each served in turn.
//!
//! A client at rest is a place in a list and a socket in the set. As a task of the runtime, each with
//! its own registration there, it took twice the memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use rustix::event::{Timespec, epoll};
use rustix::fs::OFlags;
use rustix::io::retry_on_intr;
use tokio::io::Interest;
use tokio::time::sleep_until;

use crate::calls::Server;
use crate::client::lock;
use crate::crowd::Place;
use crate::serve::{Desk, Seen, Task, Turn};
use crate::watched::Watched;

/// How many sockets are looked at before anything else has its turn.
const EVENTS_MAX: usize = 128;
const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Where the loop's clients are.
pub(crate) struct Hall {
    set: Watched,
    bell: Arc<Bell>,
    floor: RefCell<Floor>,
}

struct Floor {
    desk: Desk,
    /// By number; a number is used again when its client has gone.
    seats: Vec<Option<Seat>>,
    vacant: Vec<u32>,
    deadlines: BTreeSet<(Instant, u32)>,
    /// Who has more to do than fitted in one turn.
    again: Vec<u32>,
}

struct Seat {
    task: Task,
    deadline: Option<Instant>,
    /// The set says when the socket takes more.
    watches_write: bool,
}

/// How workers call the loop's attention to clients, by their seats.
#[derive(Default)]
pub(crate) struct Bell(Mutex<Rung>);

#[derive(Default)]
struct Rung {
    seats: Vec<u32>,
    waker: Option<Waker>,
}

impl Bell {
    pub(crate) fn ring(&self, seat: u32) {
        let mut rung = lock(&self.0);
        rung.seats.push(seat);
        let waker = rung.waker.take();
        drop(rung);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Who has rung; if nobody, the next one wakes.
    fn poll_rung(&self, cx: &Context<'_>, calls: &mut Vec<(u32, Seen)>) {
        let mut rung = lock(&self.0);
        if rung.seats.is_empty() && !rung.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            rung.waker = Some(cx.waker().clone());
        }
        calls.extend(rung.seats.drain(..).map(|seat| (seat, Seen::default())));
    }
}

impl Hall {
    /// One without clients. Called where the loop runs.
    pub(crate) fn new(server: Arc<Server>) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&set, OFlags::NONBLOCK)?;
        let floor = Floor {
            desk: Desk::new(server),
            seats: Vec::new(),
            vacant: Vec::new(),
            deadlines: BTreeSet::new(),
            again: Vec::new(),
        };
        Ok(Self { set: Watched::new(set)?, bell: Arc::default(), floor: RefCell::new(floor) })
    }

    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// The number of the seat that the next client is to have.
    pub(crate) fn next_seat(&self) -> u32 {
        let floor = self.floor.borrow();
        let new = || u32::try_from(floor.seats.len()).unwrap_or(u32::MAX);
        floor.vacant.last().copied().unwrap_or_else(new)
    }

    /// Takes a client in.
    pub(crate) fn seat(&self, place: Place) {
        let floor = &mut *self.floor.borrow_mut();
        let task = Task::new(&floor.desk.server, place);
        let client = task.client();
        let number = client.seat;
        let data = epoll::EventData::new_u64(number.into());
        if let Err(error) = epoll::add(&self.set, &client.socket, data, interest(false)) {
            return virt_log::warning!("rpc.server", "cannot serve a client: {error}");
        }
        let deadline = task.deadline();
        floor.deadlines.extend(deadline.map(|at| (at, number)));
        let seat = Some(Seat { task, deadline, watches_write: false });
        match floor.vacant.pop() {
            Some(vacant) => {
                if let Some(place) = floor.seats.get_mut(vacant as usize) {
                    *place = seat;
                }
            }
            None => floor.seats.push(seat),
        }
    }

    /// Serves everybody, for ever.
    pub(crate) async fn run(&self) {
        let mut timer = pin!(sleep_until(Instant::now().into()));
        let mut armed = None;
        let mut calls = Vec::new();
        loop {
            let (deadline, again) = {
                let floor = self.floor.borrow();
                (floor.deadlines.first().map(|(at, _)| *at), !floor.again.is_empty())
            };
            if let Some(at) = deadline.filter(|_| deadline != armed) {
                timer.as_mut().reset(at.into());
            }
            armed = deadline;
            if again {
                // Streams and newcomers have their turn as well.
                tokio::task::yield_now().await;
            }
            poll_fn(|cx| {
                self.poll_calls(cx, &mut calls);
                let due = deadline.is_some() && timer.as_mut().poll(cx).is_ready();
                if again || due || !calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            self.floor.borrow_mut().round(&mut calls, &self.set);
        }
    }

    /// Who has rung, and whose sockets are ready; whoever comes later wakes.
    fn poll_calls(&self, cx: &mut Context<'_>, calls: &mut Vec<(u32, Seen)>) {
        self.bell.poll_rung(cx, calls);
        while self.set.poll_read(cx).is_ready() && !self.look(calls) {
            self.set.drained(Interest::READABLE);
        }
    }

    /// Which sockets are ready. True when there may be more.
    fn look(&self, calls: &mut Vec<(u32, Seen)>) -> bool {
        let mut space = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS_MAX];
        let count = retry_on_intr(|| {
            let (events, _) = epoll::wait(&self.set, &mut space, Some(&NO_WAIT))?;
            calls.extend(events.iter().map(call));
            Ok(events.len())
        });
        count == Ok(EVENTS_MAX)
    }
}

fn call(event: &epoll::Event) -> (u32, Seen) {
    let (flags, data) = (event.flags, event.data);
    let gone = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
    let end = epoll::EventFlags::RDHUP | gone;
    let seen = Seen {
        readable: flags.intersects(epoll::EventFlags::IN | end),
        ended: flags.intersects(end),
        deserted: flags.intersects(gone),
        due: false,
    };
    (u32::try_from(data.u64()).unwrap_or(u32::MAX), seen)
}

impl Floor {
    /// Gives all who called their turns, then those who had not enough with one.
    fn round(&mut self, calls: &mut Vec<(u32, Seen)>, set: &Watched) {
        let again = std::mem::take(&mut self.again);
        for (number, seen) in calls.drain(..) {
            self.turn(number, seen, set);
        }
        for number in again {
            self.turn(number, Seen::default(), set);
        }
        if self.deadlines.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(&(_, number)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_first();
            self.turn(number, Seen { due: true, ..Seen::default() }, set);
        }
    }

    /// Gives a client its turn; who has no seat any more has none.
    fn turn(&mut self, number: u32, seen: Seen, set: &Watched) {
        let place = self.seats.get_mut(number as usize);
        let Some((place, mut seat)) = place.and_then(|place| {
            let seat = place.take()?;
            Some((place, seat))
        }) else {
            return;
        };
        let turn = seat.task.turn(&mut self.desk, seen);
        let deadline = match turn {
            Turn::Over => None,
            Turn::Waits | Turn::More => seat.task.deadline(),
        };
        if seat.deadline != deadline || seen.due {
            self.deadlines.extend(deadline.map(|at| (at, number)));
            let left = seat.deadline.filter(|_| seat.deadline != deadline);
            left.map(|at| self.deadlines.remove(&(at, number)));
            seat.deadline = deadline;
        }
        match turn {
            Turn::Over => {
                self.vacant.push(number);
                // Order: workers may have the socket still; who has the seat next must not hear of it.
                let _ = epoll::delete(set, &seat.task.client().socket);
                return seat.task.gone(&self.desk.server);
            }
            Turn::More => self.again.push(number),
            Turn::Waits => {}
        }
        let client = seat.task.client();
        let wants_write = client.has_backlog();
        if wants_write != seat.watches_write {
            seat.watches_write = wants_write;
            let data = epoll::EventData::new_u64(number.into());
            // A socket that is in the set can be changed there.
            let _ = epoll::modify(set, &client.socket, data, interest(wants_write));
        }
        *place = Some(seat);
    }
}

fn interest(write: bool) -> epoll::EventFlags {
    let read = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    if write { read | epoll::EventFlags::OUT } else { read }
}
