//! Of all states that go on alike, the one that stands for them: moments from now, a member's
//! revisions from the newest, ids and nonces from the last. The rules only compare them, so nothing
//! else can come of it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::broker::{Broker, NEWEST, OVERWRITTEN};
use super::life::{Life, NOW, STEP};
use super::turn::Flight;
use crate::answer::Answer;
use crate::crew::holding::Phase;
use crate::crew::member::{Asked, PlanView};
use crate::crew::plan::{HERE, Plan, Spread};
use crate::crew::presence::Presence;
use crate::crew::roll::Sign;
use crate::crew::{Content, MemberRecord, MemberState};
use crate::leadership::{Incarnation, Moment};
use crate::number::{Epoch, Sequence};

/// Further back nothing matters: a lease that is waited out, trust that has ended.
const BACK_MAX: Duration = Duration::from_millis(300);
/// A drain that hangs.
const HANGS: Duration = Duration::from_millis(400);
/// The newest nonce of a life that has written.
const NONCE: u64 = 1_000;
/// The ids of the plan or eviction, and of the own record, that are under way.
pub(super) const ASKED: u64 = 1;
const PENDING: u64 = 2;
const NEXT: u64 = 10;
/// From here on failures make no difference.
const FAILURES_MAX: u32 = 4;

/// A step of time.
pub(super) fn age(life: &mut Life) {
    life.deaf = false;
    each_moment(life, |moment| {
        let nanos = u64::try_from(STEP.as_nanos()).unwrap();
        *moment = Moment::from_nanos(moment.as_nanos().saturating_sub(nanos));
    });
    forget_the_past(life);
}

/// Of moments that have passed, those that the rules cannot tell apart become one.
fn forget_the_past(life: &mut Life) {
    let back = |span: Duration| {
        let nanos = u64::try_from(span.as_nanos()).unwrap();
        Moment::from_nanos(NOW.as_nanos() - nanos)
    };
    let earliest = back(BACK_MAX);
    let at_least = |moment: &mut Moment, least: Moment| *moment = (*moment).max(least);
    let member = &mut life.member;
    // What is due is due, and what has ended has ended.
    at_least(&mut member.plan_due, NOW);
    at_least(&mut member.list_due, NOW);
    at_least(&mut member.plan_read_due, NOW);
    let ends = life.guard.iter_mut().chain(&mut member.guarded);
    ends.for_each(|until| at_least(until, NOW));
    if let Some((_, deadline, _)) = &mut member.asked {
        at_least(deadline, NOW);
    }
    let presence = &mut member.presence;
    at_least(&mut presence.until, NOW);
    at_least(&mut presence.due, NOW);
    at_least(&mut presence.read_due, NOW);
    for attempt in presence.pending.iter_mut().chain(&mut presence.unanswered) {
        at_least(&mut attempt.sent, earliest);
        at_least(&mut attempt.deadline, NOW);
    }
    member
        .connected
        .iter_mut()
        .for_each(|at| at_least(at, earliest));
    for entry in member.roll.entries.values_mut() {
        at_least(&mut entry.at, earliest);
    }
    for run in member.runs.values_mut() {
        match &mut run.phase {
            Phase::Running => {}
            Phase::Ending(at) => at_least(at, back(HANGS)),
        }
    }
    if let PlanView::Known { plan, at, .. } = &mut member.plan {
        match plan.spread {
            Spread::Founding => at_least(at, earliest),
            // When it was seen counts for writing it anew, which nobody does in this world.
            Spread::Partitions(_) | Spread::Running { .. } | Spread::Ending { .. } => *at = NOW,
        }
    }
    if member.rules.settle.is_zero() {
        member.roll.changed = None;
    }
    if let Some((first, last)) = &mut member.roll.changed {
        at_least(first, earliest);
        at_least(last, earliest);
    }
}

/// Brings a life to normal; says by how much its nonces moved, modulo 2^64.
pub(super) fn settle(life: &mut Life) -> u64 {
    forget_the_past(life);
    let member = &mut life.member;
    assert!(member.reads.is_empty() && member.listing.is_none() && member.to_read.is_empty());
    assert!(member.presence.reading.is_none());
    member.next_id = NEXT;
    member.epoch = Epoch::default();
    if let Some((id, ..)) = &mut member.asked {
        *id = ASKED;
    }
    for entry in member.roll.entries.values_mut() {
        if entry.sign == Sign::Gone {
            entry.revision = NEWEST;
            entry.at = NOW;
        }
    }
    let presence = &mut member.presence;
    let pending = presence.pending.as_ref().map(|attempt| attempt.id);
    life.slow.take_if(|(id, _)| Some(*id) != pending);
    if let Some((id, _)) = &mut life.slow {
        *id = PENDING;
    }
    presence.failures = presence.failures.min(FAILURES_MAX);
    settle_attempts(presence)
}

