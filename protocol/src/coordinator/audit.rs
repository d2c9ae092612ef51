//! The audit: once in a while the leader compares its books with what the broker has, and repairs.

use super::{Coordinator, Role};
use crate::effects::Effects;
use crate::leader::{AUDIT_EVERY, Audit};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::subject::AttemptName;
use crate::takeover::{Listed, Step, read_listing};
use crate::time::Timestamp;

impl Coordinator {
    pub(super) fn start_audit(&mut self, now: Timestamp, effects: &mut Effects) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        if matches!(leader.audit, Audit::Due(at) if at <= now) && effects.step.is_none() {
            let mark = leader.stored_mark();
            leader.audit = Audit::Listing { mark };
            effects.step = Some((leader.epoch, Step::Audit));
        }
    }

    /// The work queue was listed, and then the ledger's last sequence was read.
    pub(super) fn audited(
        &mut self,
        now: Timestamp,
        epoch: Epoch,
        (listing, until): (&[String], Sequence),
        effects: &mut Effects,
    ) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        let Audit::Listing { mark } = leader.audit else {
            return;
        };
        if leader.epoch != epoch {
            return;
        }
        match read_listing(&self.subjects, epoch, leader.fence_last, listing) {
            Some(listed) => {
                leader.audit = Audit::CatchingUp {
                    mark,
                    until,
                    listed,
                }
            }
            None => self.in_doubt(
                now,
                "the work queue does not show our fence any more",
                effects,
            ),
        }
    }

    /// Judges the audit once the ledger is folded far enough.
    pub(super) fn judge_audit(&mut self, now: Timestamp, effects: &mut Effects) {
        let folded = self.ledger.last_sequence();
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        let folded = match planted!(AuditWithoutCatchUp) {
            true => Sequence::new(u64::MAX),
            false => folded,
        };
        if !matches!(leader.audit, Audit::CatchingUp { until, .. } if folded >= until) {
            return;
        }
        let next = Audit::Due(now.after(AUDIT_EVERY));
        let Audit::CatchingUp { mark, listed, .. } = std::mem::replace(&mut leader.audit, next)
        else {
            return;
        };
        self.repair(mark, &listed, effects);
    }

    fn repair(&mut self, mark: Sequence, listed: &Listed, effects: &mut Effects) {
        let Role::Leading(leader) = &self.role else {
            return;
        };
        let there: std::collections::BTreeSet<(Accepted, Attempt)> =
            listed.attempts.iter().map(AttemptName::numbers).collect();
        // Stored before the listing, without an outcome, and not there: its message vanished.
        let vanished: Vec<(Accepted, Attempt)> = leader
            .outstanding
            .iter()
            .filter(|(accepted, out)| {
                out.stored
                    .is_some_and(|at| at <= mark || planted!(AuditJudgesAll))
                    && !there.contains(&(**accepted, out.attempt))
            })
            .map(|(accepted, out)| (*accepted, out.attempt))
            .collect();
        for (accepted, attempt) in vanished {
            effects.alarms.push(format!(
                "the work message of {accepted} {attempt} vanished: it is dispatched again"
            ));
            self.take_back(accepted, attempt, effects);
        }
        self.adopt_strays(listed, effects);
        self.delete_spent(listed, effects);
    }

    /// What is listed for the second time although its outcome is recorded: nobody will ack it any
    /// more. A server that is killed may bring back what was acked, where no consumer hands it out.
    fn delete_spent(&mut self, listed: &Listed, effects: &mut Effects) {
        let spent: Vec<&AttemptName> = self.spent(listed).collect();
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        let numbers = spent.iter().map(|name| name.numbers()).collect();
        let before = std::mem::replace(&mut leader.spent, numbers);
        if !planted!(SpentStays) {
            let again = spent
                .into_iter()
                .filter(|it| before.contains(&it.numbers()));
            effects.spent = again.cloned().collect();
        }
    }

    /// Those listed attempts whose outcomes are recorded.
    pub(super) fn spent<'l>(&self, listed: &'l Listed) -> impl Iterator<Item = &'l AttemptName> {
        listed.attempts.iter().filter(|name| {
            let job = self.ledger.job(name.accepted);
            let is_spent =
                job.is_some_and(|job| job.name == name.job && job.state.last() >= name.attempt);
            is_spent || planted!(UnspentIsDeleted)
        })
    }

    /// Listed, without an outcome, and not in our books: it counts as outstanding.
    fn adopt_strays(&mut self, listed: &Listed, effects: &mut Effects) {
        let role = std::mem::replace(&mut self.role, Role::Follower);
        let Role::Leading(mut leader) = role else {
            self.role = role;
            return;
        };
        for name in &listed.attempts {
            if !leader.outstanding.contains_key(&name.accepted) {
                let before = leader.outstanding.len();
                let stored = leader.fence_last;
                self.adopt(&mut leader, name, stored);
                if leader.outstanding.len() > before {
                    effects.alarms.push(format!(
                        "the work queue held {} {} that no dispatch of ours explains",
                        name.accepted, name.attempt
                    ));
                }
            }
        }
        self.role = Role::Leading(leader);
    }
}
