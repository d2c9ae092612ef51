//! What passes on the wire of the work queue: each dispatch, each fence, their answers, deliveries
//! and acks. From it every sequence of the queue is explained, also of messages that are gone.
//!
//! It only listens. Every write into the queue names the sequence that it expects to be the last, so
//! one that was stored stands right after it; which of several was stored is told by the server's
//! answer, or by a delivery, whose ack subject names the sequence.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::Message;
use futures::StreamExt;
use protocol::subject::FENCE_LEN;
use protocol::submission::header;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::runs;

/// What is listened to.
const SUBJECTS: [&str; 5] = [
    "jobs.work.>",
    "jobs.fence.>",
    "_INBOX.>",
    "$JS.ACK.WORK.>",
    "jobs.outcome.>",
];
/// Messages that wait to be read here.
const CAPACITY: usize = 1 << 18;

/// A write into the work queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The leader's epoch.
    pub epoch: u64,
    /// The work's subject; none for a fence.
    pub work: Option<String>,
    /// How many sequences it takes.
    pub len: u64,
}

/// What stands at a sequence of the work queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// A dispatch.
    Work {
        /// Its subject.
        subject: String,
        /// The epoch of its leader.
        epoch: u64,
        /// When the server stored it, in nanoseconds since 1970, where a delivery told.
        stored_ns: Option<u64>,
        /// Its key.
        key: Option<String>,
    },
    /// A fence, from its first record on.
    Fence {
        /// Its epoch.
        epoch: u64,
        /// How many records it has.
        len: u64,
    },
}

/// All that was heard.
#[derive(Default)]
pub struct Heard {
    writes: BTreeMap<u64, Vec<Write>>,
    /// The reply subjects of writes: where they would stand, and their place there.
    replies: HashMap<String, (u64, usize)>,
    /// Answers: the last sequence that each reply subject was told.
    answers: HashMap<String, u64>,
    delivered: BTreeMap<u64, Stands>,
    /// Fences whose batch began: the batch, the place of its first record and its epoch.
    batches: HashMap<String, (u64, u64)>,
    /// When an outcome was on the wire, in the clock of [`runs::now`].
    pub outcomes: Vec<Duration>,
    /// Acks, naks and progress acks of workers and leaders.
    pub acks: u64,
    /// Naks among them.
    pub naks: u64,
    /// Progress acks among them.
    pub progress: u64,
    /// Deliveries with a count above one.
    pub redeliveries: Vec<Duration>,
}

/// Listens on every server.
pub struct Wire {
    heard: Arc<Mutex<Heard>>,
    tasks: JoinSet<()>,
}

#[derive(Deserialize)]
struct PubAck {
    stream: String,
    seq: u64,
}

impl Wire {
    /// Listens at each of these addresses.
    ///
    /// # Errors
    /// When one cannot be reached.
    pub async fn open(urls: &[String]) -> Result<Self> {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut tasks = JoinSet::new();
        for url in urls {
            // Back before anybody else, or what the others say first is missed.
            let client = async_nats::ConnectOptions::new()
                .ignore_discovered_servers()
                .subscription_capacity(CAPACITY)
                .reconnect_delay_callback(|_| Duration::from_millis(1))
                .connect(url)
                .await
                .context("connect to listen")?;
            let mut all = Vec::new();
            for subject in SUBJECTS {
                all.push(client.subscribe(subject).await?);
            }
            client.flush().await?;
            let heard = Arc::clone(&heard);
            tasks.spawn(async move {
                let mut all = futures::stream::select_all(all);
                while let Some(message) = all.next().await {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.hear(&message);
                }
                drop(client);
            });
        }
        Ok(Self { heard, tasks })
    }

