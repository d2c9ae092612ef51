//! The right to one delivery, on the worker's own clock. It never trusts an unconfirmed extension.

use std::time::Duration;

use crate::leadership::Moment;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    length: Duration,
    deadline: Moment,
    progress_due: Moment,
}

impl Lease {
    /// A lease of `length` on a message that was handed out at `handed_out` or later: when the inbox
    /// that it came in by was opened ([`asked_for`]).
    #[must_use]
    pub fn new(handed_out: Moment, length: Duration) -> Self {
        Self {
            length,
            deadline: handed_out.after(trusted(length)),
            progress_due: handed_out.after(length / 3),
        }
    }

    /// The same, counted from `now`.
    #[cfg(feature = "planted")]
    pub(super) fn from_arrival(self, now: Moment) -> Self {
        Self::new(now, self.length)
    }

    /// The first moment at which the delivery may be somebody else's.
    #[must_use]
    pub const fn deadline(&self) -> Moment {
        self.deadline
    }

    /// Whether the delivery is still this worker's for sure.
    #[must_use]
    pub fn holds(&self, now: Moment) -> bool {
        now < self.deadline
    }

    /// When the next progress ack is due.
    #[must_use]
    pub const fn progress_due(&self) -> Moment {
        self.progress_due
    }

    /// A progress ack is on its way; the next one is due a third of the lease later.
    pub fn progress_sent(&mut self, now: Moment) {
        self.progress_due = now.after(self.length / 3);
        if planted!(LeaseByHope) {
            self.deadline = now.after(trusted(self.length));
        }
    }

    /// The broker confirmed the progress ack that was sent at `sent`.
    ///
    /// A confirmation that arrives after the deadline extends nothing: the broker confirms stale
    /// ones too, and another worker may hold the message.
    pub fn progress_confirmed(&mut self, sent: Moment, now: Moment) {
        if self.holds(now) || planted!(LateConfirmationCounts) {
            self.deadline = self.deadline.max(sent.after(trusted(self.length)));
        }
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

    use super::{Lease, asked_for};
    use crate::leadership::Moment;

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
        let mut lease = Lease::new(at(0), Duration::from_secs(30));
        assert_eq!(lease.progress_due(), at(10_000));
        lease.progress_sent(at(10_000));
        assert_eq!(
            lease.deadline(),
            at(29_000),
            "not extended before the answer"
        );
        lease.progress_confirmed(at(10_000), at(10_900));
        assert_eq!(lease.deadline(), at(39_000));
        assert_eq!(lease.progress_due(), at(20_000));
    }

    #[test]
    fn a_confirmation_after_the_deadline_extends_nothing() {
        let mut lease = Lease::new(at(0), Duration::from_secs(30));
        lease.progress_sent(at(28_000));
        lease.progress_confirmed(at(28_000), at(29_000));
        assert!(!lease.holds(at(29_000)));
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
            for (wait, trip, answered) in steps {
                now += wait;
                lease.progress_sent(at(now));
                let (sent, taken) = (now, now + trip / 2);
                now += trip;
                if taken < broker_until {
                    broker_until = taken + length;
                    if answered {
                        lease.progress_confirmed(at(sent), at(now));
                    }
                }
                prop_assert!(lease.deadline() < at(broker_until));
            }
        }
    }
}
