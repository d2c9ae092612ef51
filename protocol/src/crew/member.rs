//! One process's part in one crew: what it knows, and what follows from each input.

use std::collections::{BTreeMap, BTreeSet};

use super::exchange::{Content, Effect, Grant, Input, Key, Notice, Standing};
use super::holding::{Permit, Run};
use super::plan::Plan;
use super::presence::Presence;
use super::record::{MemberRecord, MemberState, RecordError, VERSION};
use super::roll::Roll;
#[cfg(test)]
use super::rules::Omitted;
use super::rules::{CrewRules, Identity, Omission, RulesError};
use crate::answer::Answer;
use crate::leadership::{Incarnation, Moment, is_name};
use crate::number::{Epoch, Sequence};

/// One process's part in one crew. When it is out, another life takes its place: a new value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    pub(super) rules: CrewRules,
    pub(super) me: Identity,
    now: Moment,
    pub(super) connected: Option<Moment>,
    pub(super) leaving: bool,
    pub(super) presence: Presence,
    pub(super) plan: PlanView,
    /// The highest revision of a plan that was seen; none below it is obeyed.
    pub(super) plan_floor: Sequence,
    pub(super) runs: BTreeMap<u32, Run>,
    pub(super) permit: Permit,
    pub(super) guarded: Option<Moment>,
    pub(super) told_out: bool,
    pub(super) planning: bool,
    pub(super) epoch: Epoch,
    pub(super) roll: Roll,
    pub(super) asked: Option<(u64, Moment, Asked)>,
    pub(super) plan_due: Moment,
    /// Whether all members were listed since the plan that is known was first seen.
    pub(super) listed: bool,
    pub(super) listing: Option<(u64, Moment)>,
    pub(super) list_due: Moment,
    pub(super) reads: BTreeMap<u64, (Key, Moment)>,
    pub(super) to_read: BTreeSet<Key>,
    /// When the plan is read again, whether a watch told of it or not.
    pub(super) plan_read_due: Moment,
    pub(super) next_id: u64,
}

/// What is known of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum PlanView {
    /// Nothing yet.
    Unknown,
    /// There is none; 0, or the revision of the mark of its deletion.
    Vacant { revision: Sequence },
    /// Something that this version cannot read.
    Foreign {
        revision: Sequence,
        error: RecordError,
    },
    /// A plan, and when this revision was first seen.
    Known {
        revision: Sequence,
        plan: Plan,
        at: Moment,
    },
}

/// What the planner has under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    Plan(Plan),
    Eviction(Incarnation),
}

impl Member {
    /// Begins without a connection, in nothing.
    ///
    /// # Errors
    /// The rules do not fit together.
    pub fn new(mut rules: CrewRules, mut me: Identity) -> Result<Self, RulesError> {
        rules.validate()?;
        if !is_name(&me.name) {
            me.name = me.incarnation.to_string();
        }
        rules.lease_max = rules.lease_max.max(rules.timings.lease);
        let now = me.started.0;
        Ok(Self {
            presence: Presence::new(now, rules.omitted),
            roll: Roll::new(rules.omitted),
            rules,
            me,
            now,
            connected: None,
            leaving: false,
            plan: PlanView::Unknown,
            plan_floor: Sequence::default(),
            runs: BTreeMap::new(),
            permit: Permit::NotYet,
            guarded: None,
            told_out: false,
            planning: false,
            epoch: Epoch::default(),
            asked: None,
            plan_due: now,
            listed: false,
            listing: None,
            list_due: now,
            reads: BTreeMap::new(),
            to_read: BTreeSet::new(),
            plan_read_due: now,
            next_id: 0,
        })
    }

    /// Goes on without a rule, or with all of them.
    #[cfg(test)]
    pub(super) const fn omit(&mut self, omitted: Omitted) {
        self.rules.omitted = omitted;
        self.presence.omitted = omitted;
        self.roll.omitted = omitted;
    }

    /// Takes an input and says what must be done, in this order.
    #[must_use]
    pub fn handle(&mut self, now: Moment, input: Input) -> Vec<Effect> {
        // A clock that went back would lengthen trust.
        self.now = self.now.max(now);
        let now = self.now;
        let mut effects = Vec::new();
        // What has run out by now has run out before this input came.
        self.settle_holding(now, &mut effects);
        self.take(now, input, &mut effects);
        self.expire(now);
        self.settle_holding(now, &mut effects);
        if self.connected.is_some() {
            self.write(now, &mut effects);
            self.plan_on(now, &mut effects);
            self.list(now, &mut effects);
            self.read(now, &mut effects);
        }
        effects
    }

