//! What is handed on: a nak for each delivery that its worker runs no longer.

use std::time::Duration;

use super::{Holder, LET_GO_WITHIN, Workers};
use crate::id::WorkerId;
use crate::number::{Accepted, Attempt};
use crate::time::Timestamp;

/// A delivery to hand on: a nak that is sent once and never again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescue {
    /// The worker that is missing.
    pub worker: WorkerId,
    /// The job.
    pub accepted: Accepted,
    /// Which try.
    pub attempt: Attempt,
    /// Where the nak goes.
    pub ack: String,
    /// How long the broker waits before it hands the attempt out again.
    pub delay: Duration,
    /// The server of the worker, which must be with the others when the nak is sent
    /// ([`is_with_the_others`]). `None`: it need not be, since a second run is no harm, or the worker said
    /// itself that it runs this no more.
    pub server: Option<String>,
}

/// How long a missing worker is waited for, before what it held is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Since it was found missing.
    pub wait: Duration,
    /// Of a job with a key: how long its lease lasts for certain after its delivery was announced. A
    /// nak that comes later would hit the next delivery, beside whose run it brings about another;
    /// so would one whose sender does not know yet who holds what.
    pub lease: Option<Duration>,
}

/// Within what time a server must have been heard of by the one that leads the work queue. They speak
/// every second.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// A server that keeps the work queue, as the one that leads it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// How long ago it was heard of.
    pub heard: Duration,
}

/// Whether the server of that name leads the work queue or was just heard of by the one that does: a
/// worker at it that nobody finds is gone, or has lost its server and stopped what has a key. A server that is cut off
/// may have the worker with it, alive and at work.
///
/// `leader`: the server that leads; `None`: there is but one server. A server that does not keep
/// the queue is not known to be with them.
#[must_use]
pub fn is_with_the_others(server: &str, leader: Option<&str>, peers: &[Peer]) -> bool {
    let Some(leader) = leader.filter(|_| !peers.is_empty()) else {
        return true;
    };
    let heard = |peer: &Peer| peer.name == server && peer.heard < HEARD_WITHIN;
    server.is_empty() || server == leader || peers.iter().any(heard)
}

impl Workers {
    /// What missing workers held for longer than `patience_with` allows (`None`: the lease only), and is
    /// still outstanding. Each is handed on once.
    pub fn rescues(
        &mut self,
        now: Timestamp,
        patience_with: impl Fn(Accepted, Attempt) -> Option<Patience>,
    ) -> Vec<Rescue> {
        self.rescue_at = None;
        let mut rescues = self.let_go_rescues(now, &patience_with);
        for (id, worker) in &mut self.here {
            let Some(since) = worker.missing_since else {
                continue;
            };
            for accepted in &worker.holds {
                let Some(holder) = self.holders.get_mut(accepted) else {
                    continue;
                };
                let patience = patience_with(*accepted, holder.attempt)
                    .filter(|_| !holder.handed_on || planted!(RescuedAgain));
                let Some(patience) = patience else {
                    continue;
                };
                let ripe = patience.ripe(since.after(patience.wait), self.known_from);
                if !is_ripe(now, ripe, &mut self.rescue_at) || is_over(now, holder, patience) {
                    continue;
                }
                holder.handed_on = true;
                worker.handed_on.push((*accepted, holder.attempt));
                rescues.push(Rescue {
                    worker: id.clone(),
                    accepted: *accepted,
                    attempt: holder.attempt,
                    ack: holder.ack.clone(),
                    delay: again_after(holder.delivery),
                    server: Some(worker.server.clone()),
                });
            }
        }
        rescues
    }

    /// What workers that are here let go themselves: at once, or as soon as all holders are known, and
    /// only under the delivery that they had.
    fn let_go_rescues(
        &mut self,
        now: Timestamp,
        patience_with: &impl Fn(Accepted, Attempt) -> Option<Patience>,
    ) -> Vec<Rescue> {
        let mut rescues = Vec::new();
        for (heard, worker, taken) in std::mem::take(&mut self.let_go) {
            let Some(holder) = self.holders.get_mut(&taken.accepted) else {
                continue;
            };
            // By its ack subject too: a broker that was killed counts deliveries anew.
            let is_its = holder.worker == worker
                && (holder.attempt, holder.delivery) == (taken.attempt, taken.delivery)
                && (holder.ack == taken.ack || planted!(LetGoByCount));
            let is_its = is_its || planted!(LetGoOfAnother);
            let patience = patience_with(taken.accepted, taken.attempt);
            let Some(patience) = patience.filter(|_| is_its) else {
                continue;
            };
            let ripe = patience.ripe(heard, self.known_from);
            if !is_ripe(now, ripe, &mut self.rescue_at) {
                self.let_go.push((heard, worker, taken));
                continue;
            }
            let is_late = ripe.is_some_and(|ripe| now.since(ripe) >= LET_GO_WITHIN)
                || is_over(now, holder, patience);
            let is_late = is_late && !planted!(LetGoLate);
            if is_late || (holder.handed_on && !planted!(RescuedAgain)) {
                continue;
            }
            holder.handed_on = true;
            rescues.push(Rescue {
                worker,
                accepted: taken.accepted,
                attempt: taken.attempt,
                ack: holder.ack.clone(),
                delay: again_after(holder.delivery),
                server: None,
            });
        }
        rescues
    }
}

impl Patience {
    /// When it may be handed on, at `earliest` at the earliest: what has a key, once every holder is
    /// known. `None`: not while there is no connection.
    fn ripe(self, earliest: Timestamp, known_from: Option<Timestamp>) -> Option<Timestamp> {
        match self.lease {
            None => Some(earliest),
            Some(_) if planted!(RescuedUnknowing) => Some(earliest),
            Some(_) => Some(known_from?.max(earliest)),
        }
    }
}

/// Whether that time has come; else it is looked at again then.
fn is_ripe(now: Timestamp, ripe: Option<Timestamp>, look_at: &mut Option<Timestamp>) -> bool {
    let Some(ripe) = ripe else {
        return false;
    };
    if now < ripe {
        *look_at = Some(look_at.map_or(ripe, |at| at.min(ripe)));
    }
    now >= ripe
}

/// Whether its lease may have ended: then the broker hands it on by itself.
fn is_over(now: Timestamp, holder: &Holder, patience: Patience) -> bool {
    let lease = patience.lease;
    lease.is_some_and(|lease| now >= holder.heard.after(lease)) && !planted!(RescuedLate)
}

/// A job that kills its process is handed on later each time: at once, then after 1 s, 2 s, 4 s.
fn again_after(delivery: u64) -> Duration {
    match delivery.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(1 << doublings.min(5)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Peer, is_with_the_others};

    #[test]
    fn a_server_that_the_leader_does_not_hear_may_have_its_workers_with_it() {
        let peer = |name: &str, millis| Peer {
            name: name.to_owned(),
            heard: Duration::from_millis(millis),
        };
        let peers = [peer("n2", 1_100), peer("n3", 2_000)];
        let shown = |server| is_with_the_others(server, Some("n1"), &peers);
        assert!(shown("n1") && shown("n2") && !shown("n3"));
        assert!(!shown("n4"), "one that keeps no copy");
        assert!(shown(""), "an older worker does not say where it is");
        assert!(is_with_the_others("n3", None, &[]), "one server");
        assert!(is_with_the_others("n3", Some("n1"), &[]), "one copy");
    }
}
