//! Waiting a moment for the next call of a client that calls back to back.
//!
//! A call that needs nothing but memory is answered in a few microseconds; putting the loop to
//! sleep and waking it again takes longer than that, most of all in a virtual machine. So after
//! an answer the loop stays awake for as long as this client usually takes to ask again, provided
//! that is short and nobody else is calling. Whoever asks at leisure is never waited for.

use std::time::{Duration, Instant};

/// Limit: a client that takes longer between an answer and its next call is not waited for.
const GAP_MAX: Duration = Duration::from_micros(80);

/// What a client is taken to need until it has shown otherwise.
const GAP_AT_LEISURE: Duration = Duration::from_millis(1);

/// Between two looks at the socket; a look costs a system call.
const LOOK_EVERY: Duration = Duration::from_micros(4);

/// Limit: waits in a row before the loop looks after everybody else.
const ROUNDS_MAX: u32 = 16;

/// Calls that are not waited for after one wait in vain, doubled each time up to the second
/// number: a client that shares our processor cannot even begin to ask while we wait for it.
const PENALTY_MIN: u32 = 16;
const PENALTY_MAX: u32 = 4096;

/// How fast the client that called last asks again.
pub(crate) struct Pace {
    client: u64,
    /// From an answer to the next call, smoothed.
    gap: Duration,
    answered: Option<Instant>,
    /// Waits in a row that were not in vain.
    rounds: u32,
    /// Calls that are still not waited for.
    skip: u32,
    penalty: u32,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            client: 0,
            gap: GAP_AT_LEISURE,
            answered: None,
            rounds: 0,
            skip: 0,
            penalty: PENALTY_MIN,
        }
    }

    /// A call arrived from a client, by its number.
    pub(crate) fn heard(&mut self, client: u64, now: Instant) {
        let alone = std::mem::replace(&mut self.client, client) == client;
        let gap = self.answered.take().map(|answered| now.saturating_duration_since(answered));
        self.gap = match gap {
            Some(gap) if alone => (self.gap * 3 + gap.min(GAP_AT_LEISURE)) / 4,
            _ => GAP_AT_LEISURE,
        };
    }

    /// Everything is answered. Waits for the next call if that is likely to come at once;
    /// `look` says whether it is there. False when the loop should go on with others.
    pub(crate) fn wait(&mut self, clock: impl Fn() -> Instant, look: impl FnMut() -> bool) -> bool {
        let answered = clock();
        self.answered = Some(answered);
        if self.gap > GAP_MAX || self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            return false;
        }
        if self.rounds == ROUNDS_MAX {
            self.rounds = 0;
            self.penalty = PENALTY_MIN;
            return false;
        }
        let came = watch(&clock, self.gap, look);
        if came {
            self.rounds += 1;
        } else {
            self.rounds = 0;
            self.skip = self.penalty;
            self.penalty = (self.penalty * 2).min(PENALTY_MAX);
        }
        came
    }
}

/// Looks from half of `gap` until twice of it has passed.
fn watch(clock: impl Fn() -> Instant, gap: Duration, mut look: impl FnMut() -> bool) -> bool {
    let since = clock();
    let last_look = (gap * 2 + LOOK_EVERY).min(GAP_MAX);
    let mut next_look = gap / 2;
    loop {
        let waited = clock().saturating_duration_since(since);
        if waited >= next_look {
            if look() {
                return true;
            }
            if waited > last_look {
                return false;
            }
            next_look = waited + LOOK_EVERY;
        }
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A clock that goes on by a microsecond with each look at it.
    struct Clock {
        start: Instant,
        ticks: Cell<u64>,
    }

    impl Clock {
        fn new() -> Self {
            Self { start: Instant::now(), ticks: Cell::new(0) }
        }

        fn now(&self) -> Instant {
            self.ticks.set(self.ticks.get() + 1);
            self.start + Duration::from_micros(self.ticks.get())
        }

        /// Makes `calls` calls, each 20 microseconds after the answer.
        fn calls(&self, pace: &mut Pace, calls: usize) {
            for _ in 0..calls {
                pace.answered = Some(self.now());
                self.ticks.set(self.ticks.get() + 20);
                pace.heard(1, self.now());
            }
        }

        fn quick(&self) -> Pace {
            let mut pace = Pace::new();
            self.calls(&mut pace, 40);
            pace
        }
    }

    #[test]
    fn a_quick_client_is_waited_for() {
        let clock = Clock::new();
        let mut pace = clock.quick();
        let mut looks = 0;
        assert!(pace.wait(
            || clock.now(),
            || {
                looks += 1;
                looks == 3
            }
        ));
        assert_eq!(looks, 3);
    }

    #[test]
    fn a_client_at_leisure_is_not_waited_for() {
        let clock = Clock::new();
        let mut pace = Pace::new();
        clock.calls(&mut pace, 2);
        assert!(!pace.wait(|| clock.now(), || true));
        clock.calls(&mut pace, 40);
        clock.ticks.set(clock.ticks.get() + 5000);
        pace.heard(1, clock.now());
        assert!(!pace.wait(|| clock.now(), || true));
    }

    #[test]
    fn waiting_in_vain_is_short_and_makes_it_rarer() {
        let clock = Clock::new();
        let mut pace = clock.quick();
        let before = clock.ticks.get();
        assert!(!pace.wait(|| clock.now(), || false));
        assert!(clock.ticks.get() - before <= 80);
        let mut left_out = Vec::new();
        for _ in 0..3 {
            let skipped = (0..).take_while(|_| !pace.wait(|| clock.now(), || true)).count();
            left_out.push(skipped);
            assert!(!pace.wait(|| clock.now(), || false));
        }
        assert_eq!(left_out, [16, 32, 64]);
    }

    #[test]
    fn nobody_is_waited_for_while_two_call() {
        let clock = Clock::new();
        let mut pace = clock.quick();
        for client in [2, 1, 2] {
            pace.heard(client, clock.now());
            assert!(!pace.wait(|| clock.now(), || true));
        }
    }

    #[test]
    fn others_have_their_turn() {
        let clock = Clock::new();
        let mut pace = clock.quick();
        let rounds = (0..100).take_while(|_| pace.wait(|| clock.now(), || true)).count();
        assert_eq!(rounds, ROUNDS_MAX as usize);
        assert!(pace.wait(|| clock.now(), || true));
    }
}
