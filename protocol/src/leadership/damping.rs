//! How often leadership may be taken from a holder whose lease has not run out: the first time at
//! once, then in growing intervals, so that a failing detector cannot make leadership flap.

use std::time::Duration;

use super::moment::Moment;

#[derive(Debug)]
pub(super) struct Damping {
    first: Duration,
    max: Duration,
    pause: Duration,
    last: Option<Moment>,
}

impl Damping {
    pub(super) const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            pause: first,
            last: None,
        }
    }

    /// When the next early takeover may be.
    pub(super) fn allows_from(&self) -> Option<Moment> {
        self.last.map(|last| last.after(self.pause))
    }

    /// Somebody took over early. Two within twice the pause double it; a calm while ends it.
    pub(super) fn note(&mut self, now: Moment) {
        let restless = self
            .last
            .is_some_and(|last| now.since(last) < self.pause.saturating_mul(2));
        self.pause = if restless {
            self.pause.saturating_mul(2).min(self.max)
        } else {
            self.first
        };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Damping, Moment};

    #[test]
    fn the_pause_grows_with_each_restless_takeover_and_a_calm_while_ends_it() {
        let mut damping = Damping::new(Duration::from_secs(1), Duration::from_secs(5));
        assert_eq!(damping.allows_from(), None);
        let mut now = Moment::default();
        for pause in [1, 2, 4, 5, 5] {
            damping.note(now);
            assert_eq!(
                damping.allows_from(),
                Some(now.after(Duration::from_secs(pause)))
            );
            now = damping.allows_from().unwrap();
        }
        // Twice the pause since the last one, to the nanosecond: long enough to be calm.
        now = now.after(Duration::from_secs(5));
        damping.note(now);
        assert_eq!(
            damping.allows_from(),
            Some(now.after(Duration::from_secs(1)))
        );
    }
}
