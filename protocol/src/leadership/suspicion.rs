//! Is the holder's process gone? Decided by its ping subject: a broker says "no responders" as soon
//! as the process that answered it has died; and by its beats, see [`Beats`]. Never a proof, so only
//! fenced elections act on it.

use std::collections::VecDeque;
use std::time::Duration;

use super::beats::{Beats, Look};
use super::moment::Moment;
use super::record::Incarnation;
use super::rules::Detection;

/// Pings that may be under way; older ones are forgotten.
const PINGS_MAX: usize = 64;

/// What came back for a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingAnswer {
    /// The holder's process answered.
    Alive,
    /// The broker knows nobody who listens there.
    NoResponders,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Unchanged,
    Confirmed,
    Withdrawn,
}

#[derive(Debug, Default)]
pub(super) struct Suspicion {
    target: Option<Incarnation>,
    /// The target answered on this connection: its silence means something.
    heard: bool,
    /// When the first unanswerable ping of an unbroken row was sent.
    silent_from: Option<Moment>,
    confirmed: Option<Moment>,
    next_ping: Moment,
    number: u64,
    sent: VecDeque<(u64, Moment)>,
    beats: Beats,
}

impl Suspicion {
    /// Since when the target is taken for dead.
    pub(super) const fn confirmed(&self) -> Option<Moment> {
        self.confirmed
    }

    /// Looks at `incarnation` from now on; forgets what was known of another one.
    pub(super) fn watch(&mut self, incarnation: &Incarnation, now: Moment) {
        if self.target.as_ref() != Some(incarnation) {
            self.forget();
            self.target = Some(incarnation.clone());
            self.next_ping = now;
        }
    }

    /// Forgets the target and all answers: the connection is another, or nobody holds the lease.
    pub(super) fn forget(&mut self) {
        self.target = None;
        self.heard = false;
        self.clear();
        self.sent.clear();
        self.beats = Beats::default();
    }

    /// The target renewed: whatever was silent, it writes.
    pub(super) fn renewed(&mut self, now: Moment) -> Verdict {
        self.beats.lives(now);
        self.clear()
    }

    /// Somebody beat; `None` if it was not the target.
    pub(super) fn beat(&mut self, now: Moment, from: &Incarnation) -> Option<Verdict> {
        if self.target.as_ref() != Some(from) {
            return None;
        }
        self.beats.heard(now);
        Some(self.clear())
    }

    /// Judges the beats that are missing. [`Look::Missing`]: ping now, and give the number that
    /// follows to [`probe`](Self::probe).
    pub(super) fn look(&mut self, now: Moment, rules: &Detection) -> (Look, Verdict) {
        let look = self.beats.look(now, rules);
        let verdict = match look {
            Look::Nothing | Look::Missing => Verdict::Unchanged,
            Look::Void => self.clear(),
            Look::Silent if self.confirmed.is_some() => Verdict::Unchanged,
            Look::Silent => {
                self.confirmed = Some(now);
                Verdict::Confirmed
            }
        };
        if look == Look::Missing {
            self.next_ping = now;
        }
        (look, verdict)
    }

    /// The number of a ping to ourselves, to be sent right after one to the target.
    pub(super) const fn probe(&mut self, now: Moment) -> u64 {
        self.number += 1;
        self.beats.probe(now, self.number);
        self.number
    }

    /// Whether this answers our ping to ourselves, and not one to the target.
    pub(super) fn take_echo(&mut self, now: Moment, number: u64, answer: PingAnswer) -> bool {
        self.beats.take_echo(now, number, answer)
    }

    fn clear(&mut self) -> Verdict {
        self.silent_from = None;
        match self.confirmed.take() {
            Some(_) => Verdict::Withdrawn,
            None => Verdict::Unchanged,
        }
    }

    /// When to look at the beats or to ping, if anybody is watched.
    pub(super) fn wake(&self, rules: &Detection) -> Option<Moment> {
        let ping = self.next_ping()?;
        Some(self.beats.wake(rules).map_or(ping, |look| look.min(ping)))
    }

    /// When the next ping is due, if anybody is watched.
    pub(super) fn next_ping(&self) -> Option<Moment> {
        self.target.as_ref().map(|_| self.next_ping)
    }

    /// Makes the next ping: its number and whom it asks.
    pub(super) fn ping(&mut self, now: Moment, every: Duration) -> Option<(u64, Incarnation)> {
        let target = self.target.clone()?;
        self.number += 1;
        self.next_ping = now.after(every);
        if self.sent.len() == PINGS_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((self.number, now));
        Some((self.number, target))
    }

    /// Takes an answer. `every` is the least distance of two silent pings; `quiet` says that the
    /// target has not been seen to write for so long that its silence counts even though it never
    /// answered on this connection.
    pub(super) fn answered(
        &mut self,
        now: Moment,
        (number, answer): (u64, PingAnswer),
        (every, quiet): (Duration, Quiet),
    ) -> Verdict {
        let Some(place) = self.sent.iter().position(|&(sent, _)| sent == number) else {
            return Verdict::Unchanged;
        };
        let (_, sent_at) = self.sent[place];
        self.sent.drain(..=place);
        match answer {
            PingAnswer::Alive => {
                self.heard = true;
                self.beats.lives(now);
                self.clear()
            }
            PingAnswer::NoResponders => {
                let first = *self.silent_from.get_or_insert(sent_at);
                let counts = self.heard || quiet == Quiet::Long;
                let twice = sent_at.since(first) >= every;
                if twice && counts && self.confirmed.is_none() {
                    self.confirmed = Some(now);
                    return Verdict::Confirmed;
                }
                Verdict::Unchanged
            }
        }
    }
}

