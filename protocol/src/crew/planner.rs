//! The planner's half: who is gone, and which plan follows. Whatever it writes lands on what it was
//! reckoned from, and rests on facts that stay true: so it may be late, and there may be two.

use super::exchange::{Content, Effect, Key, Notice};
use super::member::{Asked, Member, PlanView};
use super::plan::{Plan, Share, Spread};
use super::record::{MemberRecord, MemberState, RecordError, VERSION};
use super::rules::{Omission, Sharing};
use super::{generations, partitions};
use crate::answer::Answer;
use crate::leadership::{Incarnation, LeaseTimings, Moment};
use crate::number::Sequence;

/// What a planner writes next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The record of a member that was silent for a whole lease.
    Evict(Incarnation, Sequence),
    /// A plan on the one of this revision.
    Plan(Sequence, Spread),
    /// Nothing before this moment.
    Wait(Option<Moment>),
}

impl Member {
    /// Writes what follows, one thing at a time.
    pub(super) fn plan_on(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if !self.planning || self.connected.is_none() || self.asked.is_some() {
            return;
        }
        if now < self.plan_due {
            return;
        }
        let (key, expected, body, asked) = match self.next_step(now) {
            Step::Wait(_) => {
                // The plan is what the crew asks for: the next change is a new one.
                let settled = self.roll.settled(self.rules.settle);
                if settled.is_some_and(|settled| settled <= now) {
                    self.roll.followed();
                }
                return;
            }
            Step::Evict(member, revision) if self.rules.omitted.is(Omission::Evicted) => {
                self.evicted(now, &member, revision.next(), effects);
                return;
            }
            Step::Evict(member, revision) => {
                let body = self.eviction(&member).encode();
                let asked = Asked::Eviction(member.clone());
                (Key::Member(member), revision, body, asked)
            }
            Step::Plan(revision, spread) => {
                let plan = Plan {
                    epoch: self.epoch,
                    author: self.me.name.clone(),
                    spread,
                };
                let body = plan.encode();
                (Key::Plan, revision, body, Asked::Plan(plan))
            }
        };
        let id = self.next_id();
        let deadline = now.after(self.rules.timings.request);
        self.asked = Some((id, deadline, asked));
        effects.push(Effect::Write {
            id,
            key,
            expected,
            body,
        });
    }

    /// When the planner has something to do, if nothing else happens.
    pub(super) fn plan_wake(&self, now: Moment) -> Option<Moment> {
        if let Some((_, deadline, _)) = &self.asked {
            return Some(*deadline);
        }
        if !self.planning || self.connected.is_none() {
            return None;
        }
        match self.next_step(now) {
            Step::Wait(until) => until,
            Step::Evict(..) | Step::Plan(..) => Some(self.plan_due),
        }
    }

    fn next_step(&self, now: Moment) -> Step {
        // After an outage of the broker members come back at about the same time as we do.
        let back = self
            .connected
            .map(|since| since.after(self.rules.timings.come_back()));
        let me = &self.me.incarnation;
        let overdue = self.roll.overdue(now, me, back.unwrap_or(now));
        let next_overdue = match overdue {
            Ok((member, revision)) => return Step::Evict(member.clone(), revision),
            Err(next) => next,
        };
        let follows = match &self.plan {
            PlanView::Unknown => Err(None),
            PlanView::Vacant { revision } => Ok((*revision, self.founding())),
            PlanView::Foreign { revision, error } => match error {
                // A newer version's plan is its own business.
                RecordError::Newer { .. } => Err(None),
                RecordError::Shape(_) | RecordError::Range(_) => Ok((*revision, Spread::Founding)),
            },
            PlanView::Known { revision, plan, at } => self
                .following(now, (*revision, plan), *at)
                .map(|spread| (*revision, spread)),
        };
        match follows {
            Ok((revision, spread)) => Step::Plan(revision, spread),
            Err(until) => Step::Wait([until, next_overdue].into_iter().flatten().min()),
        }
    }

    fn founding(&self) -> Spread {
        if self.rules.omitted.is(Omission::FoundedEmpty) {
            self.first_spread()
        } else {
            Spread::Founding
        }
    }

