//! The front door: submissions of those who are not trusted with the ledger, and questions about
//! jobs. Any coordinator answers; none needs to lead.
//!
//! Everything that comes in is checked before it is written, and every `Nats-*` header is dropped:
//! some of them stop a replicated stream for good.

mod answer;
mod submit;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Message, SubscribeError, Subscriber};
use futures::stream::SelectAll;
use futures::{StreamExt, future::BoxFuture};
use nats_config::Broker;
use protocol::message::{JobAnswer, SubmitAnswer};
use protocol::number::Sequence;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker_sdk::Client;

use crate::questions::Question;

/// The queue group of all coordinators: one of them answers.
const GROUP: &str = "coordinators";
/// Most requests that one coordinator works on at once; more wait in the connection.
const REQUESTS_MAX: usize = 512;
/// How long a submission is tried: less than a submitter waits for its answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// The verbs that any one coordinator answers.
const VERBS: [&str; 3] = ["submit", "get", "cancel"];

/// The front door of one coordinator.
pub(crate) struct FrontDoor {
    requests: SelectAll<Subscriber>,
    desk: Arc<Desk>,
}

/// What answering a request needs.
pub(crate) struct Desk {
    pub(crate) client: Client,
    pub(crate) broker: Broker,
    pub(crate) questions: mpsc::Sender<Question>,
    pub(crate) folded: watch::Receiver<Sequence>,
    /// How often it refused something, by the code of the answer.
    pub(crate) refused: Mutex<BTreeMap<String, u64>>,
}

impl FrontDoor {
    /// Subscribes. From here on requests are kept until [`FrontDoor::serve`] answers them.
    pub(crate) async fn open(
        broker: Broker,
        questions: mpsc::Sender<Question>,
        folded: watch::Receiver<Sequence>,
    ) -> Result<Self, SubscribeError> {
        let client = broker.client();
        let mut requests = SelectAll::new();
        for verb in VERBS {
            let subject = broker.subjects().api_all(verb);
            requests.push(client.queue_subscribe(subject, GROUP.to_owned()).await?);
        }
        requests.push(client.subscribe(broker.subjects().api_status()).await?);
        let client = Client::with_broker(broker.clone()).with_patience(PATIENCE);
        let desk = Arc::new(Desk {
            client,
            broker,
            questions,
            folded,
            refused: Mutex::default(),
        });
        Ok(Self { requests, desk })
    }

    /// Answers until `stop`, then finishes what it began.
    pub(crate) async fn serve(mut self, stop: CancellationToken) {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
                request = self.requests.next(), if under_way.len() < REQUESTS_MAX => {
                    let Some(request) = request else { break };
                    under_way.spawn(handle(Arc::clone(&self.desk), request));
                }
            }
        }
        while under_way.join_next().await.is_some() {}
    }
}

async fn handle(desk: Arc<Desk>, request: Message) {
    let Some(reply) = request.reply.clone() else {
        tracing::debug!(subject = %request.subject, "a request without a reply subject");
        return;
    };
    // Our permission to publish is wide; an answer must not write a record in somebody's place.
    if !desk.broker.names().may_answer(&reply) {
        tracing::warn!(subject = %request.subject, %reply, "a request whose reply subject is one of ours: dropped");
        desk.count("reply-subject");
        return;
    }
    let Some(body) = answer_to(&desk, &request).await else {
        return;
    };
    if let Err(error) = desk.broker.client().publish(reply, body.into()).await {
        tracing::debug!(%error, "failed to answer a request");
    }
}

fn answer_to<'a>(desk: &'a Desk, request: &'a Message) -> BoxFuture<'a, Option<Vec<u8>>> {
    Box::pin(async move {
        if request.subject.as_str() == desk.broker.subjects().api_status() {
            return desk.status().await;
        }
        let (verb, queue, id) = desk.broker.subjects().parse_api(&request.subject)?;
        match verb {
            "submit" => {
                let answer = desk.submit(queue, id, request).await;
                if let SubmitAnswer::Error { code, .. } = &answer {
                    desk.count(code);
                }
                Some(json(&answer))
            }
            "get" => Some(desk.told(&desk.get(queue, id).await)),
            "cancel" => Some(desk.told(&desk.cancel(queue, id).await)),
            _ => None,
        }
    })
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("answers of texts and numbers are JSON")
}

impl Desk {
    /// Asks the driver. `None`: it has stopped.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(question(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn status(&self) -> Option<Vec<u8>> {
        let mut status = self.ask(Question::Status).await?;
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        status.refused.clone_from(&refused);
        Some(json(&status))
    }

    fn told(&self, answer: &JobAnswer) -> Vec<u8> {
        if let JobAnswer::Error { code, .. } = answer {
            self.count(code);
        }
        json(answer)
    }

    /// Counts a refusal. The codes are our own, so there are few.
    fn count(&self, code: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(code.to_owned()).or_default() += 1;
    }
}
