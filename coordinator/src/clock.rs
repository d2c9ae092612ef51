//! The only place of the coordinator that asks for the time.
//!
//! "Now" runs with the boot clock, which neither jumps nor stands still in a suspended host, and is
//! set by the broker's time, so that a due time means the same on every coordinator.

use std::time::Duration;

use election::{boot_now, wall_now};
use protocol::leadership::Moment;
use protocol::number::Epoch;
use protocol::time::Timestamp;

/// The time as the rules take it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// A point of the boot clock, and the time that it was then.
    base: (Moment, Timestamp),
    /// The newest barrier that was asked for, and since when it may be stored; without a time once it
    /// was heard of.
    asked: Option<(Epoch, Option<Moment>)>,
}

impl Clock {
    /// Starts from the host's clock, until the broker's is known.
    pub(crate) fn start() -> Self {
        Self {
            base: (boot_now(), wall_now()),
            asked: None,
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.base.1.after(boot_now().since(self.base.0))
    }

    /// The broker is asked to store the barrier of this epoch.
    pub(crate) fn asks(&mut self, epoch: Epoch) {
        if self.asked.is_none_or(|(known, _)| known != epoch) {
            self.asked = Some((epoch, Some(boot_now())));
        }
    }

    /// The barrier of this epoch is there, and was stored at `broker` by the broker's time. Returns how
    /// far off this clock was for certain; it is set by so much.
    ///
    /// Only the first time: a barrier that is read again says nothing of now.
    pub(crate) fn hears(&mut self, epoch: Epoch, broker: Timestamp) -> Duration {
        let asked = self.asked.as_mut().filter(|(asked, _)| *asked == epoch);
        match asked.and_then(|(_, since)| since.take()) {
            Some(since) => self.set(since, boot_now(), broker),
            None => Duration::ZERO,
        }
    }

    /// It was `broker` at some moment between these two.
    fn set(&mut self, from: Moment, to: Moment, broker: Timestamp) -> Duration {
        let ours = self.base.1.after(to.since(self.base.0));
        let (least, most) = (broker, broker.after(to.since(from)));
        self.base = (to, ours.clamp(least, most));
        least.since(ours).max(ours.since(most))
    }

    /// How long until `at`.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        at.since(self.now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::leadership::Moment;
    use protocol::number::Epoch;
    use protocol::time::Timestamp;

    use super::Clock;

    const fn time(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(0).after(Duration::from_secs(seconds))
    }

    /// A clock that says 1000 s at second 0.
    fn clock() -> Clock {
        Clock {
            base: (at(0), time(1_000)),
            asked: None,
        }
    }

    #[test]
    fn only_what_is_certain_moves_it() {
        let cases = [
            // The broker stored it while this clock said 1010 to 1013: that may be.
            (1_011, 0, 1_013),
            (1_010, 0, 1_013),
            (1_013, 0, 1_013),
            // It was 1016 at least when this clock said 1013.
            (1_016, 3, 1_016),
            // It was 1008 at most when this clock said 1013.
            (1_005, 5, 1_008),
        ];
        for (broker, off, then) in cases {
            let mut clock = clock();
            let was_off = clock.set(at(10), at(13), time(broker));
            let set = (was_off, clock.base);
            assert_eq!(set, (Duration::from_secs(off), (at(13), time(then))));
        }
    }

    #[test]
    fn a_barrier_that_is_read_again_says_nothing_of_now() {
        let mut clock = Clock::start();
        let epoch = Epoch::new(3);
        clock.asks(epoch);
        let late = Timestamp::from_millis(clock.now().as_millis() + 60_000);
        assert!(clock.hears(Epoch::new(2), late).is_zero(), "another's");
        assert!(clock.hears(epoch, late) > Duration::from_secs(50));
        assert!(clock.now() >= late);
        // An idle leader that follows anew begins with the last record: its own, of long ago.
        clock.asks(epoch);
        let again = clock.hears(epoch, Timestamp::from_millis(0));
        assert!(again.is_zero() && clock.now() >= late);
    }
}