/// How long the target has not been seen to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quiet {
    Long,
    Short,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Moment, PINGS_MAX, PingAnswer, Quiet, Suspicion, Verdict};

    const EVERY: Duration = Duration::from_millis(25);

    struct Bench {
        suspicion: Suspicion,
        now: Moment,
    }

    impl Bench {
        fn new() -> Self {
            let mut suspicion = Suspicion::default();
            suspicion.watch(&"A".parse().unwrap(), Moment::default());
            Self {
                suspicion,
                now: Moment::default(),
            }
        }

        fn ping(&mut self, answer: PingAnswer, quiet: Quiet) -> Verdict {
            let (number, _) = self.suspicion.ping(self.now, EVERY).unwrap();
            let verdict = self
                .suspicion
                .answered(self.now, (number, answer), (EVERY, quiet));
            self.now = self.now.after(EVERY);
            verdict
        }
    }

    #[test]
    fn two_silences_in_a_row_confirm_and_an_answer_withdraws() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.ping(PingAnswer::Alive, Quiet::Short),
            Verdict::Unchanged
        );
        assert_eq!(
            bench.ping(PingAnswer::NoResponders, Quiet::Short),
            Verdict::Unchanged
        );
        assert_eq!(
            bench.ping(PingAnswer::Alive, Quiet::Short),
            Verdict::Unchanged
        );
        assert_eq!(
            bench.ping(PingAnswer::NoResponders, Quiet::Short),
            Verdict::Unchanged
        );
        assert_eq!(
            bench.ping(PingAnswer::NoResponders, Quiet::Short),
            Verdict::Confirmed
        );
        assert_eq!(
            bench.ping(PingAnswer::Alive, Quiet::Short),
            Verdict::Withdrawn
        );
    }

    #[test]
    fn one_death_is_confirmed_once() {
        let mut bench = Bench::new();
        bench.ping(PingAnswer::Alive, Quiet::Short);
        bench.ping(PingAnswer::NoResponders, Quiet::Short);
        let verdict = bench.ping(PingAnswer::NoResponders, Quiet::Short);
        assert_eq!(verdict, Verdict::Confirmed);
        let since = bench.suspicion.confirmed();
        let verdict = bench.ping(PingAnswer::NoResponders, Quiet::Short);
        assert_eq!(
            (verdict, bench.suspicion.confirmed()),
            (Verdict::Unchanged, since)
        );
    }

    #[test]
    fn two_silences_closer_than_the_distance_are_one() {
        let mut bench = Bench::new();
        bench.ping(PingAnswer::Alive, Quiet::Short);
        for (millis, verdict) in [
            (0, Verdict::Unchanged),
            (24, Verdict::Unchanged),
            (25, Verdict::Confirmed),
        ] {
            let now = Moment::default().after(Duration::from_millis(100 + millis));
            let (number, _) = bench.suspicion.ping(now, EVERY).unwrap();
            let answer = (number, PingAnswer::NoResponders);
            let found = bench.suspicion.answered(now, answer, (EVERY, Quiet::Short));
            assert_eq!(found, verdict, "after {millis} ms");
        }
    }

    #[test]
    fn so_many_pings_may_be_under_way_and_older_ones_are_forgotten() {
        for (pings, oldest) in [(1, 1), (PINGS_MAX, 1), (PINGS_MAX + 1, 2)] {
            for number in [oldest - 1, oldest] {
                let mut bench = Bench::new();
                for _ in 0..pings {
                    bench.suspicion.ping(bench.now, EVERY).unwrap();
                }
                let alive = (number, PingAnswer::Alive);
                let found = (EVERY, Quiet::Short);
                bench.suspicion.answered(bench.now, alive, found);
                assert_eq!(
                    bench.suspicion.heard,
                    number == oldest,
                    "{number} of {pings}"
                );
            }
        }
    }

    #[test]
    fn the_silence_of_one_who_never_answered_counts_only_when_it_is_long() {
        let mut bench = Bench::new();
        for _ in 0..5 {
            assert_eq!(
                bench.ping(PingAnswer::NoResponders, Quiet::Short),
                Verdict::Unchanged
            );
        }
        assert_eq!(
            bench.ping(PingAnswer::NoResponders, Quiet::Long),
            Verdict::Confirmed
        );
    }

    #[test]
    fn a_renewal_and_another_target_start_the_row_again() {
        let mut bench = Bench::new();
        bench.ping(PingAnswer::Alive, Quiet::Short);
        bench.ping(PingAnswer::NoResponders, Quiet::Short);
        bench.suspicion.renewed(bench.now);
        assert_eq!(
            bench.ping(PingAnswer::NoResponders, Quiet::Short),
            Verdict::Unchanged
        );
        bench.suspicion.watch(&"B".parse().unwrap(), bench.now);
        assert_eq!(
            bench.ping(PingAnswer::NoResponders, Quiet::Short),
            Verdict::Unchanged
        );
        assert_eq!(
            bench.ping(PingAnswer::NoResponders, Quiet::Short),
            Verdict::Unchanged
        );
    }

    #[test]
    fn answers_to_forgotten_pings_say_nothing() {
        let mut bench = Bench::new();
        let (number, _) = bench.suspicion.ping(bench.now, EVERY).unwrap();
        bench.suspicion.forget();
        bench.suspicion.watch(&"A".parse().unwrap(), bench.now);
        let answer = (number, PingAnswer::NoResponders);
        let verdict = bench
            .suspicion
            .answered(bench.now, answer, (EVERY, Quiet::Long));
        assert_eq!(verdict, Verdict::Unchanged);
        assert_eq!(bench.suspicion.confirmed(), None);
    }
}
