//! The right to one delivery, on the worker's own clock. It never trusts an unconfirmed extension.

use std::time::Duration;

use crate::leadership::Moment;

use super::Ask;

/// Longest part of the work lease that is left unused at its end.
const MARGIN_MAX: Duration = Duration::from_secs(1);
/// Longest and shortest time for which work is asked for at once.
const ASKED_FOR_MAX: Duration = Duration::from_secs(30);
const ASKED_FOR_MIN: Duration = Duration::from_millis(250);

/// How long a request for work may wait at the broker, and how long one inbox is named in requests,
/// where the work lease is `lease`: an eighth of it, from 250 ms to 30 s.
///
/// A delivery does not tell when it was handed out, and what comes back of a worker's own messages
/// does not either: a delivery comes from the server that leads the consumer, and may have been held
/// up for seconds between that one and the worker's. What it tells is the inbox that it came in by.
/// Its lease counts from the moment at which that inbox was opened ([`Lease::new`]): nobody can have
/// handed it out before. So inboxes are replaced often enough that most of a lease is left.
#[must_use]
pub fn asked_for(lease: Duration) -> Duration {
    (lease / 8).clamp(ASKED_FOR_MIN, ASKED_FOR_MAX)
}

/// Until when a delivery is this worker's, and when to ask the broker for more time.
///
/// The broker counts the lease from the moment it handed the message out, or from the last progress
/// ack it took. Both are later than what this type counts from: a moment before which the broker
/// cannot have handed it out, and the sending of the progress ack that it confirmed.
///
/// Of several servers, only the one that leads the consumer counts so. One that takes its place knows when the
/// message was stored, and those progress acks that reached a majority; a leader that is cut off
/// confirms others, too. So where a second run must not begin ([`Lease::backed`]), time counts
/// twice, and the lease holds while both last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    length: Duration,
    /// Until when the server that handed it out leaves it alone.
    deadline: Moment,
    /// Until when any other does; `None`: nobody asks.
    backed_until: Option<Moment>,
    progress_due: Moment,
    /// Progress acks that wait for their confirmation: the last two.
    sent: [Option<(Ask, Moment)>; 2],
    /// Confirmed ones that wait for a witness: the oldest and the newest.
    confirmed: [Option<Confirmed>; 2],
}

/// A progress ack that the broker confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Confirmed {
    sent: Moment,
    at: Moment,
}

impl Lease {
    /// A lease of `length` on a message that was handed out at `handed_out` or later: when the inbox
    /// that it came in by was opened ([`asked_for`]).
    #[must_use]
    pub fn new(handed_out: Moment, length: Duration) -> Self {
        Self {
            length,
            deadline: handed_out.after(trusted(length)),
            backed_until: None,
            progress_due: handed_out.after(length / 3),
            sent: [None; 2],
            confirmed: [None; 2],
        }
    }

    /// The same, to hold against a change of leaders among several servers, too, of a message that was
    /// stored at `stored` or later.
    #[must_use]
    pub fn backed(self, stored: Moment) -> Self {
        Self {
            backed_until: Some(stored.after(trusted(self.length))),
            progress_due: self.progress_due.min(stored.after(self.length / 3)),
            ..self
        }
    }

    /// The same, of a message that this worker has already under the lease `before`. The handing out of it
    /// took its place in what the majority knows; that this is told anew takes no longer than an answer.
    #[must_use]
    pub fn following(self, before: &Self) -> Self {
        Self {
            backed_until: self.backed_until.max(before.backed_until),
            ..self
        }
    }

    /// The same, counted from `now`.
    #[cfg(feature = "planted")]
    pub(super) fn from_arrival(self, now: Moment) -> Self {
        Self::new(now, self.length)
    }

