//! What arrives beside deliveries: answers to writes, core messages, lookups, echoes.

use async_nats::{Message, StatusCode};
use bytes::Bytes;
use protocol::answer::Answer;
use protocol::leadership::Moment;
use protocol::message::WorkerTold;
use protocol::worker::{Ask, ContactChange, Event};

use super::{Engine, Looked};

impl Engine {
    /// A message on the answer inbox.
    pub(crate) fn answered(&mut self, message: &Message, now: Moment) {
        let own = message
            .subject
            .strip_prefix(self.inboxes.answers.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.split_once('.'));
        let Some((what, rest)) = own else { return };
        let parsed = rest
            .split_once('.')
            .and_then(|(id, ask)| Some((id.parse().ok()?, Ask(ask.parse().ok()?))));
        let Some((id, ask)) = parsed else { return };
        let change = self.contact.heard(now);
        self.contact_changed(change, now);
        let nobody = message.status == Some(StatusCode::NO_RESPONDERS);
        match what {
            "w" if nobody => self.tell(id, Event::Written(ask, Answer::NoResponders), now),
            "w" => {
                fail_point!("worker.outcome-answered");
                let answer = Answer::parse(&message.payload);
                self.tell(id, Event::Written(ask, answer), now);
            }
            "p" if !nobody => self.tell(id, Event::Confirmed(ask), now),
            "q" if !nobody => {
                if let Answer::Stored(_) = Answer::parse(&message.payload) {
                    self.witnessed(Moment::from_nanos(id), now);
                }
            }
            _ => {}
        }
    }

    /// A core message: a ping, something told, a roll call, an own echo on its way.
    pub(crate) fn heard(&mut self, message: Message, now: Moment) {
        let worker = &self.setup.worker;
        let subject = message.subject.as_str();
        if subject == self.subjects.worker_ping(worker) {
            // Whoever pings must not make this worker write one of our records.
            let reply = message.reply;
            if let Some(reply) = reply.filter(|reply| self.broker.names().may_answer(reply)) {
                self.outbox.tell(reply, worker.to_string());
            }
        } else if subject == self.subjects.worker_echo(worker) {
            let change = self.contact.heard(now);
            self.contact_changed(change, now);
        } else if subject == self.subjects.worker_roll_call() {
            self.say_here();
        } else if subject == self.subjects.worker_told(worker) {
            self.told(&message.payload, now);
        }
    }

    fn told(&mut self, payload: &[u8], now: Moment) {
        let (attempt, event) = match serde_json::from_slice(payload) {
            Ok(WorkerTold::Cancel { accepted, attempt }) => ((accepted, attempt), Event::Cancel),
            Ok(WorkerTold::HandedOn { accepted, attempt }) => {
                ((accepted, attempt), Event::HandedOn)
            }
            Err(error) => {
                tracing::warn!(%error, "the leader told something that this version does not know");
                return;
            }
        };
        if let Some(id) = self.attempts.get(&attempt).copied() {
            self.tell(id, event, now);
        }
    }

    /// A lookup came back.
    pub(crate) fn looked_up(&mut self, looked: Looked, now: Moment) {
        match looked {
            Looked::Outcome(id, ask, found) => self.tell(id, Event::Read(ask, found), now),
            Looked::Consumer {
                queue,
                connection,
                facts,
            } => {
                if connection == self.connections {
                    self.facts(queue, facts, now);
                }
            }
        }
    }

    pub(super) fn send_echo(&mut self) {
        let subject = self.subjects.worker_echo(&self.setup.worker);
        self.outbox.insist(subject, None, Bytes::new());
    }

    pub(super) fn contact_changed(&mut self, change: ContactChange, now: Moment) {
        match change {
            ContactChange::Same => {}
            ContactChange::Lost => {
                tracing::warn!(
                    worker_id = %self.setup.worker, runs = self.runs.len(),
                    "the broker is out of reach; handlers of jobs with a key are asked to stop"
                );
                self.outbox.mute();
                self.tell_all(&Event::Lost, now);
            }
            ContactChange::Regained => {
                tracing::info!(worker_id = %self.setup.worker, "the broker is back");
                self.outbox.unmute();
                self.say_here();
            }
            ContactChange::LostAndRegained => {
                tracing::warn!(
                    worker_id = %self.setup.worker, runs = self.runs.len(),
                    "this process stood still; handlers of jobs with a key are asked to stop"
                );
                self.tell_all(&Event::Lost, now);
                self.say_here();
            }
        }
    }
}
