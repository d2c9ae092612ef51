//! What arrives on the pull inboxes: work, and what the broker says about pulls.

use async_nats::{Message, StatusCode};
use protocol::leadership::Moment;
use protocol::message::Taken;
use protocol::worker::{Delivery, Event, HOLDERS_STOP_WITHIN, Lease, Plan, Run, pass_on_delay};

use super::{Engine, Entry, RunId};
use crate::context::Cancellation;
use crate::delivery::{Orders, Work};
use crate::handler::Handler;

const REQUEST_TIMEOUT: u16 = 408;
const NO_MESSAGES: u16 = 404;
const CONFLICT: u16 = 409;

/// A delivery that becomes a run.
struct Taking {
    /// The place of its queue.
    at: usize,
    work: Work,
    delivery: Delivery,
    handler: Option<Handler>,
}

impl Engine {
    /// A message on an inbox that nobody was asked to send into before `asked`.
    pub(crate) fn pulled(&mut self, message: Message, asked: Moment, now: Moment) {
        let own = message
            .subject
            .strip_prefix(self.inboxes.pulls.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .map(|rest| rest.split_once('.').map_or("", |(_inbox, rest)| rest));
        match own.map(|rest| rest.split_once('.').unwrap_or_default()) {
            Some(("m", pull)) => {
                let pull = pull
                    .split_once('.')
                    .and_then(|(at, token)| Some((at.parse().ok()?, token.parse().ok()?)));
                if let Some((at, token)) = pull {
                    self.pull_status(at, token, &message, now);
                }
            }
            Some(_) => {}
            None => self.delivered(message, asked, now),
        }
    }

    fn pull_status(&mut self, at: usize, token: u64, message: &Message, now: Moment) {
        let Some(queue) = self.queues.get_mut(at) else {
            return;
        };
        let status = message.status.unwrap_or(StatusCode::OK);
        let text = message.description.as_deref().unwrap_or_default();
        let missing = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Nats-Pending-Messages"))
            .and_then(|value| value.as_str().parse().ok());
        match status.as_u16() {
            100 => queue.pulls.alive(now),
            NO_MESSAGES | REQUEST_TIMEOUT => queue.pulls.ended(token, missing, now),
            // The consumer's leader moved: all requests are gone, a new one finds the new leader.
            CONFLICT if text.contains("Leadership Change") => queue.pulls.ended(token, None, now),
            CONFLICT if missing.is_some() && !text.contains("Deleted") => {
                queue.pulls.ended(token, missing, now);
            }
            code => {
                let pause = queue.pulls.refused(token, now);
                if pause.as_millis() <= 100 || pause.as_secs() >= 5 {
                    tracing::warn!(
                        queue = %queue.handlers.queue, code, text, ?pause,
                        "the broker takes no pull; it is tried again"
                    );
                }
                queue.ask_soon(now);
            }
        }
    }

    fn delivered(&mut self, message: Message, asked: Moment, now: Moment) {
        let work = match Work::parse(&self.subjects, message) {
            Ok(work) => work,
            Err(error) => {
                tracing::warn!(%error, "a message of the work queue is no work; left to the coordinators");
                return;
            }
        };
        let Some(at) = self
            .queues
            .iter()
            .position(|queue| queue.handlers.queue == work.queue)
        else {
            tracing::warn!(queue = %work.queue, "work of a queue that was not asked for");
            return;
        };
        self.queues[at].pulls.received(now);
        fail_point!("worker.pull-after");
        let Some(lease) = self.queues[at].lease else {
            return;
        };
        let (plan, handler) = self.plan(at, &work);
        let (keyed, timeout) = match &work.orders {
            Orders::Run { key, timeout, .. } => (key.is_some(), *timeout),
            Orders::Newer(_) | Orders::Unreadable(_) => (false, None),
        };
        let lease = Lease::new(asked, lease);
        let lease = if keyed && self.queues[at].is_replicated {
            // While nothing is known of the broker's clock, it may have been stored ages ago.
            let stored = self.connection.map(|it| it.moment_of(work.stored));
            lease.backed(stored.unwrap_or(Moment::from_nanos(0)))
        } else {
            lease
        };
        let delivery = Delivery {
            count: work.count,
            lease,
            suspect: self
                .connection
                .is_none_or(|connection| connection.suspects(work.count, work.stored, now)),
            keyed,
            start_at: match (keyed, self.connection) {
                (false, _) => now,
                (true, Some(connection)) => connection.keyed_start(work.count, work.stored),
                (true, None) => now.after(HOLDERS_STOP_WITHIN),
            },
            timeout,
            plan,
        };
        let attempt = (work.name.accepted, work.name.attempt);
        match self.attempts.get(&attempt).copied() {
            Some(id) => self.delivered_again(id, work, &delivery, now),
            None => self.take(
                Taking {
                    at,
                    work,
                    delivery,
                    handler,
                },
                now,
            ),
        }
    }

    fn plan(&self, at: usize, work: &Work) -> (Plan, Option<Handler>) {
        let handlers = &self.queues[at].handlers;
        match &work.orders {
            Orders::Run { kind, .. } => match handlers.kinds.get(kind) {
                Some(handler) => (Plan::Run, Some(handler.clone())),
                None => {
                    tracing::warn!(
                        job_id = %work.id, queue = %work.queue, %kind, delivery = work.count,
                        "no handler for this kind; passed on"
                    );
                    (Plan::PassOn, None)
                }
            },
            Orders::Newer(version) => {
                tracing::warn!(
                    job_id = %work.id, queue = %work.queue, version,
                    "written by a newer version; passed on: upgrade this worker"
                );
                (Plan::PassOn, None)
            }
            Orders::Unreadable(body) => (Plan::Record(body.clone()), None),
        }
    }

    fn take(&mut self, taking: Taking, now: Moment) {
        let Taking {
            at,
            work,
            delivery,
            handler,
        } = taking;
        self.last_run += 1;
        let id = self.last_run;
        self.took.push(taken(&work));
        self.attempts
            .insert((work.name.accepted, work.name.attempt), id);
        self.queues[at].busy += 1;
        let run = Run::new(delivery, self.setup.grace, now, &mut self.effects);
        self.runs.insert(
            id,
            Entry {
                run,
                queue: at,
                work,
                handler,
                cancellation: Cancellation::default(),
                abort: None,
                in_line: false,
                started: false,
            },
        );
        self.perform(id, now);
        if self.stopping.is_some() {
            self.tell(id, Event::Stop, now);
        }
    }

    /// The broker handed an attempt out again that this worker still has.
    fn delivered_again(&mut self, id: RunId, work: Work, delivery: &Delivery, now: Moment) {
        let Some(entry) = self.runs.get_mut(&id) else {
            return;
        };
        if entry.run.adopt(delivery) {
            tracing::info!(
                job_id = %work.id, queue = %work.queue, attempt = work.name.attempt.get(),
                delivery = work.count, "handed out again to the worker that has it; going on"
            );
            self.took.push(taken(&work));
            entry.work.ack = work.ack;
            entry.work.count = work.count;
        } else if delivery.lease.holds(now) {
            let delay = pass_on_delay(work.count);
            self.outbox.tell(work.ack, super::perform::nak(delay));
        }
    }
}

pub(super) fn taken(work: &Work) -> Taken {
    Taken {
        accepted: work.name.accepted,
        attempt: work.name.attempt,
        delivery: work.count,
        ack: work.ack.to_string(),
    }
}
