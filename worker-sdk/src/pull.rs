//! How many messages of one queue are asked for: never more than there are free slots. Pure; the
//! engine sends the requests.
//!
//! The broker shows a message under its own subject, so nobody can tell which request it answers.
//! What is counted is therefore what is owed in total, and a count that went wrong heals: by the
//! end of the requests, by missing heartbeats, by a new connection.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::leadership::Moment;

/// How often the broker says that a request still waits, at the least.
const HEARTBEAT_MAX: Duration = Duration::from_secs(2);
/// Silence after which the requests count as gone.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// How long after its end a request's last word may come.
pub(crate) const SLACK: Duration = Duration::from_secs(2);
/// The first pause after the broker took no request; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Most messages that one request asks for.
const BATCH_MAX: u32 = 2_000;

/// The requests of one queue.
#[derive(Debug)]
pub(crate) struct Pulls {
    slots: u32,
    owed: u32,
    live: VecDeque<Pull>,
    last_token: u64,
    heard: Moment,
    paused_until: Moment,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
struct Pull {
    token: u64,
    batch: u32,
    ends: Moment,
}

/// A request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) token: u64,
    pub(crate) batch: u32,
    /// How long it waits at the broker.
    pub(crate) expires: Duration,
    /// How often the broker says that it still waits.
    pub(crate) heartbeat: Duration,
}

impl Pulls {
    pub(crate) const fn new(slots: u32, now: Moment) -> Self {
        Self {
            slots,
            owed: 0,
            live: VecDeque::new(),
            last_token: 0,
            heard: now,
            paused_until: now,
            failures: 0,
        }
    }

    /// The request that is due while `busy` slots are taken, and that waits for `expires`. It asks again
    /// once half of what fits has come: few requests under load, one at a time when idle.
    pub(crate) fn next(&mut self, busy: u32, expires: Duration, now: Moment) -> Option<Request> {
        let free = self.slots.saturating_sub(busy);
        let due = free > self.owed && self.owed.saturating_mul(2) <= free;
        if !due || now < self.paused_until {
            return None;
        }
        if self.live.is_empty() {
            self.heard = now;
        }
        let batch = (free - self.owed).min(BATCH_MAX);
        self.last_token += 1;
        self.owed += batch;
        self.live.push_back(Pull {
            token: self.last_token,
            batch,
            ends: now.after(expires + SLACK),
        });
        Some(Request {
            token: self.last_token,
            batch,
            expires,
            // The broker takes no longer one.
            heartbeat: HEARTBEAT_MAX.min(expires / 2),
        })
    }

    /// A message came.
    pub(crate) fn received(&mut self, now: Moment) {
        self.owed = self.owed.saturating_sub(1);
        self.alive(now);
    }

    /// The broker still holds requests.
    pub(crate) fn alive(&mut self, now: Moment) {
        self.heard = now;
        self.failures = 0;
    }

    /// A request ended with so many messages missing; `None` where the broker did not say.
    pub(crate) fn ended(&mut self, token: u64, missing: Option<u32>, now: Moment) {
        let Some(at) = self.live.iter().position(|pull| pull.token == token) else {
            return;
        };
        let pull = self.live.remove(at).expect("its place was just found");
        self.owed = self.owed.saturating_sub(missing.unwrap_or(pull.batch));
        self.heard = now;
        self.forget_if_none_live();
    }

    /// The broker took no request. The next one waits, longer each time; the pause is returned.
    pub(crate) fn refused(&mut self, token: u64, now: Moment) -> Duration {
        self.ended(token, None, now);
        let pause = PAUSE
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.paused_until = now.after(pause);
        pause
    }

    /// Drops requests that must be over. `true`: the broker went silent about all of them.
    pub(crate) fn look(&mut self, now: Moment) -> bool {
        while self.live.front().is_some_and(|pull| now >= pull.ends) {
            self.live.pop_front();
        }
        self.forget_if_none_live();
        let silent = self.owed > 0 && now.since(self.heard) >= SILENT_MAX;
        if silent {
            self.reset();
        }
        silent
    }

    /// Nothing is owed any more: the connection changed.
    pub(crate) fn reset(&mut self) {
        self.live.clear();
        self.owed = 0;
    }

