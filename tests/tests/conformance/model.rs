//! A script on the simulation's model of the broker.

use std::time::Duration;

use protocol::time::Timestamp;
use simulation::{Consumer, Publish, Refused, Second, Stream, StreamRules};

use crate::script::{Put, Step, StreamKind};

/// Bytes of a header block beside its lines: its length, `NATS/1.0` and an empty line.
const HEADER_FRAME: u64 = 4 + 12;
const LAST: &str = "Nats-Expected-Last-Sequence";
const ON_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence";

/// The stream, its consumers, and a clock that moves when something is waited for.
pub(crate) struct Model {
    now: Timestamp,
    store: Store,
    saved: Option<Store>,
    rules: StreamRules,
    ack_wait: Duration,
    /// The length of what stands before each subject of a script.
    prefix: u64,
    /// Queue and sequence of each delivery.
    deliveries: Vec<(String, u64)>,
}

#[derive(Clone)]
struct Store {
    stream: Stream<()>,
    consumers: Vec<(String, Consumer)>,
}

impl Store {
    fn new(rules: StreamRules, ack_wait: Duration) -> Self {
        let consumer = |queue: &&str| ((*queue).to_owned(), Consumer::new(ack_wait));
        Self {
            stream: Stream::new(rules),
            consumers: ["q", "r"].iter().map(consumer).collect(),
        }
    }

    fn consumer(&mut self, queue: &str) -> &mut Consumer {
        let found = self.consumers.iter_mut().find(|(name, _)| name == queue);
        &mut found.expect("q or r").1
    }
}

fn stored(answer: Result<u64, Refused>) -> String {
    match answer {
        Ok(sequence) => sequence.to_string(),
        Err(Refused::Occupied) => "10077 by subject".to_owned(),
        Err(Refused::Full) => "10077 by bytes".to_owned(),
        Err(refused) => refused.code().to_string(),
    }
}

/// The length of a message's headers as they are stored.
fn header_bytes(headers: &[(&str, Option<u64>)]) -> u64 {
    let lines = headers
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    let lines: usize = lines
        .map(|(name, value)| format!("{name}: {value}\r\n").len())
        .sum();
    match u64::try_from(lines).unwrap() {
        0 => 0,
        lines => HEADER_FRAME + lines,
    }
}

/// The messages of a batch with the headers that make it one.
fn batch(last: Option<u64>, subjects: &[String], prefix: u64) -> Vec<Publish<()>> {
    let message = |(at, subject): (usize, &String)| {
        let place = u64::try_from(at + 1).unwrap();
        let id = "Nats-Batch-Id: 0123456789012345678901\r\n".len();
        let headers = [
            (LAST, last.filter(|_| at == 0)),
            ("Nats-Batch-Sequence", Some(place)),
            ("Nats-Batch-Commit", (at + 1 == subjects.len()).then_some(1)),
        ];
        Publish {
            subject: subject.clone(),
            expected_last: last.filter(|_| at == 0),
            expected_on_subject: None,
            bytes: prefix + u64::try_from(id).unwrap() + header_bytes(&headers),
            content: (),
        }
    };
    subjects.iter().enumerate().map(message).collect()
}

impl Model {
    pub(crate) fn new(kind: StreamKind) -> Self {
        let rules = StreamRules {
            second: match kind {
                StreamKind::Bucket => Second::Replaces,
                _ => Second::Refused,
            },
            bytes_max: match kind {
                StreamKind::SmallLedger(most) => Some(most),
                _ => None,
            },
        };
        let ack_wait = match kind {
            StreamKind::WorkQueue(wait) => wait,
            _ => Duration::ZERO,
        };
        Self {
            now: Timestamp::from_millis(1_000_000),
            store: Store::new(rules, ack_wait),
            saved: None,
            rules,
            ack_wait,
            prefix: match kind {
                StreamKind::Bucket => 16,
                _ => 5,
            },
            deliveries: Vec::new(),
        }
    }