    /// Looks at what was heard by now.
    pub fn look<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Listens no more, and gives all that was heard.
    pub async fn close(mut self) -> Heard {
        self.tasks.shutdown().await;
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Heard {
    fn hear(&mut self, message: &Message) {
        let subject = message.subject.as_str();
        let reply = message.reply.as_deref().unwrap_or_default();
        if subject.starts_with("jobs.work.") {
            if reply.starts_with("$JS.ACK.") {
                self.delivery(message, reply);
            } else {
                self.dispatch(message, reply);
            }
        } else if subject.starts_with("jobs.fence.") {
            self.fence(message, reply);
        } else if subject.starts_with("jobs.outcome.") {
            self.outcomes.push(runs::now());
        } else if subject.starts_with("$JS.ACK.") {
            self.acks += 1;
            if message.payload.starts_with(b"-NAK") {
                self.naks += 1;
            } else if message.payload.starts_with(b"+WPI") {
                self.progress += 1;
            }
        } else if message.payload.starts_with(b"{\"stream\":\"WORK\"")
            && let Ok(answer) = serde_json::from_slice::<PubAck>(&message.payload)
            && answer.stream == "WORK"
        {
            self.answers.insert(subject.to_owned(), answer.seq);
        }
    }

    fn dispatch(&mut self, message: &Message, reply: &str) {
        let (Some(expected), Some(epoch)) = (
            number(message, "Nats-Expected-Last-Sequence"),
            number(message, header::EPOCH),
        ) else {
            return;
        };
        let write = Write {
            epoch,
            work: Some(message.subject.to_string()),
            len: 1,
        };
        self.write(expected + 1, write, reply);
    }

    fn fence(&mut self, message: &Message, reply: &str) {
        let mut tokens = message.subject.as_str().split('.').skip(2);
        let epoch = tokens.next().and_then(|token| token.parse().ok());
        let place: Option<u64> = tokens.next().and_then(|token| token.parse().ok());
        let batch = text(message, "Nats-Batch-Id");
        let (Some(epoch), Some(place), Some(batch)) = (epoch, place, batch) else {
            return;
        };
        let len = FENCE_LEN;
        if place == 1 {
            if let Some(expected) = number(message, "Nats-Expected-Last-Sequence") {
                self.batches.insert(batch, (expected + 1, epoch));
            }
        } else if place == len
            && let Some((first, epoch)) = self.batches.get(&batch).copied()
        {
            let write = Write {
                epoch,
                work: None,
                len,
            };
            self.write(first, write, reply);
        }
    }

    /// The same write may be heard at several servers.
    fn write(&mut self, at: u64, write: Write, reply: &str) {
        if self.replies.contains_key(reply) {
            return;
        }
        let here = self.writes.entry(at).or_default();
        self.replies.insert(reply.to_owned(), (at, here.len()));
        here.push(write);
    }

    fn delivery(&mut self, message: &Message, ack: &str) {
        let tokens: Vec<&str> = ack.split('.').collect();
        let at = match tokens.len() {
            9 => 5,
            11.. => 7,
            _ => return,
        };
        let number_at = |at: usize| tokens.get(at)?.parse::<u64>().ok();
        let (Some(count), Some(sequence), Some(stored_ns)) =
            (number_at(at - 1), number_at(at), number_at(at + 2))
        else {
            return;
        };
        if count > 1 {
            self.redeliveries.push(runs::now());
        }
        let stands = Stands::Work {
            subject: message.subject.to_string(),
            epoch: number(message, header::EPOCH).unwrap_or_default(),
            stored_ns: Some(stored_ns),
            key: text(message, header::KEY),
        };
        self.delivered.insert(sequence, stands);
    }

    /// What stands at each sequence from 1 to `last`, and the sequences that nothing explains.
    #[must_use]
    pub fn explain(&self, last: u64) -> (BTreeMap<u64, Stands>, Vec<u64>) {
        let mut told: BTreeMap<u64, usize> = BTreeMap::new();
        for (reply, answered) in &self.answers {
            if let Some((at, place)) = self.replies.get(reply)
                && let Some(write) = self.writes.get(at).and_then(|here| here.get(*place))
                && at + write.len - 1 == *answered
            {
                told.insert(*at, *place);
            }
        }
        let (mut stand, mut gaps, mut at) = (BTreeMap::new(), Vec::new(), 1);
        while at <= last {
            match self.at(at, &told) {
                Some(found) => {
                    let len = match &found {
                        Stands::Fence { len, .. } => *len,
                        Stands::Work { .. } => 1,
                    };
                    stand.insert(at, found);
                    at += len;
                }
                None => {
                    gaps.push(at);
                    at += 1;
                }
            }
        }
        (stand, gaps)
    }

    fn at(&self, at: u64, told: &BTreeMap<u64, usize>) -> Option<Stands> {
        if let Some(delivered) = self.delivered.get(&at) {
            return Some(delivered.clone());
        }
        let here = self.writes.get(&at)?;
        let write = match told.get(&at) {
            Some(place) => here.get(*place)?,
            None => match here.as_slice() {
                [only] => only,
                _ => return None,
            },
        };
        Some(match &write.work {
            Some(subject) => Stands::Work {
                subject: subject.clone(),
                epoch: write.epoch,
                stored_ns: None,
                key: None,
            },
            None => Stands::Fence {
                epoch: write.epoch,
                len: write.len,
            },
        })
    }
}

fn text(message: &Message, name: &str) -> Option<String> {
    let value = message.headers.as_ref()?.get(name)?;
    Some(value.as_str().to_owned())
}

fn number(message: &Message, name: &str) -> Option<u64> {
    text(message, name)?.parse().ok()
}