    /// The first moment at which the delivery may be somebody else's.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.backed_until
            .map_or(self.deadline, |until| until.min(self.deadline))
    }

    /// Whether the delivery is still this worker's for sure.
    #[must_use]
    pub fn holds(&self, now: Moment) -> bool {
        now < self.deadline()
    }

    /// Whether the server that handed it out leaves it alone. If it does and the lease does not hold,
    /// a progress ack and a witness may still make it hold.
    #[must_use]
    pub fn may_be_backed(&self, now: Moment) -> bool {
        now < self.deadline
    }

    /// Whether to wait for a witness before the handler is called: a third of the lease is not left.
    #[must_use]
    pub fn needs_witness(&self, now: Moment) -> bool {
        self.backed_until
            .is_some_and(|until| now.after(self.length / 3) > until)
    }

    /// When the next progress ack is due.
    #[must_use]
    pub const fn progress_due(&self) -> Moment {
        self.progress_due
    }

    /// A progress ack is on its way; the next one is due a third of the lease later.
    pub fn progress_sent(&mut self, ask: Ask, now: Moment) {
        self.sent = [Some((ask, now)), self.sent[0]];
        self.progress_due = now.after(self.length / 3);
        if planted!(LeaseByHope) {
            self.deadline = now.after(trusted(self.length));
        }
    }

    /// The broker confirmed a progress ack. Returns whether a witness is needed: a write to a replicated
    /// stream that is sent from now on.
    ///
    /// A confirmation that arrives after the deadline extends nothing: the broker confirms stale
    /// ones too, and another worker may hold the message.
    #[must_use]
    pub fn progress_confirmed(&mut self, ask: Ask, now: Moment) -> bool {
        let known = self.sent.iter().flatten();
        let mut sent = known.filter(|(known, _)| *known == ask).map(|(_, at)| *at);
        let Some(sent) = sent.next_back() else {
            return false;
        };
        if !(self.may_be_backed(now) || planted!(LateConfirmationCounts)) {
            return false;
        }
        self.deadline = self.deadline.max(sent.after(trusted(self.length)));
        if self.backed_until.is_none() {
            return false;
        }
        let place = usize::from(self.confirmed[0].is_some());
        self.confirmed[place] = Some(Confirmed { sent, at: now });
        true
    }

    /// A write that was sent at `sent` was taken by a majority of the servers: whoever confirmed a
    /// progress ack before was not cut off from them.
    pub fn witnessed(&mut self, sent: Moment, now: Moment) {
        if !self.may_be_backed(now) {
            return;
        }
        for place in &mut self.confirmed {
            let Some(confirmed) = place.take_if(|confirmed| confirmed.at <= sent) else {
                continue;
            };
            let until = confirmed.sent.after(trusted(self.length));
            self.backed_until = self.backed_until.map(|before| before.max(until));
        }
        self.confirmed.sort_unstable_by_key(Option::is_none);
    }

    /// Ends it at once: another worker is known to hold the message.
    pub fn end(&mut self, now: Moment) {
        self.deadline = self.deadline.min(now);
    }
}

