//! Keepalive as the client does it when asked to: pings into silence, and an end to patience.

use std::time::{Duration, Instant};

use virt_wire::{Header, keepalive};

/// When the next ping is due.
#[derive(Debug)]
pub(crate) struct Keepalive {
    interval: Duration,
    count: u32,
    pings_left: u32,
    next: Instant,
}

#[derive(Debug)]
pub(crate) enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Keepalive {
    /// Nothing for an interval of 0.
    pub(crate) fn new(interval_s: u32, count: u32) -> Option<Self> {
        if interval_s == 0 {
            return None;
        }
        let interval = Duration::from_secs(interval_s.into());
        Some(Self { interval, count, pings_left: count, next: Instant::now() + interval })
    }

    pub(crate) fn heard(&mut self) {
        self.pings_left = self.count;
        self.next = Instant::now() + self.interval;
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.next
    }

    /// What is to be done now; a ping is counted as sent.
    pub(crate) fn due(&mut self) -> Due {
        let now = Instant::now();
        if now < self.next {
            return Due::Nothing;
        }
        if self.pings_left == 0 {
            return Due::Dead;
        }
        self.pings_left -= 1;
        self.next = now + self.interval;
        Due::Ping
    }
}

pub(crate) fn ping() -> Vec<u8> {
    message(keepalive::PING)
}

pub(crate) fn pong() -> Vec<u8> {
    message(keepalive::PONG)
}

fn message(procedure: u32) -> Vec<u8> {
    let header = Header::event(keepalive::PROGRAM, keepalive::VERSION, procedure);
    Header::finish(header.start()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_pinged_and_then_given_up() {
        let mut keepalive = Keepalive::new(1, 2).expect("on");
        assert!(matches!(keepalive.due(), Due::Nothing));
        let pass = |keepalive: &mut Keepalive| {
            keepalive.next = Instant::now();
            keepalive.due()
        };
        assert!(matches!(pass(&mut keepalive), Due::Ping));
        assert!(matches!(pass(&mut keepalive), Due::Ping));
        keepalive.heard();
        assert!(matches!(pass(&mut keepalive), Due::Ping));
        assert!(matches!(pass(&mut keepalive), Due::Ping));
        assert!(matches!(pass(&mut keepalive), Due::Dead));
        assert!(Keepalive::new(0, 5).is_none());
    }
}
