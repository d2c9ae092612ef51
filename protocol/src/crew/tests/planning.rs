//! What a planner must know before it plans.

use std::time::Duration;

use crate::crew::plan::{Plan, Spread};
use crate::crew::{
    Content, CrewRules, Effect, Identity, Input, Key, Member, MemberRecord, MemberState,
    ReadAnswer, Sharing,
};
use crate::leadership::{Incarnation, LeaseTimings, Moment};
use crate::number::{Epoch, Sequence};
use crate::time::Timestamp;

const TIMINGS: LeaseTimings = LeaseTimings::test();
const PLAN: Sequence = Sequence::new(5);

/// A member that a test speaks with.
struct Talk {
    member: Member,
    now: Moment,
}

fn name(place: u32) -> Incarnation {
    format!("m{place}").parse().unwrap()
}

fn plan(spread: Spread) -> Content {
    Content::Plan(Plan {
        epoch: Epoch::new(1),
        author: "m0".to_owned(),
        spread,
    })
}

/// A generation of three.
fn running() -> Content {
    plan(Spread::Running {
        since: PLAN,
        members: (0..3).map(name).collect(),
    })
}

fn joined(member: &Incarnation) -> ReadAnswer {
    let record = MemberRecord {
        v: 1,
        name: member.to_string(),
        incarnation: member.clone(),
        nonce: 1,
        lease_ms: 1_500,
        state: MemberState::Joined,
        obeys: PLAN,
        joined: Timestamp::default(),
        host: String::new(),
        evicted_by: String::new(),
    };
    ReadAnswer::Seen(Sequence::new(2), Content::Member(record))
}

impl Talk {
    /// With a member that has a connection, sees a plan, and was just made the planner.
    fn with_planner(content: Content) -> (Self, u64) {
        let now = Moment::from_nanos(1_000_000_000);
        let me = Identity {
            name: "m2".to_owned(),
            incarnation: name(2),
            host: String::new(),
            started: (now, Timestamp::default()),
        };
        let mut rules = CrewRules::new(Sharing::Index, TIMINGS);
        rules.settle = Duration::ZERO;
        let member = Member::new(rules, me).unwrap();
        let mut talk = Self { member, now };
        talk.give(Input::Connected);
        talk.give(Input::Seen(Key::Plan, PLAN, content));
        let effects = talk.give(Input::Planning(Some(Epoch::new(2))));
        let list = listing(&effects).expect("a planner lists the members");
        (talk, list)
    }

    fn give(&mut self, input: Input) -> Vec<Effect> {
        self.member.handle(self.now, input)
    }

    fn wait(&mut self, span: Duration) -> Vec<Effect> {
        self.now = self.now.after(span);
        self.give(Input::Tick)
    }
}

fn listing(effects: &[Effect]) -> Option<u64> {
    let list = |effect: &Effect| match effect {
        Effect::List(id) => Some(*id),
        _ => None,
    };
    effects.iter().find_map(list)
}

fn read_of(effects: &[Effect], member: &Incarnation) -> u64 {
    let read = |effect: &Effect| match effect {
        Effect::Read(id, Key::Member(other)) if other == member => Some(*id),
        _ => None,
    };
    effects.iter().find_map(read).expect("the member is read")
}

fn plans(effects: &[Effect]) -> usize {
    let is_plan = |effect: &&Effect| matches!(effect, Effect::Write { key: Key::Plan, .. });
    effects.iter().filter(is_plan).count()
}

#[test]
fn a_new_planner_ends_no_generation_before_it_has_read_everybody() {
    let (mut talk, list) = Talk::with_planner(running());
    let members = (0..3).map(name).collect();
    let reads = talk.give(Input::Listed(list, Some(members)));
    assert_eq!(plans(&reads), 0);
    for place in [0, 2] {
        let read = read_of(&reads, &name(place));
        let effects = talk.give(Input::Read(read, joined(&name(place))));
        assert_eq!(plans(&effects), 0, "{place}");
    }
    let unread = read_of(&reads, &name(1));
    let effects = talk.give(Input::Read(unread, ReadAnswer::Failed));
    assert_eq!((plans(&effects), listing(&effects)), (0, None));
    // What could not be read is asked for again, and then nothing is to be changed.
    let effects = talk.wait(TIMINGS.renew / 16);
    let list = listing(&effects).expect("it lists them again");
    let reads = talk.give(Input::Listed(list, Some((0..3).map(name).collect())));
    let read = read_of(&reads, &name(1));
    let effects = talk.give(Input::Read(read, joined(&name(1))));
    assert_eq!((plans(&reads), plans(&effects)), (0, 0));
}

#[test]
fn a_listing_that_fails_is_not_asked_for_again_at_once() {
    let (mut talk, list) = Talk::with_planner(running());
    let effects = talk.give(Input::Listed(list, None));
    assert_eq!(listing(&effects), None);
    let pause = TIMINGS.renew / 16;
    assert!(talk.member.wake_at() <= talk.now.after(pause));
    assert_eq!(listing(&talk.wait(pause / 2)), None);
    assert!(listing(&talk.wait(pause / 2)).is_some());
}

#[test]
fn a_listing_from_before_a_plan_says_nothing_about_it() {
    let (mut talk, early) = Talk::with_planner(plan(Spread::Founding));
    let founded = Input::Seen(Key::Plan, PLAN.next(), plan(Spread::Founding));
    let late = listing(&talk.give(founded)).expect("it lists them for the new plan");
    let effects = talk.give(Input::Listed(early, Some(Vec::new())));
    assert_eq!(plans(&effects), 0);
    let lost = talk.give(Input::Listed(late, None));
    assert_eq!(plans(&lost), 0);
    // Everything was waited out, but nobody was listed since.
    let effects = talk.wait(TIMINGS.lease * 2);
    assert_eq!(plans(&effects), 0);
    let list = listing(&effects).expect("it lists them again");
    assert_eq!(plans(&talk.give(Input::Listed(list, Some(Vec::new())))), 1);
}
