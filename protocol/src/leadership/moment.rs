//! A point on one process's own clock. Never sent, never compared with another process's.

use std::fmt;
use std::time::Duration;

/// Nanoseconds on a clock of this machine that never steps back and counts suspended time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// Takes a reading of the clock, in nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The reading in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment plus `span`; stays at the last one there is.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The span from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}s",
            self.0 / 1_000_000_000,
            self.0 / 1_000 % 1_000_000
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Moment;

    #[test]
    fn it_is_shown_in_seconds_and_stays_within_what_there_is() {
        let moment = Moment::from_nanos(12_000_034_999);
        assert_eq!(moment.to_string(), "12.000034s");
        let last = Moment::from_nanos(u64::MAX);
        assert_eq!(
            (
                last.after(Duration::from_nanos(1)),
                moment.after(Duration::MAX)
            ),
            (last, last)
        );
        assert_eq!(moment.since(last), Duration::ZERO);
    }
}
