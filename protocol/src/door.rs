//! When the ledger takes submissions, and when the door is closed so that outcomes still fit.

/// At this share of its room the door closes, in percent.
pub const CLOSE_PERCENT: u64 = 80;
/// Below this share it opens again, in percent. In between it stays as it is.
pub const OPEN_PERCENT: u64 = 70;

/// How full something with a limit is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What is used.
    pub used: u64,
    /// The limit; `None` for none.
    pub limit: Option<u64>,
}

impl Usage {
    /// Compares without overflow: used/limit against percent/100.
    fn reaches(self, percent: u64) -> bool {
        self.limit.is_some_and(|limit| {
            u128::from(self.used) * 100 >= u128::from(limit) * u128::from(percent)
        })
    }
}

/// What is done with the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorChange {
    /// Take the submit subject out of the ledger's subjects.
    Close,
    /// Put it back.
    Open,
}

/// What to do, given how full each limit is (the ledger's, the account's) and the door now.
#[must_use]
pub fn decide(usages: &[Usage], is_open: Option<bool>) -> Option<DoorChange> {
    let is_open = is_open?;
    let full = usages.iter().any(|usage| usage.reaches(CLOSE_PERCENT));
    let roomy = !usages.iter().any(|usage| usage.reaches(OPEN_PERCENT));
    match is_open {
        true if full => Some(DoorChange::Close),
        false if roomy => Some(DoorChange::Open),
        true | false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{DoorChange, Usage, decide};

    fn at(percent: u64) -> Usage {
        Usage {
            used: percent * 10,
            limit: Some(1_000),
        }
    }

    #[test]
    fn the_door_closes_at_80_and_opens_below_70() {
        assert_eq!(decide(&[at(79)], Some(true)), None);
        assert_eq!(decide(&[at(80)], Some(true)), Some(DoorChange::Close));
        assert_eq!(decide(&[at(80)], Some(false)), None);
        assert_eq!(decide(&[at(70)], Some(false)), None);
        assert_eq!(decide(&[at(69)], Some(false)), Some(DoorChange::Open));
    }

    #[test]
    fn the_fullest_of_all_limits_counts() {
        let none = Usage {
            used: u64::MAX,
            limit: None,
        };
        assert_eq!(
            decide(&[none, at(10), at(85)], Some(true)),
            Some(DoorChange::Close)
        );
        assert_eq!(decide(&[none, at(10)], Some(false)), Some(DoorChange::Open));
        assert_eq!(decide(&[at(75), at(10)], Some(false)), None);
    }
}
