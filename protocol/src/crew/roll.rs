//! The roll: what a planner has seen of every member's record, and since when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::exchange::Content;
use super::plan::MEMBERS_MAX;
use super::record::MemberState;
use super::rules::{Omission, Omitted};
use crate::leadership::{Incarnation, LeaseTimings, Moment};
use crate::number::Sequence;

/// So many pauses after the first change the plan follows, whether the crew has settled or not.
const SETTLES_MAX: u32 = 5;

/// Members that are gone and remembered; a plan names no more than are live.
const GONE_MAX: usize = 4 * MEMBERS_MAX;

/// What is known of all members.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Roll {
    pub(super) entries: BTreeMap<Incarnation, Entry>,
    /// When the crew changed first and last, if the plan has not followed since.
    pub(super) changed: Option<(Moment, Moment)>,
    pub(super) omitted: Omitted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) revision: Sequence,
    /// When this revision was first seen. Seeing it again changes nothing.
    pub(super) at: Moment,
    pub(super) lease: Duration,
    pub(super) sign: Sign,
}

/// What a member's key shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sign {
    /// It was here when it wrote this.
    Here {
        /// The plan that it obeyed then.
        obeys: Sequence,
    },
    /// It holds nothing and never will.
    Gone,
    /// A record that cannot be read, or none where one must be: nothing is known of what it holds.
    Unread,
}

impl Roll {
    pub(super) const fn new(omitted: Omitted) -> Self {
        Self {
            entries: BTreeMap::new(),
            changed: None,
            omitted,
        }
    }

    /// Takes what stood at a member's key.
    pub(super) fn see(
        &mut self,
        now: Moment,
        member: &Incarnation,
        (revision, content): (Sequence, &Content),
        lease_max: Duration,
    ) {
        let vanished = revision == Sequence::new(0);
        let before = self.entries.get(member);
        let older = before.is_some_and(|before| revision <= before.revision && !vanished);
        let again = before.is_some_and(|before| vanished && before.revision == revision);
        let is_final = before.is_some_and(|before| before.sign == Sign::Gone);
        if older || again || is_final {
            return;
        }
        let (sign, lease) = match content {
            Content::Member(record) if record.incarnation == *member => match record.state {
                MemberState::Joined => {
                    let obeys = record.obeys;
                    (Sign::Here { obeys }, record.lease())
                }
                MemberState::Left | MemberState::Evicted => (Sign::Gone, Duration::ZERO),
            },
            Content::Member(_) | Content::Plan(_) | Content::Foreign(_) | Content::Vacant => {
                (Sign::Unread, lease_max)
            }
        };
        let was_live = before.is_some_and(Entry::is_live);
        let entry = Entry {
            revision,
            at: now,
            lease,
            sign,
        };
        if was_live != entry.is_live() {
            let first = self.changed.map_or(now, |(first, _)| first);
            self.changed = Some((first, now));
        }
        self.entries.insert(member.clone(), entry);
    }

    /// Takes note of members that must have a record and of whom nothing was seen.
    pub(super) fn expect<'a>(
        &mut self,
        now: Moment,
        members: impl IntoIterator<Item = &'a Incarnation>,
        lease_max: Duration,
    ) {
        for member in members {
            if !self.entries.contains_key(member) {
                self.see(now, member, (Sequence::new(0), &Content::Vacant), lease_max);
            }
        }
    }

    /// Forgets those that are gone and that no plan names.
    pub(super) fn forget_gone(&mut self, named: &[Incarnation]) {
        if self.entries.len() > GONE_MAX {
            let named: BTreeSet<&Incarnation> = named.iter().collect();
            self.entries
                .retain(|member, entry| entry.sign != Sign::Gone || named.contains(member));
        }
    }

    /// Whether this member's record was seen, whatever it was.
    pub(super) fn has_read(&self, member: &Incarnation) -> bool {
        let entry = self.entries.get(member);
        entry.is_some_and(|entry| entry.revision != Sequence::new(0) || entry.sign == Sign::Gone)
    }

    /// Whether of everybody in it is known what they are. Of the others a plan can say nothing.
    pub(super) fn is_complete(&self) -> bool {
        let mut entries = self.entries.values();
        entries.all(|entry| entry.sign != Sign::Unread)
    }

    /// The live members, in a fixed order, no more than a plan can name.
    pub(super) fn live(&self) -> impl Iterator<Item = &Incarnation> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.is_live())
            .map(|(member, _)| member)
            .take(MEMBERS_MAX)
    }

    pub(super) fn is_live(&self, member: &Incarnation) -> bool {
        self.entries.get(member).is_some_and(Entry::is_live)
    }

    /// Whether it is certain that this member holds nothing and never will.
    pub(super) fn is_gone(&self, member: &Incarnation) -> bool {
        let entry = self.entries.get(member);
        entry.is_some_and(|entry| entry.sign == Sign::Gone)
    }

    /// Whether this member has said that it runs nothing that the plan of this revision took.
    pub(super) fn obeys(&self, member: &Incarnation, plan: Sequence) -> bool {
        if self.omitted.is(Omission::Acknowledged) {
            return true;
        }
        match self.entries.get(member).map(|entry| entry.sign) {
            Some(Sign::Here { obeys }) => obeys >= plan,
            Some(Sign::Gone) => true,
            Some(Sign::Unread) | None => false,
        }
    }

    /// Whether everybody is known to run nothing that the plan of this revision does not give.
    pub(super) fn all_obey(&self, plan: Sequence) -> bool {
        self.entries.keys().all(|member| self.obeys(member, plan))
    }

    /// Who has been silent for a whole lease by `now`, and at which revision; else from when
    /// somebody will have been. `me` is not asked for; nobody counts before `not_before`.
    pub(super) fn overdue(
        &self,
        now: Moment,
        me: &Incarnation,
        not_before: Moment,
    ) -> Result<(&Incarnation, Sequence), Option<Moment>> {
        let due = |entry: &Entry| {
            let waited = entry.at.after(LeaseTimings::outwait(entry.lease));
            let waited = if self.omits(Omission::LeaseWaited) {
                entry.at
            } else {
                waited
            };
            waited.max(not_before)
        };
        let silent = self
            .entries
            .iter()
            .filter(|(member, entry)| *member != me && entry.sign != Sign::Gone)
            .min_by_key(|(_, entry)| due(entry));
        match silent {
            None => Err(None),
            Some((_, entry)) if now < due(entry) => Err(Some(due(entry))),
            Some((member, entry)) => Ok((member, entry.revision)),
        }
    }

    /// From when the plan may follow the crew.
    pub(super) fn settled(&self, settle: Duration) -> Option<Moment> {
        self.changed.map(|(first, last)| {
            let longest = first.after(settle.saturating_mul(SETTLES_MAX));
            last.after(settle).min(longest)
        })
    }

    /// The plan has followed.
    pub(super) const fn followed(&mut self) {
        self.changed = None;
    }

    /// Whether a model took this rule out; never in a program.
    pub(super) fn omits(&self, rule: Omission) -> bool {
        self.omitted.is(rule)
    }
}

impl Entry {
    pub(super) const fn is_live(&self) -> bool {
        matches!(self.sign, Sign::Here { .. })
    }
}
