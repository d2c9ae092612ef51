//! One call of a handler, on the user's runtime, with its observer. It knows nothing of leases.

use std::sync::Arc;

use bytes::Bytes;
use protocol::outcome::{Outcome, OutcomeError, Status};
use protocol::worker::Finish;
use tokio::task::JoinError;

use crate::context::{JobContext, JobInfo};
use crate::handler::{self, Handler};
use crate::observer::{JobEnd, Observer};

/// What a call needs.
pub(crate) struct Start {
    pub(crate) handler: Handler,
    pub(crate) payload: Bytes,
    pub(crate) context: JobContext,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

/// Tells the observer of the end, also when the handler panics or is aborted.
struct Observed {
    observer: Option<Arc<dyn Observer>>,
    context: JobContext,
    end: JobEnd,
}

impl Drop for Observed {
    fn drop(&mut self) {
        if self.end == JobEnd::Aborted && std::thread::panicking() {
            self.end = JobEnd::Panicked;
        }
        log("job ended", self.context.info());
        if let Some(observer) = &self.observer {
            observer.finished(self.context.info(), self.end);
        }
    }
}

pub(crate) async fn run(start: Start) -> Finish {
    let Start {
        handler,
        payload,
        context,
        observer,
    } = start;
    log("job started", context.info());
    if let Some(observer) = &observer {
        observer.started(context.info());
    }
    let mut observed = Observed {
        observer,
        context: context.clone(),
        end: JobEnd::Aborted,
    };
    let outcome = handler(payload, context).await;
    observed.end = match outcome.status {
        Status::Completed => JobEnd::Completed,
        Status::Cancelled => JobEnd::Cancelled,
        Status::Failed | Status::Expired | Status::Discarded => JobEnd::Failed,
    };
    drop(observed);
    handler::finish(&outcome)
}

/// What became of a handler whose task did not end by itself.
pub(crate) fn broken(error: JoinError) -> Finish {
    match error.try_into_panic() {
        Err(_aborted) => Finish::Aborted,
        Ok(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "with something that is no text".to_owned());
            let error = OutcomeError::new("panic", &format!("the handler panicked: {text}"));
            Finish::Failed(Outcome::ended(Status::Failed, error).to_body())
        }
    }
}

fn log(message: &'static str, job: &JobInfo) {
    tracing::debug!(
        job_id = %job.id, queue = %job.queue, kind = %job.kind, accepted = job.accepted.get(),
        attempt = job.attempt.get(), delivery = job.delivery, "{message}"
    );
}
