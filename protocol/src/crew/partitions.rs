//! The next spread of fixed partitions: what is known to be free goes to whoever holds least, and
//! who holds too much gives up only that. Moves as few as there can be.

use std::collections::BTreeMap;

use super::plan::{HERE, Share};
use super::roll::Roll;
use super::rules::Omission;
use crate::leadership::Incarnation;

/// Shares of the live members, by how many each should hold.
struct Quotas(BTreeMap<Incarnation, Quota>);

struct Quota {
    holds: usize,
    should: usize,
}

/// The spread that follows, the same if nothing is to be done.
pub(super) fn spread(shares: &[Share], roll: &Roll) -> Vec<Share> {
    let mut next: Vec<Share> = shares.iter().map(|share| released(share, roll)).collect();
    let mut quotas = Quotas::new(&next, roll);
    for share in &mut next {
        if *share == Share::Free
            && let Some(by) = quotas.neediest()
        {
            *share = Share::Held { by, since: HERE };
        }
    }
    for share in next.iter_mut().rev() {
        if let Share::Held { by, .. } = share
            && quotas.takes_from(by)
        {
            *share = if roll.omits(Omission::TwoSteps) {
                quotas
                    .neediest()
                    .map_or(Share::Free, |by| Share::Held { by, since: HERE })
            } else {
                Share::Leaving {
                    by: by.clone(),
                    asked: HERE,
                }
            };
        }
    }
    next
}

/// A share is free when its holder is gone, or has said that it obeys the plan that took it.
fn released(share: &Share, roll: &Roll) -> Share {
    let free = match share {
        Share::Free => true,
        Share::Held { by, .. } => roll.is_gone(by),
        Share::Leaving { by, asked } => roll.is_gone(by) || roll.obeys(by, *asked),
    };
    if free { Share::Free } else { share.clone() }
}

impl Quotas {
    fn new(shares: &[Share], roll: &Roll) -> Self {
        let mut quotas: BTreeMap<Incarnation, Quota> = roll
            .live()
            .map(|member| {
                let quota = Quota {
                    holds: 0,
                    should: 0,
                };
                (member.clone(), quota)
            })
            .collect();
        // What others hold, of whom nothing can be known, is not ours to spread.
        let mut spread = 0;
        for share in shares {
            match share {
                Share::Free | Share::Leaving { .. } => spread += 1,
                Share::Held { by, .. } => {
                    if let Some(quota) = quotas.get_mut(by) {
                        quota.holds += 1;
                        spread += 1;
                    }
                }
            }
        }
        // Who holds most keeps the odd one.
        let members = quotas.len();
        let mut by_load: Vec<&mut Quota> = quotas.values_mut().collect();
        by_load.sort_by_key(|quota| std::cmp::Reverse(quota.holds));
        for (place, quota) in by_load.into_iter().enumerate() {
            quota.should = spread / members + usize::from(place < spread % members);
        }
        Self(quotas)
    }

    /// Gives one to whoever lacks most.
    fn neediest(&mut self) -> Option<Incarnation> {
        let lacks = |quota: &Quota| quota.should.saturating_sub(quota.holds);
        let (member, quota) = self
            .0
            .iter_mut()
            .rev()
            .max_by_key(|(_, quota)| lacks(quota))
            .filter(|(_, quota)| lacks(quota) > 0)?;
        quota.holds += 1;
        Some(member.clone())
    }

    /// Takes one from a member that has too many.
    fn takes_from(&mut self, member: &Incarnation) -> bool {
        let Some(quota) = self.0.get_mut(member) else {
            return false;
        };
        let too_many = quota.holds > quota.should;
        quota.holds -= usize::from(too_many);
        too_many
    }
}