    /// When to come back with [`Input::Tick`] if nothing else happens before.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        let now = self.now;
        let reads = self.reads.values().map(|(_, deadline)| *deadline).min();
        let listing = match self.listing {
            Some((_, started)) => Some(self.expires(started)),
            None => (self.wants_list() && self.connected.is_some()).then_some(self.list_due),
        };
        let permit = (self.permit == Permit::Holds).then(|| {
            let until = self.presence.until.since(Moment::default());
            let ends = until.saturating_sub(self.rules.wind_up);
            Moment::default().after(ends)
        });
        let permit = permit.filter(|ends| *ends > now);
        let connected = self.connected.is_some();
        let write = connected.then(|| self.write_due(now)).flatten();
        let plan_read = connected.then_some(self.plan_read_due);
        let hangs = self.hangs_from().filter(|from| *from > now);
        let wakes = [
            reads,
            listing,
            permit,
            write,
            plan_read,
            hangs,
            self.presence.wake(connected),
            self.plan_wake(now),
        ];
        let wake = wakes.into_iter().flatten().min();
        wake.unwrap_or(Moment::from_nanos(u64::MAX))
    }

    /// What this process is in the crew.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.presence.out.is_some() {
            Standing::Out
        } else if self.leaving {
            Standing::Leaving
        } else {
            match self.permit {
                Permit::NotYet => Standing::Joining,
                Permit::Holds => Standing::Member(self.presence.until),
                Permit::Over => Standing::Suspended,
            }
        }
    }

    /// What it runs or winds up, in the order of the numbers.
    pub fn runs(&self) -> impl Iterator<Item = Grant> {
        self.runs.values().map(|run| run.grant)
    }

    /// Who takes part.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.me
    }

    fn take(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::Connected => self.connect(now),
            Input::Disconnected => self.disconnect(now),
            Input::Planning(epoch) => self.set_planning(epoch),
            Input::Seen(key, revision, content) => {
                self.see(now, &key, (revision, &content), effects);
            }
            Input::Read(id, answer) => self.take_read(now, id, &answer, effects),
            Input::Listed(id, members) => self.take_listing(now, id, members),
            Input::Wrote(id, answer) => self.wrote(now, id, &answer, effects),
            Input::Ended(number) => {
                self.runs.remove(&number);
            }
            Input::Leave => {
                self.leaving = true;
                if self.presence.never_written() {
                    self.presence.leave_unwritten();
                }
            }
        }
    }

    fn connect(&mut self, now: Moment) {
        self.connected = Some(now);
        self.presence.connected(now);
        self.plan_read_due = now;
        self.plan_due = now;
    }

    fn disconnect(&mut self, now: Moment) {
        self.connected = None;
        self.presence.disconnected(now, &self.rules.timings);
        self.asked = None;
        self.forget_listing();
        self.reads.clear();
    }

    fn set_planning(&mut self, epoch: Option<Epoch>) {
        self.planning = epoch.is_some();
        self.epoch = epoch.unwrap_or_default();
        self.forget_listing();
    }

    pub(super) fn see(
        &mut self,
        now: Moment,
        key: &Key,
        (revision, content): (Sequence, &Content),
        effects: &mut Vec<Effect>,
    ) {
        match key {
            Key::Plan => self.see_plan(now, revision, content, effects),
            Key::Member(member) => {
                let lease_max = self.rules.lease_max;
                self.roll.see(now, member, (revision, content), lease_max);
                if *member == self.me.incarnation {
                    let (me, timings) = (&self.me.incarnation, &self.rules.timings);
                    self.presence.see(now, me, (revision, content), timings);
                }
            }
        }
    }

    /// Takes what stood at the plan's key: none older than one that was seen.
    pub(super) fn see_plan(
        &mut self,
        now: Moment,
        revision: Sequence,
        content: &Content,
        effects: &mut Vec<Effect>,
    ) {
        let none = revision == Sequence::default();
        let obeys_older = self.rules.omitted.is(Omission::OlderPlanIgnored);
        if revision < self.plan_floor && !none && !obeys_older {
            return;
        }
        if let PlanView::Known {
            revision: known, ..
        } = &self.plan
            && *known == revision
        {
            return;
        }
        self.plan_floor = self.plan_floor.max(revision);
        self.forget_listing();
        self.plan = match content {
            Content::Plan(plan) => {
                let members = plan.spread.members();
                let lease_max = self.rules.lease_max;
                if self.planning {
                    self.roll.expect(now, &members, lease_max);
                }
                effects.push(Effect::Notify(Notice::Planned {
                    revision,
                    members: u32::try_from(members.len()).unwrap_or(u32::MAX),
                }));
                if !plan.fits(self.rules.sharing) {
                    let why = "it shares something else than this program is configured for";
                    effects.push(Effect::Notify(Notice::Unusable(why.to_owned())));
                }
                PlanView::Known {
                    revision,
                    plan: plan.clone(),
                    at: now,
                }
            }
            Content::Foreign(error) => {
                effects.push(Effect::Notify(Notice::Unusable(error.to_string())));
                PlanView::Foreign {
                    revision,
                    error: error.clone(),
                }
            }
            Content::Vacant | Content::Member(_) => PlanView::Vacant { revision },
        };
    }

    fn wrote(&mut self, now: Moment, id: u64, answer: &Answer, effects: &mut Vec<Effect>) {
        if let Some((_, _, asked)) = self.asked.take_if(|(asked, _, _)| *asked == id) {
            self.plan_answered(now, asked, answer, effects);
            return;
        }
        let timings = &self.rules.timings;
        let Some(attempt) = self.presence.answered(id) else {
            // Given up before: the record itself decides.
            return;
        };
        match answer {
            Answer::Stored(revision) => self.presence.stored(now, &attempt, *revision, timings),
            Answer::WrongLast => self.presence.conflicted(now, timings),
            Answer::Busy | Answer::Full(_) | Answer::NoResponders | Answer::Refused { .. } => {
                self.presence.refused(now, timings);
            }
            Answer::Duplicate(_) | Answer::Occupied | Answer::Unanswered => {
                self.presence.unanswered(now, attempt, timings);
            }
        }
    }

    fn expire(&mut self, now: Moment) {
        self.presence.expire(now, &self.rules.timings);
        if let Some((_, _, asked)) = self.asked.take_if(|(_, deadline, _)| *deadline <= now) {
            self.read_again(match asked {
                Asked::Plan(_) => Key::Plan,
                Asked::Eviction(member) => Key::Member(member),
            });
        }
        let request = self.rules.timings.request;
        self.listing
            .take_if(|(_, started)| started.after(request) <= now);
        let mut unread = false;
        self.reads.retain(|_, (key, deadline)| {
            let waits = *deadline > now;
            unread |= !waits && *key != Key::Plan;
            waits
        });
        if unread {
            self.list_again(now);
        }
    }

    fn write_due(&self, now: Moment) -> Option<Moment> {
        let urgent = self.word_is_awaited() || self.may_leave();
        if self.hangs(now) {
            return None;
        }
        self.presence.write_due(now, urgent)
    }

    /// Whether all work has ended that the member must end before it says that it left.
    fn may_leave(&self) -> bool {
        let drained = self.runs.is_empty() || self.rules.omitted.is(Omission::DrainBeforeLeaving);
        self.leaving && drained
    }

    fn write(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.write_due(now).is_none_or(|due| now < due) {
            return;
        }
        let state = if self.may_leave() {
            MemberState::Left
        } else {
            MemberState::Joined
        };
        let obeys = self.obeys();
        let id = self.next_id();
        let timings = &self.rules.timings;
        let (nonce, expected) = self.presence.write((now, id), (state, obeys), timings);
        let record = self.record(nonce, state, obeys);
        effects.push(Effect::Write {
            id,
            key: Key::Member(self.me.incarnation.clone()),
            expected,
            body: record.encode(),
        });
    }

    fn record(&self, nonce: u64, state: MemberState, obeys: Sequence) -> MemberRecord {
        let lease = self.rules.timings.lease;
        MemberRecord {
            v: VERSION,
            name: self.me.name.clone(),
            incarnation: self.me.incarnation.clone(),
            nonce,
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            state,
            obeys,
            joined: self.me.started.1,
            host: self.me.host.clone(),
            evicted_by: String::new(),
        }
    }

    pub(super) fn expires(&self, started: Moment) -> Moment {
        started.after(self.rules.timings.request)
    }

    pub(super) const fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