    fn forget_if_none_live(&mut self) {
        if self.live.is_empty() {
            self.owed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use protocol::leadership::Moment;

    use super::{Pulls, Request};

    const EXPIRES: Duration = Duration::from_secs(30);

    fn request(token: u64, batch: u32) -> Request {
        let heartbeat = Duration::from_secs(2);
        Request {
            token,
            batch,
            expires: EXPIRES,
            heartbeat,
        }
    }

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn it_asks_for_what_fits_and_again_when_half_has_come() {
        let mut pulls = Pulls::new(8, at(0));
        assert_eq!(pulls.next(0, EXPIRES, at(0)), Some(request(1, 8)));
        assert_eq!(pulls.next(0, EXPIRES, at(0)), None);
        for _ in 0..3 {
            pulls.received(at(1));
        }
        assert_eq!(pulls.next(0, EXPIRES, at(1)), None, "5 of 8 are still owed");
        pulls.received(at(1));
        assert_eq!(pulls.next(0, EXPIRES, at(1)), Some(request(2, 4)));
        assert_eq!(pulls.next(8, EXPIRES, at(1)), None, "all slots are busy");
    }

    #[test]
    fn the_broker_speaks_twice_while_a_request_waits() {
        let mut pulls = Pulls::new(1, at(0));
        let expires = Duration::from_millis(500);
        let request = pulls.next(0, expires, at(0)).expect("a request is due");
        assert_eq!(request.heartbeat, Duration::from_millis(250));
        assert!(!pulls.look(at(2_499)));
        assert_eq!(
            pulls.next(0, expires, at(2_499)),
            None,
            "it may be answered yet"
        );
        assert!(!pulls.look(at(2_500)));
        assert!(pulls.next(0, expires, at(2_500)).is_some());
    }

    #[test]
    fn one_free_slot_is_asked_for() {
        let mut pulls = Pulls::new(100, at(0));
        assert_eq!(pulls.next(99, EXPIRES, at(0)), Some(request(1, 1)));
    }

    #[test]
    fn a_request_that_ends_early_gives_back_what_is_missing() {
        let mut pulls = Pulls::new(4, at(0));
        assert!(pulls.next(0, EXPIRES, at(0)).is_some());
        pulls.received(at(1));
        pulls.ended(1, Some(3), at(30_000));
        let next = pulls.next(1, EXPIRES, at(30_000));
        assert_eq!(next, Some(request(2, 3)));
    }

    #[test]
    fn a_refusal_pauses_longer_each_time_until_the_broker_is_heard() {
        let mut pulls = Pulls::new(1, at(0));
        let pause = |pulls: &mut Pulls, now| {
            let request = pulls.next(0, EXPIRES, at(now)).expect("a request is due");
            pulls.refused(request.token, at(now)).as_millis()
        };
        assert_eq!(pause(&mut pulls, 0), 100);
        assert_eq!(pulls.next(0, EXPIRES, at(99)), None);
        assert_eq!(pause(&mut pulls, 100), 200);
        assert_eq!(pause(&mut pulls, 300), 400);
        pulls.alive(at(400));
        assert_eq!(pause(&mut pulls, 700), 100);
    }

    #[test]
    fn silence_makes_it_ask_anew() {
        let mut pulls = Pulls::new(1, at(0));
        assert!(pulls.next(0, EXPIRES, at(0)).is_some());
        assert!(!pulls.look(at(4_999)));
        assert!(pulls.look(at(5_000)));
        assert!(pulls.next(0, EXPIRES, at(5_000)).is_some());
    }

    proptest! {
        /// As long as the broker tells all, what is owed and what runs never exceed the slots.
        #[test]
        fn never_more_than_fits(
            slots in 1_u32..50,
            steps in prop::collection::vec((0_u8..3, any::<prop::sample::Index>()), 1..300),
        ) {
            let mut pulls = Pulls::new(slots, at(0));
            let (mut busy, mut broker) = (0_u32, Vec::<(u64, u32)>::new());
            for (step, (what, index)) in steps.into_iter().enumerate() {
                let now = at(step as u64 * 10);
                if let Some(request) = pulls.next(busy, EXPIRES, now) {
                    broker.push((request.token, request.batch));
                }
                let owed: u32 = broker.iter().map(|(_, left)| left).sum();
                prop_assert!(owed + busy <= slots, "{owed} owed beside {busy} busy of {slots}");
                match what {
                    0 if busy > 0 => busy -= 1,
                    1 if !broker.is_empty() => {
                        let at = index.index(broker.len());
                        broker[at].1 -= 1;
                        busy += 1;
                        if broker[at].1 == 0 {
                            broker.remove(at);
                        }
                        pulls.received(now);
                    }
                    2 if !broker.is_empty() => {
                        let (token, left) = broker.remove(index.index(broker.len()));
                        pulls.ended(token, Some(left), now);
                    }
                    _ => {}
                }
            }
        }
    }
}
