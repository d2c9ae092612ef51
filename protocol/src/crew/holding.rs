//! The member's half: which shares it runs, by the newest plan it knows and under its permit, and
//! what it may say that it obeys.

use super::exchange::{Effect, Grant, Notice, RevokeReason};
use super::member::{Member, PlanView};
use super::rules::Omission;
use crate::leadership::Moment;
use crate::number::Sequence;

/// A share that this member runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) grant: Grant,
    pub(super) phase: Phase,
}

/// How far its work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Running,
    /// It was told to end, at this moment.
    Ending(Moment),
}

/// Whether the member may run what the plan gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Permit {
    /// It never could yet.
    NotYet,
    Holds,
    /// The work is told to end, so that it has ended when the permit has.
    Over,
}

impl Member {
    /// Brings what runs in line with plan and permit.
    pub(super) fn settle_holding(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let permit = self.permit_at(now);
        let wanted = self.granted();
        let runnable =
            |grant: &Grant| permit == Permit::Holds && wanted.binary_search(grant).is_ok();
        let why = self.revoke_reason(permit);
        for (number, run) in &mut self.runs {
            if run.phase == Phase::Running && !runnable(&run.grant) {
                run.phase = Phase::Ending(now);
                effects.push(Effect::Revoke(*number, why));
            }
        }
        self.tell_permit(permit, effects);
        let fresh: Vec<Grant> = wanted
            .iter()
            .filter(|grant| runnable(grant) && !self.runs.contains_key(&grant.number))
            .copied()
            .collect();
        for grant in &fresh {
            let phase = Phase::Running;
            let grant = *grant;
            self.runs.insert(grant.number, Run { grant, phase });
        }
        self.guard(effects);
        effects.extend(fresh.into_iter().map(Effect::Start));
    }

    fn permit_at(&self, now: Moment) -> Permit {
        let ends = now.after(self.rules.wind_up);
        let fresh = ends < self.presence.until || self.rules.omitted.is(Omission::PermitEnds);
        if self.presence.is_in() && !self.leaving && fresh {
            Permit::Holds
        } else if self.permit == Permit::NotYet {
            Permit::NotYet
        } else {
            Permit::Over
        }
    }

    fn revoke_reason(&self, permit: Permit) -> RevokeReason {
        if self.presence.out.is_some() {
            RevokeReason::Out
        } else if self.leaving {
            RevokeReason::Leaving
        } else if permit == Permit::Holds {
            RevokeReason::Moved
        } else {
            RevokeReason::Unrenewed
        }
    }

    fn tell_permit(&mut self, permit: Permit, effects: &mut Vec<Effect>) {
        let ending = self.leaving || self.presence.out.is_some();
        let notice = match (self.permit, permit) {
            (Permit::NotYet, Permit::Holds) => Some(Notice::Joined),
            (Permit::Over, Permit::Holds) => Some(Notice::Resumed),
            (Permit::Holds, Permit::Over) => (!ending).then_some(Notice::Suspended),
            (Permit::NotYet | Permit::Over, Permit::NotYet | Permit::Over) => None,
            (Permit::Holds, Permit::Holds | Permit::NotYet) => None,
        };
        self.permit = permit;
        effects.extend(notice.map(Effect::Notify));
        if let Some(reason) = &self.presence.out
            && !self.told_out
        {
            self.told_out = true;
            effects.push(Effect::Notify(Notice::Out(reason.clone())));
        }
    }

    /// Arms the timer that ends a process whose work outlasts its permit.
    fn guard(&mut self, effects: &mut Vec<Effect>) {
        let until = (!self.runs.is_empty()).then_some(self.presence.until);
        if self.guarded != until {
            self.guarded = until;
            effects.push(until.map_or(Effect::Unguard, Effect::Guard));
        }
    }

    /// What the newest plan gives to this life, in order, whatever the permit says.
    pub(super) fn granted(&self) -> Vec<Grant> {
        match &self.plan {
            PlanView::Known { plan, .. } if plan.fits(self.rules.sharing) => {
                plan.granted(&self.me.incarnation)
            }
            PlanView::Known { .. }
            | PlanView::Unknown
            | PlanView::Vacant { .. }
            | PlanView::Foreign { .. } => Vec::new(),
        }
    }

    /// The newest plan of which this member can say that it runs nothing beside it.
    pub(super) fn obeys(&self) -> Sequence {
        let said = self.presence.obeys;
        let PlanView::Known { revision, .. } = &self.plan else {
            return said;
        };
        let granted = self.granted();
        let drained = self
            .runs
            .values()
            .all(|run| granted.binary_search(&run.grant).is_ok());
        if drained || self.rules.omitted.is(Omission::DrainBeforeWord) {
            said.max(*revision)
        } else {
            said
        }
    }

    /// Whether somebody waits for what the own record does not say yet.
    pub(super) fn word_is_awaited(&self) -> bool {
        match &self.plan {
            PlanView::Known { plan, .. } => {
                let said = self.presence.obeys;
                self.obeys() > said && plan.awaits(&self.me.incarnation, said)
            }
            PlanView::Unknown | PlanView::Vacant { .. } | PlanView::Foreign { .. } => false,
        }
    }

    /// Whether work that was told to end has not, for so long that it hangs: then the record is not
    /// renewed any more, and others take over when the lease has run out.
    pub(super) fn hangs(&self, now: Moment) -> bool {
        self.hangs_from().is_some_and(|from| from <= now)
    }

    pub(super) fn hangs_from(&self) -> Option<Moment> {
        let patience = self.rules.wind_up + self.rules.timings.lease;
        let told = |run: &Run| match run.phase {
            Phase::Running => None,
            Phase::Ending(at) => Some(at.after(patience)),
        };
        self.runs.values().filter_map(told).min()
    }
}
