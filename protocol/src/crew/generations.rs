//! The next step of a crew that shares one index a member: a generation ends as a whole before the
//! next begins as a whole.

use super::plan::{HERE, Spread};
use super::roll::Roll;
use super::rules::Omission;
use crate::leadership::Incarnation;
use crate::number::Sequence;

/// What follows a running generation: its end, if the live members are not its members.
pub(super) fn after_running(since: Sequence, members: &[Incarnation], roll: &Roll) -> Spread {
    let stays =
        members.len() == roll.live().count() && roll.live().all(|member| members.contains(member));
    if stays {
        let members = members.to_vec();
        return Spread::Running { since, members };
    }
    if members.is_empty() || roll.omits(Omission::GenerationBarrier) {
        return begin(members, roll);
    }
    Spread::Ending {
        asked: HERE,
        members: members.to_vec(),
    }
}

/// What follows the end of a generation: the next one, once each member has said that it holds
/// nothing, or is gone.
pub(super) fn after_ending(asked: Sequence, members: &[Incarnation], roll: &Roll) -> Spread {
    let ended = |member: &Incarnation| roll.is_gone(member) || roll.obeys(member, asked);
    if members.iter().all(ended) {
        begin(members, roll)
    } else {
        Spread::Ending {
            asked,
            members: members.to_vec(),
        }
    }
}

/// A generation of the live members. Who was in the one before keeps its index where it can.
pub(super) fn begin(before: &[Incarnation], roll: &Roll) -> Spread {
    let count = roll.live().count();
    let mut places: Vec<Option<Incarnation>> = before
        .iter()
        .map(|member| roll.is_live(member).then(|| member.clone()))
        .collect();
    places.resize(count.max(before.len()), None);
    let beyond = places.split_off(count);
    let fresh = roll.live().filter(|member| !before.contains(member));
    let mut movers = beyond.into_iter().flatten().chain(fresh.cloned());
    let members = places
        .into_iter()
        .filter_map(|place| place.or_else(|| movers.next()))
        .collect();
    Spread::Running {
        since: HERE,
        members,
    }
}
