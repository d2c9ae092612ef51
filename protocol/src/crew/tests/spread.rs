//! Plans as arithmetic: shares spread evenly, and no more moved than must be.

use std::time::Duration;

use proptest::prelude::*;

use crate::crew::plan::{HERE, Share, Spread};
use crate::crew::roll::Roll;
use crate::crew::rules::Omitted;
use crate::crew::{Content, MemberRecord, MemberState, generations, partitions};
use crate::leadership::{Incarnation, Moment};
use crate::number::Sequence;
use crate::time::Timestamp;

fn name(place: usize) -> Incarnation {
    format!("m{place:02}").parse().unwrap()
}

fn record(place: usize, state: MemberState) -> Content {
    Content::Member(MemberRecord {
        v: 1,
        name: "m".to_owned(),
        incarnation: name(place),
        nonce: 1,
        lease_ms: 1_000,
        state,
        obeys: Sequence::new(50),
        joined: Timestamp::default(),
        host: String::new(),
        evicted_by: String::new(),
    })
}

/// Of so many members those are live whose bit is set, and the others are gone.
fn roll(members: usize, live: u32) -> Roll {
    let mut roll = Roll::new(Omitted::default());
    for place in 0..members {
        let state = if live >> place & 1 == 1 {
            MemberState::Joined
        } else {
            MemberState::Evicted
        };
        let seen = (Sequence::new(1), &record(place, state));
        roll.see(Moment::default(), &name(place), seen, Duration::ZERO);
    }
    roll
}

fn held(shares: &[Share], by: &Incarnation) -> usize {
    let is_held = |share: &&Share| matches!(share, Share::Held { by: holder, .. } if holder == by);
    shares.iter().filter(is_held).count()
}

/// All words are given, until nothing changes; returns how many shares changed hands.
fn settled(shares: &[Share], roll: &Roll) -> Vec<Share> {
    let mut now = shares.to_vec();
    for _ in 0..4 {
        now = partitions::spread(&now, roll);
    }
    now
}

proptest! {
    #[test]
    fn shares_are_spread_evenly_with_as_few_moves_as_can_be(
        count in 1..40_usize,
        owners in proptest::collection::vec(0..8_usize, 40),
        live in 1..256_u32,
    ) {
        let roll = roll(8, live);
        let before: Vec<Share> = owners[..count]
            .iter()
            .map(|owner| Share::Held { by: name(*owner), since: Sequence::new(7) })
            .collect();
        let after = settled(&before, &roll);
        prop_assert_eq!(partitions::spread(&after, &roll), after.clone());
        let members: Vec<Incarnation> = roll.live().cloned().collect();
        let loads: Vec<usize> = members.iter().map(|member| held(&after, member)).collect();
        prop_assert_eq!(loads.iter().sum::<usize>(), count);
        let (least, most) = (count / members.len(), count.div_ceil(members.len()));
        prop_assert!(loads.iter().all(|load| (least..=most).contains(load)), "{:?}", loads);
        // What must move: what the gone held, and what anybody holds beyond its part, the odd ones
        // left with those who hold most.
        let moved = (0..count).filter(|place| after[*place] != before[*place]).count();
        let mut kept: Vec<usize> = members.iter().map(|member| held(&before, member)).collect();
        kept.sort_unstable_by(|a, b| b.cmp(a));
        let stays: usize = kept
            .iter()
            .enumerate()
            .map(|(place, held)| (*held).min(least + usize::from(place < count % members.len())))
            .sum();
        prop_assert_eq!(moved, count - stays);
    }

    #[test]
    fn a_share_is_never_given_before_it_was_let_go(
        owners in proptest::collection::vec(0..8_usize, 12),
        live in 1..256_u32,
    ) {
        let roll = roll(8, live);
        let before: Vec<Share> = owners
            .iter()
            .map(|owner| Share::Held { by: name(*owner), since: Sequence::new(7) })
            .collect();
        let after = partitions::spread(&before, &roll);
        for (before, after) in before.iter().zip(&after) {
            let (Share::Held { by: old, .. }, Share::Held { by: new, .. }) = (before, after) else {
                continue;
            };
            prop_assert!(old == new || roll.is_gone(old));
        }
    }

    #[test]
    fn indices_have_no_gaps_and_stay_where_they_can(
        before in 0..8_usize,
        live in 0..256_u32,
    ) {
        let roll = roll(8, live);
        let old: Vec<Incarnation> = (0..before).map(name).collect();
        let Spread::Running { members, since } = generations::begin(&old, &roll) else {
            panic!("it begins")
        };
        prop_assert_eq!(since, HERE);
        let mut sorted = members.clone();
        sorted.sort();
        let live: Vec<Incarnation> = roll.live().cloned().collect();
        prop_assert_eq!(sorted, live);
        for (place, member) in old.iter().enumerate() {
            if roll.is_live(member) && place < members.len() {
                prop_assert_eq!(&members[place], member);
            }
        }
    }
}
