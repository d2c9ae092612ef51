//! Work out: the leader's dispatches in their order, each with the sequence that it expects, and
//! their answers.
//!
//! All answers come back on one subscription, told apart by a number in the reply subject: of the
//! run of writes, which changes when a leader drops its writes, and of the write.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::{HeaderMap, HeaderName, Message, StatusCode, Subscriber};
use election::boot_now;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use nats_config::Broker;
use protocol::answer::Answer;
use protocol::effects::Dispatch;
use protocol::leadership::Moment;
use protocol::number::Accepted;
use protocol::submission::header;

use crate::payloads::{Content, Payloads};
use crate::reread;

/// How long a write waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Most reads of payloads at once, each of one stretch of the ledger.
const READS_MAX: usize = 64;

/// The leader's writes into the work queue.
pub(crate) struct WorkQueue {
    broker: Broker,
    inbox: String,
    answers: Subscriber,
    /// Which run of writes: answers to an earlier one count for nothing.
    run: u64,
    /// Decided and not yet written, in order: a payload may still be missing.
    pending: VecDeque<(Dispatch, Option<Content>)>,
    reads: FuturesUnordered<BoxFuture<'static, (u64, HashMap<Accepted, Content>)>>,
    /// Read along with what was missing.
    ahead: HashMap<Accepted, Content>,
    /// Written and not yet answered, in order.
    open: VecDeque<(u64, Moment)>,
    /// Never sent, and why they never can be.
    unsendable: VecDeque<(u64, String)>,
}

impl WorkQueue {
    pub(crate) async fn new(broker: Broker) -> Result<Self, async_nats::SubscribeError> {
        let inbox = broker.client().new_inbox();
        let answers = broker.client().subscribe(format!("{inbox}.*.*")).await?;
        Ok(Self {
            broker,
            inbox,
            answers,
            run: 0,
            pending: VecDeque::new(),
            reads: FuturesUnordered::new(),
            ahead: HashMap::new(),
            open: VecDeque::new(),
            unsendable: VecDeque::new(),
        })
    }

    /// Drops what is not yet written, and waits for no earlier answer any more.
    pub(crate) fn drop_writes(&mut self) {
        self.run += 1;
        self.pending.clear();
        self.open.clear();
        self.unsendable.clear();
        self.reads = FuturesUnordered::new();
        self.ahead.clear();
    }

    /// Takes dispatches in the order of their expected sequences.
    pub(crate) fn push(&mut self, dispatches: Vec<Dispatch>, payloads: &mut Payloads) {
        for dispatch in dispatches {
            let content = payloads.take(dispatch.name.accepted);
            self.pending.push_back((dispatch, content));
        }
    }

    /// Writes what is ready, from the front: the order is that of the expected sequences.
    pub(crate) async fn write(&mut self) {
        while let Some((_, Some(_))) = self.pending.front() {
            let Some((dispatch, Some(content))) = self.pending.pop_front() else {
                return;
            };
            self.publish(&dispatch, content).await;
        }
        // One round after the other: what falls due meanwhile is read together.
        if self.reads.is_empty() && !self.pending.is_empty() {
            self.read();
        }
    }

