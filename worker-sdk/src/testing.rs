//! Runs a handler without a broker, for a user's own tests. What it does not have: leases, retries,
//! and everything else that several runs would share.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use protocol::id::{JobId, Key, Kind, NameError, QueueName, WorkerId};
use protocol::number::{Accepted, Attempt};
use protocol::worker::CancelReason;

use crate::clock;
use crate::context::{Cancellation, JobContext, JobInfo};
use crate::job::{Job, JobError};

/// A run that a test makes up.
///
/// ```
/// use worker_sdk::testing::TestRun;
/// use worker_sdk::{CancelReason, JobContext, JobError};
///
/// async fn stop_when_told(job: JobContext) -> Result<(), JobError> {
///     let reason = job.cancelled().await;
///     Err(JobError::retry(reason.as_str()))
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let run = TestRun::new("invoices", "INV-1").unwrap().attempt(2);
/// run.cancel(CancelReason::Requested);
/// assert!(stop_when_told(run.context()).await.is_err());
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct TestRun {
    info: JobInfo,
    headers: HeaderMap,
    timeout: Option<Duration>,
    cancellation: Cancellation,
}

impl TestRun {
    /// The first attempt at the first job of a queue; its kind is the queue's name.
    ///
    /// # Errors
    /// A name is none.
    pub fn new(queue: &str, id: &str) -> Result<Self, NameError> {
        Ok(Self {
            info: JobInfo {
                queue: QueueName::new(queue)?,
                id: JobId::from_raw(id)?,
                kind: Kind::new(queue)?,
                key: None,
                accepted: Accepted::new(1),
                attempt: Attempt::FIRST,
                delivery: 1,
                worker: WorkerId::new("test")?,
            },
            headers: HeaderMap::new(),
            timeout: None,
            cancellation: Cancellation::default(),
        })
    }

    /// Another attempt than the first.
    #[must_use]
    pub const fn attempt(mut self, attempt: u64) -> Self {
        self.info.attempt = Attempt::new(attempt);
        self
    }

    /// Another delivery than the first.
    #[must_use]
    pub const fn delivery(mut self, delivery: u64) -> Self {
        self.info.delivery = delivery;
        self
    }

    /// A key.
    ///
    /// # Errors
    /// It is none.
    pub fn key(mut self, key: &str) -> Result<Self, NameError> {
        self.info.key = Some(Key::new(key)?);
        Ok(self)
    }

    /// A time-out, for [`JobContext::remaining`]; the run is not ended by it.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// A header. One that no message can carry is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = value.parse::<HeaderValue>() {
            self.headers.insert(name, value);
        }
        self
    }

    /// Asks the run to stop.
    pub fn cancel(&self, reason: CancelReason) {
        self.cancellation.fire(reason);
    }

    /// What a handler gets of it.
    #[must_use]
    pub fn context(&self) -> JobContext {
        JobContext::new(
            Arc::new(self.info.clone()),
            Arc::new(self.headers.clone()),
            self.timeout.map(|timeout| clock::now().after(timeout)),
            self.cancellation.clone(),
        )
    }

    /// Runs a typed handler with `job` as it would come over the wire: encoded and read back.
    ///
    /// # Errors
    /// What the handler returns, or the job cannot be encoded or read back.
    pub async fn handle<J, Fut>(
        &self,
        job: &J,
        handler: impl Fn(J, JobContext) -> Fut,
    ) -> Result<J::Output, JobError>
    where
        J: Job,
        Fut: Future<Output = Result<J::Output, JobError>>,
    {
        let payload: Bytes = job.encode()?;
        let mut run = self.clone();
        run.info.kind =
            Kind::new(J::KIND).map_err(|error| JobError::permanent("bad-kind", error))?;
        handler(J::decode(&payload)?, run.context()).await
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::TestRun;
    use crate::{Job, JobContext, JobError};

    #[derive(Serialize, Deserialize)]
    struct Greet(String);

    impl Job for Greet {
        const KIND: &'static str = "greet";
        type Output = String;
    }

    async fn greet(Greet(name): Greet, job: JobContext) -> Result<String, JobError> {
        if name.is_empty() {
            return Err(JobError::permanent("no-name", "nobody to greet"));
        }
        Ok(format!("hello {name}, try {}", job.attempt().get()))
    }

    #[tokio::test]
    async fn a_handler_runs_without_a_broker() {
        let run = TestRun::new("q", "a").expect("names").attempt(3);
        let said = run.handle(&Greet("Ada".into()), greet).await;
        assert_eq!(said, Ok("hello Ada, try 3".to_owned()));
        let said = run.handle(&Greet(String::new()), greet).await;
        assert!(said.expect_err("nobody").is_permanent());
    }
}
