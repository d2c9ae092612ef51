//! Handlers without their types: from the bytes of a payload to an outcome ready to be written.
//! It never talks to the broker.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::id::{Kind, QueueName};
use protocol::outcome::{Outcome, Status};
use protocol::worker::Finish;
use serde::Serialize;
use serde_json::Value;

use crate::context::JobContext;
use crate::job::{Job, JobError};

/// A handler of one kind.
pub(crate) type Handler =
    Arc<dyn Fn(Bytes, JobContext) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// The handlers of one queue.
#[derive(Clone)]
pub(crate) struct QueueHandlers {
    pub(crate) queue: QueueName,
    pub(crate) slots: u32,
    pub(crate) kinds: HashMap<Kind, Handler>,
}

/// Makes a handler of jobs of kind `J`.
pub(crate) fn typed<J, F, Fut>(handler: F) -> Handler
where
    J: Job,
    F: Fn(J, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<J::Output, JobError>> + Send + 'static,
{
    Arc::new(move |payload, context| match J::decode(&payload) {
        Ok(job) => handler(job, context).map(outcome).boxed(),
        Err(error) => std::future::ready(error.into_outcome()).boxed(),
    })
}

/// Makes a handler of payloads that are no JSON.
pub(crate) fn raw<F, Fut>(handler: F) -> Handler
where
    F: Fn(Bytes, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, JobError>> + Send + 'static,
{
    Arc::new(move |payload, context| handler(payload, context).map(outcome).boxed())
}

fn outcome<T: Serialize>(returned: Result<T, JobError>) -> Outcome {
    match returned.map(|output| serde_json::to_value(output)) {
        Ok(Ok(result)) => Outcome::completed(result),
        Ok(Err(error)) => JobError::permanent(
            "bad-result",
            format!("what the handler returned is no JSON: {error}"),
        )
        .into_outcome(),
        Err(error) => error.into_outcome(),
    }
}

/// What the rules are told of an outcome.
pub(crate) fn finish(outcome: &Outcome) -> Finish {
    let body = outcome.to_body();
    match outcome.status {
        Status::Completed => Finish::Completed(body),
        Status::Cancelled => Finish::Cancelled(body),
        Status::Failed | Status::Expired | Status::Discarded => Finish::Failed(body),
    }
}
