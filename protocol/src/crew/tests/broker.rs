//! What the broker of the small world holds. It stores by compare-and-set.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::answer::Answer;
use crate::crew::{Content, Key, MemberRecord, Plan};
use crate::leadership::Incarnation;
use crate::number::Sequence;

/// The revision at which the newest record of each member stands between two turns. What is older
/// was overwritten, and it does not matter by how much: a write that expects it is refused.
pub(super) const NEWEST: Sequence = Sequence::new(1_000);
pub(super) const OVERWRITTEN: Sequence = Sequence::new(999);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Broker {
    pub(super) plan: Option<(Sequence, Rc<Plan>)>,
    /// Revisions grow over a plan that was deleted.
    pub(super) last_plan: Sequence,
    /// Plans that were stored before, where they may be shown again.
    pub(super) older: Vec<(Sequence, Rc<Plan>)>,
    pub(super) older_max: usize,
    pub(super) members: BTreeMap<Incarnation, (Sequence, MemberRecord)>,
}

impl Broker {
    pub(super) const fn new(older_max: usize) -> Self {
        Self {
            plan: None,
            last_plan: Sequence::new(0),
            older: Vec::new(),
            older_max,
            members: BTreeMap::new(),
        }
    }

    pub(super) fn at(&self, key: &Key) -> (Sequence, Content) {
        let stored = match key {
            Key::Plan => {
                let stored = self.plan.as_ref();
                stored.map(|(revision, plan)| (*revision, Content::Plan((**plan).clone())))
            }
            Key::Member(member) => {
                let stored = self.members.get(member);
                stored.map(|(revision, record)| (*revision, Content::Member(record.clone())))
            }
        };
        stored.unwrap_or((Sequence::default(), Content::Vacant))
    }

    pub(super) fn revision(&self, key: &Key) -> Sequence {
        let stored = match key {
            Key::Plan => self.plan.as_ref().map(|(revision, _)| *revision),
            Key::Member(member) => self.members.get(member).map(|(revision, _)| *revision),
        };
        stored.unwrap_or_default()
    }

    /// Stores a write, or refuses it.
    pub(super) fn store(&mut self, key: &Key, expected: Sequence, content: &Content) -> Answer {
        if self.revision(key) != expected {
            return Answer::WrongLast;
        }
        let revision = match (key, content) {
            (Key::Plan, Content::Plan(plan)) => self.store_plan(plan),
            (Key::Member(member), Content::Member(record)) => {
                let revision = if expected == Sequence::default() {
                    NEWEST
                } else {
                    expected.next()
                };
                self.members
                    .insert(member.clone(), (revision, record.clone()));
                revision
            }
            other => unreachable!("nobody writes {other:?}"),
        };
        Answer::Stored(revision)
    }

    fn store_plan(&mut self, plan: &Plan) -> Sequence {
        let revision = self.last_plan.next();
        self.last_plan = revision;
        if self.older_max > 0 {
            self.older.extend(self.plan.take());
            let forgotten = self.older.len().saturating_sub(self.older_max);
            self.older.drain(..forgotten);
        }
        self.plan = Some((revision, Rc::new(plan.clone().stored_at(revision))));
        revision
    }
}
