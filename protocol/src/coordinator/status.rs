//! What a coordinator tells about itself and about a job.

use std::collections::BTreeMap;

use super::{Coordinator, Role};
use crate::job::JobState;
use crate::message::{JobPhase, JobView, QueueStatus};
use crate::number::Accepted;
use crate::subject::JobName;
use crate::time::Timestamp;

impl Coordinator {
    /// The word for its role.
    #[must_use]
    pub const fn role_name(&self) -> &'static str {
        match &self.role {
            Role::Follower => "follower",
            Role::Advancing(_) | Role::TakingOver(_) => "takeover",
            Role::Leading(_) => "leader",
            Role::Suspended => "suspended",
            Role::Stopped(_) => "stopped",
        }
    }

    /// Whether the ledger takes submissions, as far as it was seen.
    #[must_use]
    pub const fn is_door_open(&self) -> Option<bool> {
        self.is_door_open
    }

    /// The workers that are here.
    #[must_use]
    pub fn present_workers(&self) -> Vec<crate::id::WorkerId> {
        self.workers.present().cloned().collect()
    }

    /// Every queue and what it holds.
    #[must_use]
    pub fn queues(&self) -> BTreeMap<String, QueueStatus> {
        let mut queues: BTreeMap<String, QueueStatus> = self
            .ledger
            .tallies()
            .map(|(queue, tally)| (queue.to_owned(), tally.clone()))
            .collect();
        for (queue, _) in self.ledger.configured() {
            let status = queues.entry(queue.to_string()).or_default();
            let capacity = self.workers.capacity(queue);
            status.slots = capacity.map_or(0, |capacity| capacity.slots);
            status.kinds_without_worker = self
                .backlog
                .ready_kinds(queue)
                .filter(|kind| !capacity.is_some_and(|capacity| capacity.handles(kind)))
                .cloned()
                .collect();
        }
        if let Role::Leading(leader) = &self.role {
            for (queue, places) in &leader.places {
                let status = queues.entry(queue.to_string()).or_default();
                status.dispatched = places.taken;
                status.waiting = status.waiting.saturating_sub(places.taken);
            }
        }
        queues
    }

    /// What is known of a job. Its result is read from the ledger by the one who asks.
    #[must_use]
    pub fn view(&self, now: Timestamp, accepted: Accepted) -> Option<JobView> {
        let job = self.ledger.job(accepted)?;
        let JobName::Named { queue, id } = &job.name else {
            return None;
        };
        let mut view = JobView {
            queue: queue.clone(),
            id: id.as_encoded().to_owned(),
            accepted,
            accepted_at: job.accepted_at,
            phase: self.phase(now, accepted, &job.state),
            kind: None,
            key: None,
            attempt: job.state.last(),
            max_attempts: None,
            due: None,
            cancel_requested: false,
            error: None,
            outcome_at: None,
            outcome: None,
        };
        let spec = match &job.state {
            JobState::Open(open) => {
                view.due = Some(open.due);
                view.cancel_requested = open.request.is_some();
                Some(&open.spec)
            }
            JobState::Final(over) => {
                view.outcome_at = Some(over.outcome_at);
                over.again.as_ref().map(|(spec, _)| spec)
            }
            JobState::Unconfigured(early) => {
                view.cancel_requested = early.request.is_some();
                None
            }
            JobState::Unresolved(_) | JobState::Parked { .. } | JobState::Malformed { .. } => None,
        };
        if let Some(spec) = spec {
            view.kind = Some(spec.kind.clone());
            view.key.clone_from(&spec.key);
            view.max_attempts = Some(spec.max_attempts);
        }
        Some(view)
    }

    fn phase(&self, now: Timestamp, accepted: Accepted, state: &JobState) -> JobPhase {
        match state {
            JobState::Unconfigured(_) | JobState::Unresolved(_) => JobPhase::Unconfigured,
            JobState::Parked { .. } => JobPhase::Parked,
            JobState::Malformed { .. } => JobPhase::Available,
            JobState::Final(over) => over.end.phase(),
            JobState::Open(_) if self.is_outstanding(accepted) => JobPhase::Dispatched,
            JobState::Open(open) if open.due <= now => JobPhase::Available,
            JobState::Open(open) if open.failures > 0 => JobPhase::Retryable,
            JobState::Open(_) => JobPhase::Scheduled,
        }
    }
}