/// The part of a lease that is relied upon: less an eighth, at most [`MARGIN_MAX`], for clocks that
/// run at other rates and for checks that come late.
fn trusted(length: Duration) -> Duration {
    length - (length / 8).min(MARGIN_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Ask, Lease, asked_for};
    use crate::leadership::Moment;

    const LEASE: Duration = Duration::from_secs(30);

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    /// An inbox is asked into for one part of the lease, and the last request waits for another.
    #[test]
    fn what_was_asked_for_last_leaves_most_of_the_lease() {
        for (lease, part) in [(1_000, 250), (4_000, 500), (30_000, 3_750)] {
            let length = Duration::from_millis(lease);
            assert_eq!(asked_for(length), Duration::from_millis(part));
            let arrives = at(2 * part);
            assert!(Lease::new(at(0), length).holds(arrives));
        }
        assert_eq!(
            asked_for(Duration::from_secs(3_600)),
            Duration::from_secs(30)
        );
    }

    #[test]
    fn a_confirmed_progress_ack_extends_from_its_sending() {
        let mut lease = Lease::new(at(0), LEASE);
        assert_eq!(lease.progress_due(), at(10_000));
        lease.progress_sent(Ask(1), at(10_000));
        assert_eq!(
            lease.deadline(),
            at(29_000),
            "not extended before the answer"
        );
        assert!(!lease.progress_confirmed(Ask(1), at(10_900)));
        assert_eq!(lease.deadline(), at(39_000));
        assert_eq!(lease.progress_due(), at(20_000));
    }

    #[test]
    fn a_confirmation_after_the_deadline_extends_nothing() {
        let mut lease = Lease::new(at(0), LEASE);
        lease.progress_sent(Ask(1), at(28_000));
        assert!(!lease.progress_confirmed(Ask(1), at(29_000)));
        assert!(!lease.holds(at(29_000)));
    }

    #[test]
    fn an_eighth_of_a_short_lease_and_a_second_of_a_long_one_are_left_unused() {
        for (length, trusted) in [(800, 700), (4_000, 3_500), (8_000, 7_000), (60_000, 59_000)] {
            let length = Duration::from_millis(length);
            let lease = Lease::new(at(5), length);
            assert_eq!(lease.deadline(), at(5 + trusted), "{length:?}");
            assert_eq!(lease.progress_due(), at(5).after(length / 3));
        }
    }

    #[test]
    fn an_ended_lease_is_neither_extended_nor_ended_later() {
        let mut lease = Lease::new(at(0), LEASE);
        lease.progress_sent(Ask(1), at(10_000));
        lease.end(at(12_000));
        assert!(lease.holds(at(11_999)) && !lease.holds(at(12_000)));
        assert!(!lease.progress_confirmed(Ask(1), at(12_000)));
        lease.end(at(13_000));
        assert_eq!(lease.deadline(), at(12_000));
    }

    #[test]
    fn a_confirmation_of_what_was_not_asked_extends_nothing() {
        let mut lease = Lease::new(at(0), LEASE);
        for (ask, sent) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
            lease.progress_sent(Ask(ask), at(sent));
        }
        for (ask, deadline) in [
            (4, 29_000),
            (1, 29_000),
            (2, 31_000),
            (3, 32_000),
            (2, 32_000),
        ] {
            assert!(!lease.progress_confirmed(Ask(ask), at(4_000)));
            assert_eq!(
                lease.deadline(),
                at(deadline),
                "the last two are known, and not {ask}"
            );
        }
    }

    #[test]
    fn a_delivery_that_follows_is_backed_for_as_long_as_the_one_before() {
        let backed = |stored| Lease::new(at(40_000), LEASE).backed(at(stored));
        assert_eq!(backed(0).following(&backed(20_000)).deadline(), at(49_000));
        assert_eq!(backed(20_000).following(&backed(0)).deadline(), at(49_000));
    }

    #[test]
    fn a_backed_lease_counts_from_when_the_message_was_stored() {
        let lease = Lease::new(at(20_000), LEASE).backed(at(12_000));
        assert_eq!(lease.deadline(), at(41_000));
        assert_eq!(lease.progress_due(), at(22_000));
        assert!(!lease.needs_witness(at(31_000)));
        assert!(lease.needs_witness(at(31_001)));
        let young = Lease::new(at(20_000), LEASE).backed(at(20_500));
        assert_eq!(young.deadline(), at(49_000));
    }

    #[test]
    fn a_confirmation_counts_once_a_later_write_was_taken_by_a_majority() {
        let mut lease = Lease::new(at(20_000), LEASE).backed(at(0));
        assert_eq!(lease.deadline(), at(29_000));
        lease.progress_sent(Ask(1), at(20_000));
        assert!(lease.progress_confirmed(Ask(1), at(20_010)));
        lease.witnessed(at(20_009), at(20_020));
        assert_eq!(lease.deadline(), at(29_000), "it was sent before");
        lease.witnessed(at(20_010), at(20_020));
        assert_eq!(lease.deadline(), at(49_000));
    }

    #[test]
    fn what_is_backed_no_more_may_be_so_again_while_its_server_leaves_it_alone() {
        let mut lease = Lease::new(at(40_000), LEASE).backed(at(0));
        assert!(!lease.holds(at(40_000)));
        assert!(lease.may_be_backed(at(40_000)));
        lease.progress_sent(Ask(1), at(40_000));
        assert!(lease.progress_confirmed(Ask(1), at(40_010)));
        lease.witnessed(at(40_020), at(40_030));
        assert_eq!(lease.deadline(), at(69_000));
        lease.end(at(50_000));
        lease.progress_sent(Ask(2), at(49_000));
        assert!(!lease.progress_confirmed(Ask(2), at(50_000)));
        lease.witnessed(at(50_001), at(50_002));
        assert!(!lease.holds(at(50_000)));
    }

    #[test]
    fn a_write_on_its_way_is_witness_for_what_was_confirmed_before_it() {
        let mut lease = Lease::new(at(0), LEASE).backed(at(0));
        for (ask, sent) in [(1, 10_000), (2, 12_000), (3, 14_000)] {
            lease.progress_sent(Ask(ask), at(sent));
            assert!(lease.progress_confirmed(Ask(ask), at(sent + 10)));
        }
        lease.witnessed(at(11_000), at(15_000));
        assert_eq!(lease.deadline(), at(39_000));
        lease.witnessed(at(15_000), at(15_010));
        assert_eq!(lease.deadline(), at(43_000));
    }

    proptest! {
        /// The broker's own lease, counted from a hand-out that is never before ours and from the
        /// progress acks as it took them, outlasts the local one whatever answers are lost.
        #[test]
        fn the_brokers_lease_outlasts_the_local_one(
            length in 1_000_u64..60_000,
            late in 0_u64..500,
            steps in prop::collection::vec((1_u64..20_000, 0_u64..2_000, any::<bool>()), 0..20),
        ) {
            let mut lease = Lease::new(at(0), Duration::from_millis(length));
            let (mut now, mut broker_until) = (0, late + length);
            for (ask, (wait, trip, answered)) in (0..).zip(steps) {
                now += wait;
                lease.progress_sent(Ask(ask), at(now));
                let taken = now + trip / 2;
                now += trip;
                if taken < broker_until {
                    broker_until = taken + length;
                    if answered {
                        prop_assert!(!lease.progress_confirmed(Ask(ask), at(now)));
                    }
                }
                prop_assert!(lease.deadline() < at(broker_until));
            }
        }

        /// A majority that never hears of some progress acks, though the server that handed the
        /// message out confirms them: whoever comes to lead it waits for longer than this worker.
        #[test]
        fn the_majoritys_lease_outlasts_a_backed_one(
            length in 1_000_u64..60_000,
            age in 0_u64..120_000,
            steps in prop::collection::vec(
                (1_u64..20_000, 0_u64..2_000, any::<bool>(), any::<bool>()), 0..20,
            ),
        ) {
            let length_of = Duration::from_millis(length);
            let mut lease = Lease::new(at(age), length_of).backed(at(0));
            let (mut now, mut majority_until, mut is_cut_off) = (age, length, false);
            for (ask, (wait, trip, is_reached, writes)) in (0..).zip(steps) {
                now += wait;
                is_cut_off |= !is_reached;
                let (sent, taken) = (now, now + trip / 2);
                lease.progress_sent(Ask(ask), at(sent));
                now += trip;
                let wants = lease.progress_confirmed(Ask(ask), at(now));
                if !is_cut_off {
                    majority_until = majority_until.max(taken + length);
                    // Its write is sent now, and taken while nothing is cut off.
                    if writes && wants {
                        lease.witnessed(at(now), at(now));
                    }
                }
                prop_assert!(lease.deadline() < at(majority_until));
            }
        }
    }
}
