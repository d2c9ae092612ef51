//! The ground that a coordinator stands on: whether the ledger is still the one that was folded, and
//! whether the promises hold with what exists on the broker. Without it nothing new is begun.

use std::sync::Arc;
use std::time::Duration;

use super::{Coordinator, Ground, LedgerFacts, Role};
use crate::effects::{Effects, Stop, WantedConsumer};
use crate::id::QueueName;
use crate::ledger::RecordIdentity;
use crate::time::Timestamp;

/// A server that was cut off from the others believes for up to 10 s that it leads the ledger's
/// stream, and shows an older end of it. One that stays behind for longer went back.
const BEHIND_MAX: Duration = Duration::from_secs(15);

/// Whether the ledger is the one that was folded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Same {
    /// It is.
    Yes,
    /// It ends before what was folded, or lacks it: gone back, or an answer of the past.
    Behind,
    /// It is not, for this reason.
    No(String),
}

impl Coordinator {
    /// Why no promise can be kept with what exists on the broker, if so: dispatch stands still.
    #[must_use]
    pub fn frozen(&self) -> Option<&str> {
        self.frozen.as_deref()
    }

    /// What exists was compared with what should.
    pub(super) fn stand_on(&mut self, now: Timestamp, ground: Ground, effects: &mut Effects) {
        match ground {
            Ground::Sound => {
                self.frozen = None;
                let queues: Vec<QueueName> =
                    self.ledger.configured().map(|(q, _)| q.clone()).collect();
                for queue in queues {
                    self.want_consumer(&queue, effects);
                }
            }
            Ground::Unsafe(why) => self.frozen = Some(why),
            Ground::LedgerGone => {
                let why = "its stream does not exist any more".to_owned();
                self.stop(Stop::LedgerGone(why), effects);
            }
            Ground::WorkMade => match self.role {
                Role::Follower | Role::Stopped(_) => {}
                Role::Advancing(_) | Role::TakingOver(_) | Role::Leading(_) | Role::Suspended => {
                    self.in_doubt(now, "the work queue was made anew", effects);
                }
            },
        }
    }

    /// Has the consumer of a queue made, or set right, while leading.
    pub(super) fn want_consumer(&self, queue: &QueueName, effects: &mut Effects) {
        let Role::Leading(leader) = &self.role else {
            return;
        };
        if let Some(config) = self.ledger.queue_config(queue) {
            let is_held = leader.places.get(queue).is_some_and(|p| p.taken > 0);
            effects.consumers.push(WantedConsumer {
                queue: queue.clone(),
                config: Arc::clone(config),
                is_held,
            });
        }
    }

    /// The ledger's facts were read between takeovers.
    pub(super) fn ledger_seen(
        &mut self,
        now: Timestamp,
        facts: &LedgerFacts,
        then: Option<&RecordIdentity>,
        effects: &mut Effects,
    ) {
        match self.compare(now, facts, then) {
            Same::Yes | Same::Behind => {}
            Same::No(why) => self.stop(Stop::WentBack(why), effects),
        }
    }

    /// Compares the ledger with what was folded. `then` is the last record that was folded when the
    /// facts were asked for: they may be older than what was folded since.
    pub(super) fn compare(
        &mut self,
        now: Timestamp,
        facts: &LedgerFacts,
        then: Option<&RecordIdentity>,
    ) -> Same {
        let created = *self.ledger_created.get_or_insert(facts.created);
        if created != facts.created {
            return Same::No(format!("it was made anew at {}", facts.created));
        }
        let Some(then) = then.filter(|_| !planted!(WentBackUnnoticed)) else {
            return Same::Yes;
        };
        let why = if facts.last < then.sequence {
            format!(
                "it ends at {}, but {} was folded",
                facts.last, then.sequence
            )
        } else {
            let other = format!(
                "its record {} is not the one that was folded",
                then.sequence
            );
            match &facts.at_folded {
                Some(found) if self.differs(then, found) => return Same::No(other),
                Some(_) => {
                    self.behind_since = None;
                    return Same::Yes;
                }
                None => other,
            }
        };
        let since = *self.behind_since.get_or_insert(now);
        match now.since(since) >= BEHIND_MAX {
            true => Same::No(why),
            false => Same::Behind,
        }
    }

    fn differs(&self, then: &RecordIdentity, found: &RecordIdentity) -> bool {
        [Some(then), self.ledger.last()]
            .into_iter()
            .flatten()
            .any(|folded| folded.sequence == found.sequence && folded != found)
    }
}
