//! What a member reads: the plan, at each renewal, whether a watch told of it or not; its own record,
//! where an answer did not tell; and as a planner everybody's.

use super::exchange::{Effect, Key, ReadAnswer};
use super::member::{Member, PlanView};
use crate::leadership::{Incarnation, Moment};

impl Member {
    /// Whether the planner must learn that it has missed no member.
    pub(super) fn wants_list(&self) -> bool {
        let planned = match &self.plan {
            PlanView::Known { .. } => true,
            PlanView::Unknown | PlanView::Vacant { .. } | PlanView::Foreign { .. } => false,
        };
        self.planning && planned && !self.listed
    }

    pub(super) fn list(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.wants_list() && self.listing.is_none() && self.list_due <= now {
            let id = self.next_id();
            self.listing = Some((id, now));
            effects.push(Effect::List(id));
        }
    }

    pub(super) fn take_listing(&mut self, now: Moment, id: u64, members: Option<Vec<Incarnation>>) {
        let asked = self.listing.take_if(|(listing, _)| *listing == id);
        if asked.is_none() {
            return;
        }
        if let Some(members) = members {
            for member in &members {
                if !self.roll.has_read(member) {
                    self.to_read.insert(Key::Member(member.clone()));
                }
            }
            self.roll.expect(now, &members, self.rules.lease_max);
            self.listed = true;
        } else {
            self.list_again(now);
        }
    }

    pub(super) fn list_again(&mut self, now: Moment) {
        self.listed = false;
        // A refusal comes back in no time, and would be asked for again as fast.
        self.list_due = now.after(self.rules.timings.renew / 16);
    }

    /// A listing that was asked for before the newest plan was seen may lack a member, and what was
    /// to be read by one of another connection may not have been.
    pub(super) fn forget_listing(&mut self) {
        self.listed = false;
        self.listing = None;
    }

    /// Asks for a key once more, at the next occasion.
    pub(super) fn read_again(&mut self, key: Key) {
        self.to_read.insert(key);
    }

    pub(super) fn read(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let timings = self.rules.timings;
        if self.plan_read_due <= now {
            self.plan_read_due = now.after(timings.renew);
            self.to_read.insert(Key::Plan);
        }
        let id = self.next_id();
        if self.presence.read(now, id, &timings) {
            effects.push(Effect::Read(id, Key::Member(self.me.incarnation.clone())));
        }
        for key in std::mem::take(&mut self.to_read) {
            let id = self.next_id();
            let deadline = self.expires(now);
            self.reads.insert(id, (key.clone(), deadline));
            effects.push(Effect::Read(id, key));
        }
    }

    pub(super) fn take_read(
        &mut self,
        now: Moment,
        id: u64,
        answer: &ReadAnswer,
        effects: &mut Vec<Effect>,
    ) {
        let timings = &self.rules.timings;
        let key = if self.presence.take_read(id) {
            Key::Member(self.me.incarnation.clone())
        } else if let Some((key, _)) = self.reads.remove(&id) {
            key
        } else {
            return;
        };
        match answer {
            ReadAnswer::Seen(revision, content) => {
                self.see(now, &key, (*revision, content), effects);
            }
            ReadAnswer::Failed if key == Key::Member(self.me.incarnation.clone()) => {
                self.presence.read_failed(now, timings);
            }
            // Nothing is planned by what is not known: the listing asks for it again.
            ReadAnswer::Failed if key != Key::Plan => self.list_again(now),
            ReadAnswer::Failed => {}
        }
    }
}