fn settle_attempts(presence: &mut Presence) -> u64 {
    let moved = if presence.nonce == 0 {
        0
    } else {
        NONCE.wrapping_sub(presence.nonce)
    };
    presence.nonce = presence.nonce.wrapping_add(moved);
    for attempt in presence.pending.iter_mut().chain(&mut presence.unanswered) {
        attempt.id = PENDING;
        attempt.nonce = attempt.nonce.wrapping_add(moved);
    }
    moved
}

/// Brings a record to normal: of one that is over, only that matters.
pub(super) fn record(record: &mut MemberRecord) {
    if record.state != MemberState::Joined {
        record.obeys = Sequence::default();
        record.evicted_by = String::new();
    }
}

/// A member's record was overwritten: what a life knows of it is not the newest any more.
pub(super) fn overwritten(life: &mut Life, member: &Incarnation, newest: Sequence) {
    let normal = |revision: &mut Sequence| {
        if *revision == newest {
            *revision = NEWEST;
        } else if *revision != Sequence::default() {
            *revision = OVERWRITTEN;
        }
    };
    if life.me() == member {
        life.member.presence.revision.iter_mut().for_each(normal);
        if let Some((_, Answer::Stored(revision))) = &mut life.slow {
            normal(revision);
        }
    }
    let entry = life.member.roll.entries.get_mut(member);
    if let Some(entry) = entry.filter(|entry| entry.sign != Sign::Gone) {
        normal(&mut entry.revision);
    }
}

fn each_moment(life: &mut Life, mut act: impl FnMut(&mut Moment)) {
    life.guard.iter_mut().for_each(&mut act);
    let member = &mut life.member;
    act(&mut member.plan_due);
    act(&mut member.list_due);
    act(&mut member.plan_read_due);
    let some = member.connected.iter_mut().chain(&mut member.guarded);
    some.for_each(&mut act);
    if let Some((_, deadline, _)) = &mut member.asked {
        act(deadline);
    }
    if let PlanView::Known { at, .. } = &mut member.plan {
        act(at);
    }
    for run in member.runs.values_mut() {
        match &mut run.phase {
            Phase::Running => {}
            Phase::Ending(at) => act(at),
        }
    }
    for entry in member.roll.entries.values_mut() {
        act(&mut entry.at);
    }
    if let Some((first, last)) = &mut member.roll.changed {
        act(first);
        act(last);
    }
    let presence = &mut member.presence;
    act(&mut presence.until);
    act(&mut presence.due);
    act(&mut presence.read_due);
    for attempt in presence.pending.iter_mut().chain(&mut presence.unanswered) {
        act(&mut attempt.sent);
        act(&mut attempt.deadline);
    }
}

/// Whatever names a plan by its revision.
pub(super) trait Marked: Clone {
    fn each_mark(&mut self, act: &mut dyn FnMut(&mut Sequence));

    fn marks(&self) -> BTreeSet<Sequence> {
        let mut marks = BTreeSet::new();
        self.clone().each_mark(&mut |mark| {
            if *mark != HERE {
                marks.insert(*mark);
            }
        });
        marks
    }
}

impl Marked for Life {
    fn each_mark(&mut self, act: &mut dyn FnMut(&mut Sequence)) {
        let member = &mut self.member;
        act(&mut member.plan_floor);
        match &mut member.plan {
            PlanView::Unknown => {}
            PlanView::Vacant { revision } | PlanView::Foreign { revision, .. } => act(revision),
            PlanView::Known { revision, plan, .. } => {
                act(revision);
                plan.each_mark(act);
            }
        }
        for run in member.runs.values_mut() {
            act(&mut run.grant.token);
        }
        for entry in member.roll.entries.values_mut() {
            match &mut entry.sign {
                Sign::Here { obeys } => act(obeys),
                Sign::Gone | Sign::Unread => {}
            }
        }
        match &mut member.asked {
            Some((_, _, Asked::Plan(plan))) => plan.each_mark(act),
            Some((_, _, Asked::Eviction(_))) | None => {}
        }
        let presence = &mut member.presence;
        act(&mut presence.obeys);
        for attempt in presence.pending.iter_mut().chain(&mut presence.unanswered) {
            act(&mut attempt.obeys);
        }
    }
}

impl Marked for Plan {
    fn each_mark(&mut self, act: &mut dyn FnMut(&mut Sequence)) {
        self.spread.each_mark(act);
    }
}

impl Marked for Broker {
    fn each_mark(&mut self, act: &mut dyn FnMut(&mut Sequence)) {
        act(&mut self.last_plan);
        for (revision, plan) in self.plan.iter_mut().chain(&mut self.older) {
            act(revision);
            Rc::make_mut(plan).each_mark(act);
        }
        for (_, record) in self.members.values_mut() {
            act(&mut record.obeys);
        }
    }
}

impl Marked for Flight {
    fn each_mark(&mut self, act: &mut dyn FnMut(&mut Sequence)) {
        match &mut self.content {
            Content::Plan(plan) => {
                act(&mut self.expected);
                plan.each_mark(act);
            }
            Content::Member(record) => act(&mut record.obeys),
            Content::Vacant | Content::Foreign(_) => {}
        }
    }
}
