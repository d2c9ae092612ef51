//! What a worker holds for each of its queues: lease, pulls, slots, and the line before them.

use std::collections::VecDeque;
use std::time::Duration;

use nats_config::Broker;
use protocol::leadership::Moment;
use protocol::time::Timestamp;
use protocol::worker::{Connection, Event, asked_for};
use serde_json::json;

use super::{Engine, Looked, RunId};
use crate::clock;
use crate::handler::QueueHandlers;
use crate::inbox::Periods;
use crate::lookup::{self, ConsumerFacts, NoFacts};
use crate::pull::Pulls;

/// How often the lease of a queue is read again: its configuration may have changed.
const FACTS_EVERY: Duration = Duration::from_secs(10);
/// The first pause after a consumer was not found; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Queue {
    pub(super) handlers: QueueHandlers,
    pub(super) pulls: Pulls,
    /// The work lease, as the broker last said it.
    pub(super) lease: Option<Duration>,
    /// Whether several servers keep the consumer.
    pub(super) is_replicated: bool,
    /// Both were read on the present connection.
    confirmed: bool,
    asking: bool,
    ask_at: Moment,
    failures: u32,
    /// Runs of this queue, whatever they do.
    pub(super) busy: u32,
    /// Runs whose handler was called.
    pub(super) started: u32,
    /// Runs that wait for a slot.
    pub(super) line: VecDeque<RunId>,
    pull_subject: String,
    info_subject: String,
}

impl Queue {
    pub(super) fn new(handlers: &QueueHandlers, broker: &Broker, now: Moment) -> Self {
        let (api, names) = (broker.api_prefix(), broker.names());
        let (stream, consumer) = (names.work(), names.consumer(&handlers.queue));
        Self {
            pulls: Pulls::new(handlers.slots, now),
            pull_subject: format!("{api}.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            info_subject: format!("{api}.CONSUMER.INFO.{stream}.{consumer}"),
            handlers: handlers.clone(),
            lease: None,
            is_replicated: false,
            confirmed: false,
            asking: false,
            ask_at: now,
            failures: 0,
            busy: 0,
            started: 0,
            line: VecDeque::new(),
        }
    }

    pub(super) fn reconnected(&mut self, now: Moment) {
        self.pulls.reset();
        self.confirmed = false;
        self.asking = false;
        self.failures = 0;
        self.ask_at = now;
    }

    /// Looks at the consumer again before long: the broker took no pull.
    pub(super) fn ask_soon(&mut self, now: Moment) {
        self.ask_at = self.ask_at.min(now.after(PAUSE));
    }
}

impl Engine {
    /// Calls the handlers of runs that wait while there are slots.
    pub(super) fn fill_slots(&mut self, now: Moment) {
        if self.stopping.is_some() {
            return;
        }
        for at in 0..self.queues.len() {
            while self.queues[at].started < self.queues[at].handlers.slots {
                let Some(id) = self.queues[at].line.pop_front() else {
                    break;
                };
                self.tell(id, Event::Room, now);
            }
        }
    }

    /// For how long requests wait, while any are to be sent.
    pub(crate) fn periods(&self) -> Option<Periods> {
        if self.stopping.is_some() || self.contact.is_lost() {
            return None;
        }
        let waits = self.queues.iter().filter(|queue| queue.confirmed);
        let waits = waits.filter_map(|queue| queue.lease).map(asked_for);
        let (shortest, longest) = (waits.clone().min()?, waits.max()?);
        Some(Periods { shortest, longest })
    }

    /// Asks the broker for as many messages as fit, into the inbox of that number.
    pub(super) fn pull(&mut self, inbox: u64, now: Moment) {
        for (at, queue) in self.queues.iter_mut().enumerate() {
            let Some(lease) = queue.lease.filter(|_| queue.confirmed) else {
                continue;
            };
            while let Some(request) = queue.pulls.next(queue.busy, asked_for(lease), now) {
                let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                let body = json!({
                    "batch": request.batch,
                    "expires": nanos(request.expires),
                    "idle_heartbeat": nanos(request.heartbeat),
                });
                let reply = format!("{}.{inbox}.m.{at}.{}", self.inboxes.pulls, request.token);
                self.outbox
                    .ask(queue.pull_subject.as_str(), reply, body.to_string());
            }
        }
    }

    pub(super) fn look_at_queues(&mut self, now: Moment) {
        for at in 0..self.queues.len() {
            let queue = &mut self.queues[at];
            if queue.pulls.look(now) {
                tracing::warn!(
                    queue = %queue.handlers.queue,
                    "the broker went silent about the pulls; asking anew"
                );
            }
            if !queue.asking && now >= queue.ask_at && self.stopping.is_none() {
                queue.asking = true;
                self.ask_facts(at);
            }
        }
    }

    fn ask_facts(&mut self, queue: usize) {
        let client = self.outbox.client().clone();
        let subject = self.queues[queue].info_subject.clone();
        let connection = self.connections;
        self.lookups.spawn(async move {
            let facts = lookup::consumer(&client, subject).await;
            Looked::Consumer {
                queue,
                connection,
                facts,
            }
        });
    }

    /// The answer about a queue's consumer.
    pub(super) fn facts(&mut self, at: usize, facts: Result<ConsumerFacts, NoFacts>, now: Moment) {
        let queue = &mut self.queues[at];
        queue.asking = false;
        match facts {
            Ok(facts) => {
                queue.ask_at = now.after(FACTS_EVERY);
                queue.failures = 0;
                queue.lease = Some(facts.lease);
                queue.is_replicated = facts.is_replicated;
                queue.confirmed = true;
                if self.connection.is_none() {
                    let broker_time = facts.broker_time.unwrap_or_else(wall_clock);
                    self.connection = Some(Connection {
                        broker_time,
                        at: now,
                    });
                }
            }
            Err(error) => {
                let pause = PAUSE
                    .saturating_mul(2_u32.saturating_pow(queue.failures))
                    .min(PAUSE_MAX);
                // Said at once, then every few minutes: a worker may wait for its queue for days.
                if queue.failures == 0 || queue.failures.is_multiple_of(60) {
                    tracing::warn!(
                        queue = %queue.handlers.queue, %error,
                        "the queue cannot be pulled from yet; it is tried again"
                    );
                }
                queue.failures = queue.failures.saturating_add(1);
                queue.ask_at = now.after(pause);
            }
        }
    }
}

fn wall_clock() -> Timestamp {
    let millis = clock::since_1970().as_millis();
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
