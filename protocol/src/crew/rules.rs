//! What a member is told at its start: the rules of the crew, and who it is.

use std::time::Duration;

use super::plan::PARTITIONS_MAX;
use crate::leadership::{Incarnation, LeaseTimings, Moment, TimingsError};
use crate::time::Timestamp;

/// What is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// So many fixed partitions: only those that change hands pause.
    Partitions(u32),
    /// One index a member, from 0, without gaps: every change of the crew stops all its members.
    Index,
}

/// The rules that all members of one crew play by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CrewRules {
    /// What is shared.
    pub sharing: Sharing,
    /// Lease, renewal, request and margin of each member's own record.
    pub timings: LeaseTimings,
    /// No lease in the bucket is longer: what is not known is waited out for that long.
    pub lease_max: Duration,
    /// How long the crew must be unchanged before the plan follows it; five times that at most.
    pub settle: Duration,
    /// A plan is written anew after this time, so that the bucket, which forgets what nobody writes,
    /// keeps it.
    pub refresh: Duration,
    /// How long before its permit ends the work of a share is told to stop.
    pub wind_up: Duration,
    pub(super) omitted: Omitted,
}

impl CrewRules {
    /// The usual pauses for a crew that shares in this way.
    #[must_use]
    pub fn new(sharing: Sharing, timings: LeaseTimings) -> Self {
        let settle = match sharing {
            // Only what moves is paused: it need not wait for stragglers.
            Sharing::Partitions(_) => Duration::from_millis(250),
            Sharing::Index => Duration::from_secs(1),
        };
        Self {
            sharing,
            timings,
            lease_max: timings.lease,
            settle,
            refresh: timings.lease,
            wind_up: timings.margin * 2,
            omitted: Omitted::default(),
        }
    }

    /// Checks the values and that a renewal that is late by one attempt stops no work.
    ///
    /// # Errors
    /// Names the relation that does not hold.
    pub fn validate(&self) -> Result<(), RulesError> {
        self.timings.validate()?;
        let renewal = self.timings.renew + self.timings.request * 2;
        if self.wind_up.is_zero() || renewal + self.wind_up >= self.timings.trust() {
            return Err(RulesError::WindUp);
        }
        match self.sharing {
            Sharing::Partitions(count) if count == 0 || count > PARTITIONS_MAX => {
                Err(RulesError::Partitions(count))
            }
            Sharing::Partitions(_) | Sharing::Index => Ok(()),
        }
    }
}

/// The rules of a crew cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The spans of the lease do not fit together.
    #[error(transparent)]
    Timings(#[from] TimingsError),
    /// Work would be told to stop though nothing is wrong.
    #[error(
        "check the crew's times: wind-up must be above zero, and renew + 2 x request + wind-up below lease - margin"
    )]
    WindUp,
    /// No such number of partitions.
    #[error("check the crew's partitions: {0} are not 1 to {PARTITIONS_MAX}")]
    Partitions(u32),
}

/// A rule that a model can take out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Omission {
    /// A plan takes from one holder and gives to the next in one step.
    TwoSteps,
    /// The holder's word is waited for.
    Acknowledged,
    /// A member says that it obeys a plan only when the work it lost has ended.
    DrainBeforeWord,
    /// A silent member's lease is waited out.
    LeaseWaited,
    /// A silent member's record is replaced before its shares are given away.
    Evicted,
    /// A member that was evicted is out.
    EvictedIsOut,
    /// The permit counts from before the record was sent.
    FromSending,
    /// A permit that has ended is not used.
    PermitEnds,
    /// A plan older than one that is known is not obeyed.
    OlderPlanIgnored,
    /// The plan that is founded grants nothing.
    FoundedEmpty,
    /// After the founding every older permit is waited out.
    FoundingWaited,
    /// All indices of a generation are given up before the next begins.
    GenerationBarrier,
    /// A member that leaves says so only when its work has ended.
    DrainBeforeLeaving,
}

/// The rule that a model takes out, to see that it notices. Nothing in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Omitted {
    #[cfg(test)]
    pub(super) rule: Option<Omission>,
}

impl Omitted {
    #[cfg(test)]
    pub(super) fn is(self, rule: Omission) -> bool {
        self.rule == Some(rule)
    }

    #[cfg(not(test))]
    pub(super) const fn is(self, _: Omission) -> bool {
        false
    }
}

/// Who a member is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The name shown to people: 1 to 256 bytes without control characters. Two may bear the same.
    pub name: String,
    /// This life of the process in this crew; never used twice.
    pub incarnation: Incarnation,
    /// Where it runs, for people.
    pub host: String,
    /// When this life began: on the local clock, and on the wall clock for people.
    pub started: (Moment, Timestamp),
}

#[cfg(test)]
mod tests {
    use super::{CrewRules, RulesError, Sharing};
    use crate::leadership::LeaseTimings;
    use std::time::Duration;

    #[test]
    fn the_profiles_hold_and_what_cannot_be_is_named() {
        for timings in [
            LeaseTimings::stable(),
            LeaseTimings::quick(),
            LeaseTimings::test(),
        ] {
            for sharing in [Sharing::Partitions(64), Sharing::Index] {
                assert_eq!(CrewRules::new(sharing, timings).validate(), Ok(()));
            }
        }
        let check = |change: fn(&mut CrewRules), error| {
            let mut rules = CrewRules::new(Sharing::Index, LeaseTimings::stable());
            change(&mut rules);
            assert_eq!(rules.validate(), Err(error));
        };
        check(|r| r.wind_up = Duration::ZERO, RulesError::WindUp);
        check(|r| r.wind_up = Duration::from_secs(9), RulesError::WindUp);
        check(
            |r| r.sharing = Sharing::Partitions(0),
            RulesError::Partitions(0),
        );
        check(
            |r| r.sharing = Sharing::Partitions(1_025),
            RulesError::Partitions(1_025),
        );
    }
}
