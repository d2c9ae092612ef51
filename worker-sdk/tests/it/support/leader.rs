//! A leader made of a test: makes the streams, writes work, and sees what workers send.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use nats_config::{Broker, Ledger, Mode, Names, Settings, Stored};
use protocol::answer::Answer;
use protocol::config::QueueConfig;
use protocol::message::{WorkerSays, WorkerTold};
use protocol::number::{Accepted, Attempt};
use protocol::outcome::Outcome;
use protocol::subject::{AttemptName, JobName};

use super::server::PATIENCE;

pub(crate) struct Leader {
    pub(crate) broker: Broker,
    outcomes: Subscriber,
    acks: Subscriber,
    says: Subscriber,
}

/// An ack as it passed by: the stream's sequence and what was said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) sequence: u64,
    pub(crate) said: String,
}

impl Leader {
    pub(crate) async fn start(url: &str) -> Self {
        Self::start_as(async_nats::ConnectOptions::new(), url).await
    }

    pub(crate) async fn start_as(options: async_nats::ConnectOptions, url: &str) -> Self {
        let client = options.connect(url).await.expect("connect");
        let broker = Broker::new(client.clone(), Names::default());
        broker
            .provision(&Settings::default(), Mode::Create, Ledger::MayBeNew)
            .await
            .expect("streams");
        let subscribe =
            async |subject: &'static str| client.subscribe(subject).await.expect(subject);
        let leader = Self {
            broker,
            outcomes: subscribe("jobs.outcome.>").await,
            acks: subscribe("$JS.ACK.WORK.>").await,
            says: subscribe("jobs.worker.says.*").await,
        };
        // An answer on the same connection: the server knows the subscriptions.
        leader.broker.state("WORK").await.expect("a state");
        leader
    }

    pub(crate) fn client(&self) -> &Client {
        self.broker.client()
    }

    pub(crate) async fn queue(&self, queue: &str, lease: Duration) {
        let config = QueueConfig {
            work_lease_ms: u64::try_from(lease.as_millis()).expect("a short lease"),
            ..QueueConfig::default()
        };
        self.broker
            .ensure_consumer(&queue.parse().expect("a queue"), &config)
            .await
            .expect("a consumer");
    }

    /// Writes attempt 1 of a job; the sequence in `WORK`.
    pub(crate) async fn dispatch(&self, queue: &str, id: &str, work: Work<'_>) -> u64 {
        let name = name(queue, id, work.accepted, work.attempt);
        let mut headers = HeaderMap::new();
        for (name, value) in work.headers {
            headers.insert(*name, *value);
        }
        let payload = Bytes::copy_from_slice(work.payload.as_bytes());
        let subject = self.broker.subjects().work(&name);
        match self.broker.write(subject, headers, payload).await {
            Answer::Stored(sequence) => sequence.get(),
            other => panic!("dispatch: {other:?}"),
        }
    }

    pub(crate) async fn record(&self, name: &AttemptName, outcome: &Outcome) {
        let subject = self.broker.subjects().outcome(name);
        let body = outcome.to_body().into();
        let answer = self.broker.write(subject, HeaderMap::new(), body).await;
        assert!(matches!(answer, Answer::Stored(_)), "record: {answer:?}");
    }

    /// The next outcome that a worker sends, whatever becomes of it.
    pub(crate) async fn outcome_sent(&mut self) -> (String, Outcome) {
        let message = next(&mut self.outcomes, "an outcome").await;
        let outcome = Outcome::parse(&message.payload).expect("an outcome");
        (message.subject.to_string(), outcome)
    }

    /// The next ack, nak or progress that a worker sends.
    pub(crate) async fn ack(&mut self) -> Ack {
        let message = next(&mut self.acks, "an ack").await;
        read_ack(&message)
    }

    /// The next one that is no progress.
    pub(crate) async fn final_ack(&mut self) -> Ack {
        loop {
            let ack = self.ack().await;
            if ack.said != "+WPI" {
                return ack;
            }
        }
    }

    /// What was said by `acks` until now.
    pub(crate) async fn acks_so_far(&mut self) -> Vec<Ack> {
        self.client().flush().await.expect("flush");
        let mut all = Vec::new();
        while let Ok(Some(message)) =
            tokio::time::timeout(Duration::from_millis(50), self.acks.next()).await
        {
            all.push(read_ack(&message));
        }
        all
    }

    pub(crate) async fn says(&mut self) -> WorkerSays {
        let message = next(&mut self.says, "a word of a worker").await;
        serde_json::from_slice(&message.payload).expect("a worker's word")
    }

    pub(crate) async fn tell(&self, worker: &protocol::id::WorkerId, told: &WorkerTold) {
        let body = serde_json::to_vec(told).expect("JSON");
        let subject = self.broker.subjects().worker_told(worker);
        self.client()
            .publish(subject, body.into())
            .await
            .expect("publish");
    }

    pub(crate) async fn stored_outcome(&self, name: &AttemptName) -> Option<Stored> {
        let subject = self.broker.subjects().outcome(name);
        self.broker.last("JOBS", &subject).await.expect("a read")
    }

    /// Waits until the work queue holds `count` messages; an ack works a moment after it was seen.
    pub(crate) async fn work_left(&self, count: u64) {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        let mut left = self.messages().await;
        for _ in 0..500 {
            if left == count {
                return;
            }
            looks.tick().await;
            left = self.messages().await;
        }
        panic!("{left} messages stay in the work queue, expected {count}");
    }

    async fn messages(&self) -> u64 {
        self.broker.state("WORK").await.expect("a state").messages
    }

    /// Takes the next message of a queue itself, as another worker would.
    pub(crate) async fn take(&self, queue: &str) -> async_nats::jetstream::Message {
        let stream = self
            .broker
            .jetstream()
            .get_stream("WORK")
            .await
            .expect("it");
        let consumer: async_nats::jetstream::consumer::PullConsumer =
            stream.get_consumer(queue).await.expect("its consumer");
        let mut batch = consumer
            .batch()
            .max_messages(1)
            .expires(PATIENCE)
            .messages()
            .await
            .expect("a batch");
        let message = tokio::time::timeout(PATIENCE, batch.next()).await;
        message.expect("in time").expect("one").expect("a message")
    }
}

/// What is dispatched.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) accepted: u64,
    pub(crate) attempt: u64,
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) payload: &'a str,
}

impl Default for Work<'_> {
    fn default() -> Self {
        Self {
            accepted: 1,
            attempt: 1,
            headers: &[],
            payload: "null",
        }
    }
}

pub(crate) fn name(queue: &str, id: &str, accepted: u64, attempt: u64) -> AttemptName {
    AttemptName {
        job: JobName::Named {
            queue: queue.parse().expect("a queue"),
            id: protocol::id::JobId::from_raw(id).expect("an id"),
        },
        accepted: Accepted::new(accepted),
        attempt: Attempt::new(attempt),
    }
}

async fn next(subscriber: &mut Subscriber, what: &str) -> Message {
    match tokio::time::timeout(PATIENCE, subscriber.next()).await {
        Ok(Some(message)) => message,
        Ok(None) => panic!("{what}: the subscription ended"),
        Err(_) => panic!("{what}: nothing came"),
    }
}

fn read_ack(message: &Message) -> Ack {
    let sequence = message.subject.split('.').nth(5).expect("a sequence");
    Ack {
        sequence: sequence.parse().expect("a number"),
        said: String::from_utf8_lossy(&message.payload).into_owned(),
    }
}