    /// The spread that follows a plan first seen at `at`, or from when to look again.
    fn following(
        &self,
        now: Moment,
        (revision, plan): (Sequence, &Plan),
        at: Moment,
    ) -> Result<Spread, Option<Moment>> {
        if !plan.fits(self.rules.sharing) {
            return Err(None);
        }
        // Who has just begun to plan would take those for gone of whom it has not heard yet.
        if !self.listed || !self.roll.is_complete() {
            return Err(None);
        }
        let settled = self.roll.settled(self.rules.settle);
        if let Some(settled) = settled.filter(|settled| now < *settled) {
            return Err(Some(settled));
        }
        let next = match &plan.spread {
            Spread::Founding => {
                self.founded(now, revision, at)?;
                self.first_spread()
            }
            Spread::Partitions(shares) => {
                Spread::Partitions(partitions::spread(shares, &self.roll))
            }
            Spread::Running { since, members } => {
                generations::after_running(*since, members, &self.roll)
            }
            Spread::Ending { asked, members } => {
                generations::after_ending(*asked, members, &self.roll)
            }
        };
        let refresh = at.after(self.rules.refresh);
        if next == plan.spread && now < refresh {
            return Err(Some(refresh));
        }
        Ok(next)
    }

    /// Whether nobody can hold anything by an older plan: all known members have said so, and of
    /// those that are not known every permit has ended. All were listed before this is asked.
    fn founded(&self, now: Moment, revision: Sequence, at: Moment) -> Result<(), Option<Moment>> {
        if self.rules.omitted.is(Omission::FoundingWaited) {
            return Ok(());
        }
        let waited = at.after(LeaseTimings::outwait(self.rules.lease_max));
        if now < waited {
            return Err(Some(waited));
        }
        if self.roll.all_obey(revision) {
            Ok(())
        } else {
            Err(None)
        }
    }

    fn first_spread(&self) -> Spread {
        match self.rules.sharing {
            Sharing::Partitions(count) => {
                let free = vec![Share::Free; usize::try_from(count).unwrap_or(usize::MAX)];
                Spread::Partitions(partitions::spread(&free, &self.roll))
            }
            Sharing::Index => generations::begin(&[], &self.roll),
        }
    }

    fn eviction(&self, member: &Incarnation) -> MemberRecord {
        MemberRecord {
            v: VERSION,
            name: member.to_string(),
            incarnation: member.clone(),
            nonce: 0,
            lease_ms: 1,
            state: MemberState::Evicted,
            obeys: Sequence::default(),
            joined: crate::time::Timestamp::default(),
            host: String::new(),
            evicted_by: self.me.name.clone(),
        }
    }

    /// Takes the answer to what the planner wrote.
    pub(super) fn plan_answered(
        &mut self,
        now: Moment,
        asked: Asked,
        answer: &Answer,
        effects: &mut Vec<Effect>,
    ) {
        match (answer, asked) {
            (Answer::Stored(revision), Asked::Plan(plan)) => {
                self.roll.followed();
                self.roll.forget_gone(&plan.spread.members());
                let plan = Content::Plan(plan.stored_at(*revision));
                self.see_plan(now, *revision, &plan, effects);
            }
            (Answer::Stored(revision), Asked::Eviction(member)) => {
                self.evicted(now, &member, *revision, effects);
            }
            (_, asked) => {
                self.plan_due = now.after(self.rules.timings.renew / 16);
                self.read_again(match asked {
                    Asked::Plan(_) => Key::Plan,
                    Asked::Eviction(member) => Key::Member(member),
                });
            }
        }
    }

    fn evicted(
        &mut self,
        now: Moment,
        member: &Incarnation,
        revision: Sequence,
        effects: &mut Vec<Effect>,
    ) {
        let record = Content::Member(self.eviction(member));
        let lease_max = self.rules.lease_max;
        self.roll.see(now, member, (revision, &record), lease_max);
        effects.push(Effect::Notify(Notice::Evicted(member.clone())));
    }
}