    async fn publish(&mut self, dispatch: &Dispatch, content: Content) {
        let subject = self.broker.subjects().work(&dispatch.name);
        let reply = format!("{}.{}.{}", self.inbox, self.run, dispatch.tag);
        let headers = headers(dispatch, content.headers());
        fail_point!("coordinator.dispatch-before");
        let sent = self
            .broker
            .client()
            .publish_with_reply_and_headers(subject, reply, headers, content.payload)
            .await;
        match sent {
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                let why = format!(
                    "with the headers of its work it is larger than the broker takes: {error}; store the content elsewhere and submit a reference"
                );
                self.unsendable.push_back((dispatch.tag, why));
                return;
            }
            // Without an answer it counts as unanswered, which settles it.
            Err(error) => {
                tracing::warn!(%error, job = %dispatch.name.job, "failed to write work");
            }
            Ok(()) => {}
        }
        fail_point!("coordinator.dispatch-after");
        self.open.push_back((dispatch.tag, boot_now()));
    }

    /// A write that was not sent and never can be, and why.
    pub(crate) fn unsendable(&mut self) -> Option<(u64, String)> {
        self.unsendable.pop_front()
    }

    /// Starts reading the payloads that come next.
    fn read(&mut self) {
        let missing = self.pending.iter().filter(|(_, content)| content.is_none());
        let missing = missing.map(|(dispatch, _)| dispatch.name.accepted);
        for stretch in reread::stretches(missing.collect())
            .into_iter()
            .take(READS_MAX)
        {
            let (run, read) = (self.run, reread::stretch(self.broker.clone(), stretch));
            self.reads.push(async move { (run, read.await) }.boxed());
        }
    }

    /// What was read along with the missing, and may be needed next.
    pub(crate) fn take_ahead(&mut self) -> HashMap<Accepted, Content> {
        std::mem::take(&mut self.ahead)
    }

    /// The next answer, or a payload that was read; `None` says only that something moved.
    pub(crate) async fn next(&mut self) -> Option<(u64, Answer)> {
        tokio::select! {
            biased;
            Some(message) = self.answers.next() => self.answered(&message),
            Some((run, mut found)) = self.reads.next(), if !self.reads.is_empty() => {
                if run == self.run {
                    for (dispatch, slot) in &mut self.pending {
                        if slot.is_none() {
                            *slot = found.remove(&dispatch.name.accepted);
                        }
                    }
                    self.ahead.extend(found);
                }
                None
            }
            else => std::future::pending().await,
        }
    }

    /// Another answer that is there already.
    pub(crate) fn try_next(&mut self) -> Option<(u64, Answer)> {
        loop {
            let message = self.answers.next().now_or_never()??;
            if let Some(answer) = self.answered(&message) {
                return Some(answer);
            }
        }
    }

    fn answered(&mut self, message: &Message) -> Option<(u64, Answer)> {
        let mut tokens = message.subject.as_str().rsplit('.');
        let tag: u64 = tokens.next()?.parse().ok()?;
        let run: u64 = tokens.next()?.parse().ok()?;
        if run != self.run {
            return None;
        }
        fail_point!("coordinator.dispatch-answered");
        if let Some(at) = self.open.iter().position(|(open, _)| *open == tag) {
            self.open.remove(at);
        }
        let answer = match message.status {
            Some(StatusCode::NO_RESPONDERS) => Answer::NoResponders,
            Some(_) | None => Answer::parse(&message.payload),
        };
        Some((tag, answer))
    }

    /// A write whose answer is overdue, or cannot come any more since the connection broke.
    pub(crate) fn overdue(&mut self) -> Option<(u64, Answer)> {
        let (tag, since) = *self.open.front()?;
        if self.broker.is_connected() && boot_now().since(since) < ANSWER_WITHIN {
            return None;
        }
        self.open.pop_front();
        Some((tag, Answer::Unanswered))
    }
}

/// The submitter's headers but the broker's own, what the queue's configuration filled in, and the
/// sequence that must be the last.
fn headers(dispatch: &Dispatch, mut headers: HeaderMap) -> HeaderMap {
    let mut insert = |name, value: &str| headers.insert(HeaderName::from_static(name), value);
    let spec = &dispatch.spec;
    insert(header::KIND, spec.kind.as_str());
    if let Some(key) = &spec.key {
        insert(header::KEY, key.as_str());
    }
    if let Some(timeout) = spec.timeout {
        insert(header::TIMEOUT, &format!("{}ms", timeout.as_millis()));
    }
    insert(header::EPOCH, &dispatch.epoch.get().to_string());
    headers.insert(
        async_nats::header::NATS_EXPECTED_LAST_SEQUENCE,
        dispatch.expected.get().to_string().as_str(),
    );
    headers
}
