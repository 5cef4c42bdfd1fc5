//! The socket, served as the tool serves it: by one thread, one client at a time, and one accepted
//! for each report of the kernel, however many wait.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::faults;
use crate::guest::{self as state, End, Guest};

const LISTENER: u64 = u64::MAX;
const HEAD_BYTES: usize = 8;

/// Serves for ever.
pub(crate) fn serve(guest: &Arc<Guest>, listener: &UnixListener) {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&epoll, listener, epoll::EventData::new_u64(LISTENER), edge).expect("watched");
    let mut parked: HashMap<u64, UnixStream> = HashMap::new();
    loop {
        let mut reports = Vec::with_capacity(1);
        if epoll::wait(&epoll, spare_capacity(&mut reports), None).is_err() {
            continue;
        }
        for report in reports {
            let token = report.data.u64();
            let client = match token {
                LISTENER => listener.accept().ok().map(|(client, _)| client),
                token => parked.remove(&token),
            };
            let Some(client) = client else { continue };
            if faults::is("deaf") {
                std::mem::forget(client);
                continue;
            }
            if let Some(client) = one(guest, client) {
                let token = u64::try_from(client.as_raw_fd()).unwrap_or(0);
                let data = epoll::EventData::new_u64(token);
                // A client that was parked before is known already.
                let _ = epoll::add(&epoll, &client, data, epoll::EventFlags::IN);
                parked.insert(token, client);
            }
        }
    }
}

/// Serves one client until it closes or sends less than a head, and gives it back then.
fn one(guest: &Arc<Guest>, mut client: UnixStream) -> Option<UnixStream> {
    loop {
        let mut head = [0; HEAD_BYTES];
        match client.read(&mut head) {
            Ok(HEAD_BYTES) => {}
            Ok(0) | Err(_) => return None,
            Ok(_) => return Some(client),
        }
        let kind = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]);
        let length = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
        let mut payload = vec![0; usize::try_from(length).unwrap_or(0).min(4096)];
        // One that sends less than it said holds everybody up until it closes.
        client.read_exact(&mut payload).ok()?;
        faults::wait("slow-reply");
        if faults::is("eof") {
            return None;
        }
        let reply = answer(guest, kind, &payload);
        if faults::is("no-reply") {
            continue;
        }
        if !reply.is_empty() && client.write_all(&reply).is_err() && faults::dies_of_sigpipe() {
            die(rustix::process::Signal::KILL);
        }
    }
}

fn die(signal: rustix::process::Signal) {
    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
}

fn answer(guest: &Arc<Guest>, kind: u32, payload: &[u8]) -> Vec<u8> {
    let vcpus = guest.vcpus.load(Ordering::Acquire);
    match (kind, payload) {
        (1, &[a, b, c, d]) if guest.has_balloon() => {
            let mib = i64::from(i32::from_ne_bytes([a, b, c, d]));
            let now = guest.inflated_mib.load(Ordering::Acquire);
            guest.inflated_mib.store((now + mib).max(0), Ordering::Release);
        }
        (2, payload) if payload.len() == 12 && payload[0] & 4 != 0 => {
            guest.keys.lock().expect("nobody panics").push(payload[8]);
            if payload[8] == b'b' && !guest.paused.load(Ordering::Acquire) {
                guest.end(End::Reset);
            }
        }
        (3, []) if guest.has_balloon() && !faults::is("no-driver") => return stats(guest),
        // Before there are processors neither does anything useful.
        (4, []) if vcpus == state::ALL => {
            while guest.writing.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(5));
            }
            guest.paused.store(true, Ordering::Release);
        }
        (4, []) if vcpus == state::SOME => die(rustix::process::Signal::SEGV),
        (5, []) => guest.paused.store(false, Ordering::Release),
        (6, []) => {
            let heard = vcpus == state::ALL
                && !guest.writing.load(Ordering::Acquire)
                && !faults::is("ignore-stop");
            if heard && !guest.paused.load(Ordering::Acquire) {
                guest.end(End::Reset);
            }
        }
        (7, []) => return std::process::id().to_ne_bytes().to_vec(),
        (8, []) => return i32::from(guest.paused.load(Ordering::Acquire)).to_ne_bytes().to_vec(),
        _ => {}
    }
    Vec::new()
}

/// The balloon's figures: the guest answers, and a paused or hung one holds this thread up for good.
fn stats(guest: &Arc<Guest>) -> Vec<u8> {
    while guest.paused.load(Ordering::Acquire) || faults::is("hung") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let inflated = guest.inflated_mib.load(Ordering::Acquire).unsigned_abs();
    let mib = guest.options.number("mem", 64).saturating_sub(inflated);
    let total = mib << 20;
    let known: [(u16, u64); 4] = [(4, total / 2), (5, total), (2, 3), (3, 7)];
    let unused = std::iter::repeat_n((0_u16, 0_u64), 6);
    let entry = |(tag, value): (u16, u64)| {
        let mut bytes = tag.to_ne_bytes().to_vec();
        bytes.extend(value.to_ne_bytes());
        bytes
    };
    known.into_iter().chain(unused).flat_map(entry).collect()
}
