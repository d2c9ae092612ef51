//! The four spans of an election and how they must relate.

use std::time::Duration;

use super::record::LEASE_MAX;

/// The four spans of an election. All candidates may differ; an observer uses the lease that the
/// record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseTimings {
    /// How long others leave the holder alone after they first saw its record.
    pub lease: Duration,
    /// How often the holder renews and the others read.
    pub renew: Duration,
    /// How long one request is waited for.
    pub request: Duration,
    /// How much earlier than the lease's end the holder stops trusting it.
    pub margin: Duration,
}

/// The spans of an election do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimingsError {
    /// A span is zero.
    #[error("check the election's times: lease, renew, request and margin must be above zero")]
    Zero,
    /// A lease that is not whole milliseconds cannot be written down.
    #[error(
        "check the election's times: lease must be whole milliseconds and at most {LEASE_MAX:?}"
    )]
    Lease,
    /// One renewal and its repeat do not fit into the trusted time.
    #[error("check the election's times: renew + 2 x request + margin must be below lease")]
    Relation,
    /// Fewer than three renewals fit into a lease.
    #[error("check the election's times: lease must be at least 3 x renew")]
    TooFewRenewals,
}

impl LeaseTimings {
    /// The default: a broker that crashes and needs 8 s to elect moves no leadership.
    #[must_use]
    pub const fn stable() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(2),
            request: Duration::from_millis(1_500),
            margin: Duration::from_secs(1),
        }
    }

    /// Shorter strict fail-over; a crashed broker suspends the holder.
    #[must_use]
    pub const fn quick() -> Self {
        Self {
            lease: Duration::from_secs(6),
            renew: Duration::from_secs(1),
            request: Duration::from_millis(750),
            margin: Duration::from_millis(500),
        }
    }

    /// For tests on one machine.
    #[must_use]
    pub const fn test() -> Self {
        Self {
            lease: Duration::from_millis(1_500),
            renew: Duration::from_millis(250),
            request: Duration::from_millis(200),
            margin: Duration::from_millis(150),
        }
    }

    /// Checks that two attempts at a renewal fit into the trusted time.
    ///
    /// # Errors
    /// Names the relation that does not hold.
    pub fn validate(&self) -> Result<(), TimingsError> {
        let spans = [self.lease, self.renew, self.request, self.margin];
        if spans.iter().any(Duration::is_zero) {
            return Err(TimingsError::Zero);
        }
        if self.lease > LEASE_MAX || !self.lease.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(TimingsError::Lease);
        }
        let attempts = self
            .renew
            .saturating_add(self.request.saturating_mul(2))
            .saturating_add(self.margin);
        if attempts >= self.lease {
            return Err(TimingsError::Relation);
        }
        if self.lease < self.renew.saturating_mul(3) {
            return Err(TimingsError::TooFewRenewals);
        }
        Ok(())
    }

    /// Whether leadership outlasts a stream leader's crash, after which nothing can be written for
    /// up to 9 s.
    #[must_use]
    pub fn survives_broker_crash(&self) -> bool {
        let spent = self.margin + self.renew + self.request;
        self.lease.saturating_sub(spent) >= Duration::from_secs(9)
    }

    /// For how long a write is trusted, from before it was sent.
    #[must_use]
    pub const fn trust(&self) -> Duration {
        self.lease.saturating_sub(self.margin)
    }

    /// How long an observer waits from when it first saw a record with this lease. A hundredth more
    /// than the lease, so that two clocks may differ by half a per cent.
    #[must_use]
    pub fn outwait(lease: Duration) -> Duration {
        lease.saturating_add(lease / 100)
    }

    /// Within this time a holder that lives and has a broker is seen to write.
    #[must_use]
    pub(crate) fn come_back(&self) -> Duration {
        self.renew.saturating_add(self.request)
    }

    /// The pause before another try: none after the first failure, then up to half a renewal.
    #[must_use]
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        match failures {
            0 | 1 => Duration::ZERO,
            2 => self.renew / 8,
            3 => self.renew / 4,
            _ => self.renew / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEASE_MAX, LeaseTimings, TimingsError};
    use std::time::Duration;

    #[test]
    fn the_profiles_hold_and_only_the_stable_one_outlasts_a_broker() {
        for timings in [
            LeaseTimings::stable(),
            LeaseTimings::quick(),
            LeaseTimings::test(),
        ] {
            assert_eq!(timings.validate(), Ok(()));
        }
        assert!(LeaseTimings::stable().survives_broker_crash());
        assert!(!LeaseTimings::quick().survives_broker_crash());
    }

    /// Each relation holds with the last value that it allows, and not with the next.
    #[test]
    fn a_relation_that_just_holds_is_accepted() {
        let millis = Duration::from_millis;
        let check = |change: fn(&mut LeaseTimings), expected: Result<(), TimingsError>| {
            let mut timings = LeaseTimings::stable();
            change(&mut timings);
            assert_eq!(timings.validate(), expected, "{timings:?}");
        };
        check(|t| t.lease = LEASE_MAX, Ok(()));
        check(
            |t| t.lease = LEASE_MAX + Duration::from_millis(1),
            Err(TimingsError::Lease),
        );
        check(|t| t.request = Duration::from_millis(5_999), Ok(()));
        check(|t| t.renew = Duration::from_secs(5), Ok(()));
        check(
            |t| t.renew = Duration::from_millis(5_001),
            Err(TimingsError::TooFewRenewals),
        );
        let outlasts = |lease| {
            let timings = LeaseTimings {
                lease,
                ..LeaseTimings::stable()
            };
            timings.survives_broker_crash()
        };
        // 2 s to the renewal, 1.5 s for it, 9 s without a stream leader, 1 s of margin.
        assert!(outlasts(millis(13_500)) && !outlasts(millis(13_499)));
    }

    #[test]
    fn an_observer_waits_a_hundredth_longer_than_the_lease() {
        let outwait = LeaseTimings::outwait(Duration::from_secs(15));
        assert_eq!(outwait, Duration::from_millis(15_150));
        assert_eq!(LeaseTimings::outwait(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn impossible_relations_are_named() {
        let check = |change: fn(&mut LeaseTimings), error: TimingsError| {
            let mut timings = LeaseTimings::stable();
            change(&mut timings);
            assert_eq!(timings.validate(), Err(error));
        };
        check(|t| t.margin = Duration::ZERO, TimingsError::Zero);
        check(
            |t| t.lease = Duration::from_micros(15_000_001),
            TimingsError::Lease,
        );
        check(|t| t.lease = Duration::MAX, TimingsError::Lease);
        check(
            |t| t.request = Duration::from_secs(6),
            TimingsError::Relation,
        );
        check(|t| t.renew = Duration::MAX, TimingsError::Relation);
        check(
            |t| t.renew = Duration::from_secs(6),
            TimingsError::TooFewRenewals,
        );
    }
}