    /// What it answers.
    pub(crate) fn take(&mut self, step: &Step) -> String {
        match step {
            Step::Put(_) | Step::Batch(..) | Step::Gap(_) => self.write(step),
            Step::Get(_) | Step::Newest(_) | Step::List | Step::State => self.read(step),
            Step::Delete(at) => match self.store.stream.delete(*at) {
                Some(()) => "ok".to_owned(),
                None => "nothing".to_owned(),
            },
            Step::Purge(subject) => self.store.stream.purge(subject).to_string(),
            Step::Pull(queue) => self.pull(queue),
            Step::Await(queue) => self.wait(queue),
            Step::Ack(n) | Step::Nak(n, _) | Step::Progress(n) => self.ack(step, *n),
            Step::Stop | Step::Kill => "ok".to_owned(),
            Step::Recreate => {
                self.store = Store::new(self.rules, self.ack_wait);
                "ok".to_owned()
            }
            Step::Save => {
                self.saved = Some(self.store.clone());
                "ok".to_owned()
            }
            Step::Restore => {
                self.store = self.saved.clone().expect("it was saved");
                "ok".to_owned()
            }
        }
    }

    fn write(&mut self, step: &Step) -> String {
        let (prefix, stream) = (self.prefix, &mut self.store.stream);
        stored(match step {
            Step::Put(Put {
                subject,
                last,
                on_subject,
                bytes,
            }) => {
                let headers = [(LAST, *last), (ON_SUBJECT, *on_subject)];
                stream.publish(Publish {
                    subject: subject.clone(),
                    expected_last: *last,
                    expected_on_subject: *on_subject,
                    bytes: prefix + u64::try_from(*bytes).unwrap() + header_bytes(&headers),
                    content: (),
                })
            }
            Step::Batch(last, subjects) => stream.publish_batch(batch(*last, subjects, prefix)),
            _ => Err(Refused::Incomplete),
        })
    }

    fn read(&self, step: &Step) -> String {
        let stream = &self.store.stream;
        let found = match step {
            Step::Get(at) => {
                let found = stream.subjects().find(|(_, known)| known == at);
                found.map(|(subject, _)| subject.to_owned())
            }
            Step::Newest(subject) => stream.newest(subject).map(|at| at.to_string()),
            Step::List => {
                let all: Vec<&str> = stream.subjects().map(|(subject, _)| subject).collect();
                Some(all.join(" ")).filter(|all| !all.is_empty())
            }
            _ => {
                let (last, messages) = (stream.last(), stream.subjects().count());
                Some(format!("{last} {messages} {}", stream.bytes()))
            }
        };
        found.unwrap_or_else(|| "nothing".to_owned())
    }

    fn pull(&mut self, queue: &str) -> String {
        let Store { stream, .. } = &self.store;
        let stream = stream.clone();
        let prefix = format!("work.{queue}.");
        let consumer = self.store.consumer(queue);
        let found = consumer.pull(self.now, &stream, |subject| subject.starts_with(&prefix));
        match found {
            Some(handout) => {
                let delivery = (queue.to_owned(), handout.sequence);
                self.deliveries.push(delivery);
                format!("{} count {}", handout.sequence, handout.count)
            }
            None => "nothing".to_owned(),
        }
    }

    fn wait(&mut self, queue: &str) -> String {
        loop {
            let found = self.pull(queue);
            let next = self.store.consumer(queue).next_time();
            let Some(next) = next.filter(|_| found == "nothing") else {
                return found;
            };
            self.now = self.now.max(next);
            let now = self.now;
            for (_, consumer) in &mut self.store.consumers {
                consumer.look(now);
            }
        }
    }

    fn ack(&mut self, step: &Step, n: usize) -> String {
        let Some((queue, at)) = self.deliveries.get(n - 1).cloned() else {
            return "nothing".to_owned();
        };
        let now = self.now;
        let consumer = self.store.consumer(&queue);
        match step {
            Step::Ack(_) => {
                if consumer.ack(at) {
                    self.store.stream.delete(at);
                }
            }
            Step::Nak(_, delay) => consumer.nak(now, at, *delay),
            _ => consumer.progress(now, at),
        }
        "ok".to_owned()
    }
}
