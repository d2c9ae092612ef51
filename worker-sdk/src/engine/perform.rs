//! Does what the rules ask for, in their order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::leadership::Moment;
use protocol::outcome::{Outcome, OutcomeError, Status};
use protocol::worker::{Ask, Effect, Event, Finish};
use tokio::task::JoinError;

use super::deliver::taken;
use super::{Ended, Engine, Looked, RunId};
use crate::context::JobContext;
use crate::delivery::Orders;
use crate::running::{self, Start};
use crate::{clock, lookup};

/// Room in a message for what stands beside an outcome's body.
const ENVELOPE_LEN_MAX: usize = 4_096;

impl Engine {
    pub(super) fn perform(&mut self, id: RunId, now: Moment) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.act(id, effect, now);
        }
        self.effects = effects;
        if let Some(entry) = self.runs.get_mut(&id)
            && entry.run.is_ready()
            && !entry.in_line
        {
            entry.in_line = true;
            self.queues[entry.queue].line.push_back(id);
        }
    }

    fn act(&mut self, id: RunId, effect: Effect, now: Moment) {
        let Some(entry) = self.runs.get_mut(&id) else {
            return;
        };
        match effect {
            Effect::Read(ask) => {
                fail_point!("worker.lookup-before");
                let (broker, name) = (self.broker.clone(), entry.work.name.clone());
                self.lookups.spawn(async move {
                    Looked::Outcome(id, ask, lookup::outcome(&broker, &name).await)
                });
            }
            Effect::Write(ask) => {
                fail_point!("worker.outcome-before");
                let body = entry.run.outcome().unwrap_or_default();
                let body = Bytes::copy_from_slice(body);
                let subject = self.subjects.outcome(&entry.work.name);
                let reply = self.answer_to('w', id, ask);
                self.outbox.insist(subject, Some(reply), body);
            }
            Effect::Progress(ask) => {
                fail_point!("worker.progress-before");
                let ack = entry.work.ack.clone();
                let reply = self.answer_to('p', id, ask);
                self.outbox.ask(ack, reply, Bytes::from_static(b"+WPI"));
            }
            Effect::Witness => self.witness.is_wanted = true,
            Effect::Start => {
                fail_point!("worker.handler-before");
                self.start(id, now);
            }
            Effect::Cancel(reason) => {
                tracing::debug!(
                    job_id = %entry.work.id, queue = %entry.work.queue,
                    attempt = entry.work.name.attempt.get(), reason = reason.as_str(),
                    "handler asked to stop"
                );
                entry.cancellation.fire(reason);
            }
            Effect::Abort => {
                if let Some(abort) = &entry.abort {
                    abort.abort();
                }
            }
            Effect::Ack => {
                fail_point!("worker.ack-before");
                let ack = entry.work.ack.clone();
                self.outbox.insist(ack, None, Bytes::from_static(b"+ACK"));
            }
            Effect::Nak(delay) => {
                fail_point!("worker.nak-before");
                self.outbox.tell(entry.work.ack.clone(), nak(delay));
                self.stopped.released += 1;
            }
            Effect::LetGo(until) => self.let_go.push((until, taken(&entry.work))),
            Effect::Alarm(text) => tracing::error!(
                job_id = %entry.work.id, queue = %entry.work.queue,
                attempt = entry.work.name.attempt.get(), "{text}"
            ),
            Effect::Forget => self.forget(id),
        }
    }

    pub(super) fn answer_to(&self, what: char, id: RunId, Ask(ask): Ask) -> String {
        format!("{}.{what}.{id}.{ask}", self.inboxes.answers)
    }

    fn forget(&mut self, id: RunId) {
        let Some(entry) = self.runs.remove(&id) else {
            return;
        };
        self.attempts
            .remove(&(entry.work.name.accepted, entry.work.name.attempt));
        let queue = &mut self.queues[entry.queue];
        queue.busy = queue.busy.saturating_sub(1);
        if entry.started {
            queue.started = queue.started.saturating_sub(1);
        } else if entry.in_line {
            queue.line.retain(|waiting| *waiting != id);
        }
    }

    fn start(&mut self, id: RunId, now: Moment) {
        let Some(entry) = self.runs.get_mut(&id) else {
            return;
        };
        entry.in_line = false;
        entry.started = true;
        self.queues[entry.queue].started += 1;
        let (Some(handler), Orders::Run { kind, key, timeout }) =
            (entry.handler.clone(), &entry.work.orders)
        else {
            return;
        };
        let info = entry.work.info(&self.setup.worker, kind, key.as_ref());
        let context = JobContext::new(
            info,
            Arc::clone(&entry.work.headers),
            timeout.map(|timeout| now.after(timeout)),
            entry.cancellation.clone(),
        );
        let start = Start {
            handler,
            payload: entry.work.payload.clone(),
            context,
            observer: self.setup.observer.clone(),
        };
        let abort = self.handlers.spawn_on(
            async move { (id, running::run(start).await) },
            &self.setup.user,
        );
        self.tasks.insert(abort.id(), id);
        entry.abort = Some(abort);
    }

    /// A handler's task ended.
    pub(crate) fn ended(&mut self, joined: Result<(tokio::task::Id, Ended), JoinError>) {
        let now = clock::now();
        match joined {
            Ok((task, (id, finish))) => {
                fail_point!("worker.handler-after");
                self.tasks.remove(&task);
                let finish = self.fitting(finish);
                self.tell(id, Event::Finished(finish), now);
            }
            Err(error) => {
                let Some(id) = self.tasks.remove(&error.id()) else {
                    return;
                };
                self.tell(id, Event::Finished(running::broken(error)), now);
            }
        }
    }

    /// An outcome that the broker would never take becomes one that says so.
    fn fitting(&self, finish: Finish) -> Finish {
        let len_max = self
            .outbox
            .client()
            .max_payload()
            .saturating_sub(ENVELOPE_LEN_MAX);
        let (Finish::Completed(body) | Finish::Failed(body) | Finish::Cancelled(body)) = &finish
        else {
            return finish;
        };
        if body.len() <= len_max {
            return finish;
        }
        let text = format!(
            "the outcome has {} bytes, the broker takes {len_max}; return a reference to the result instead",
            body.len()
        );
        let error = OutcomeError::permanent("result-too-large", &text);
        Finish::Failed(Outcome::ended(Status::Failed, error).to_body())
    }
}

/// The body that gives a delivery back.
pub(super) fn nak(delay: Duration) -> Bytes {
    if delay.is_zero() {
        Bytes::from_static(b"-NAK")
    } else {
        format!("-NAK {{\"delay\":{}}}", delay.as_nanos()).into()
    }
}
