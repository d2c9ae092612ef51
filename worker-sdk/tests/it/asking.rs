//! Questions to a coordinator, which the test plays: status, changes, the outcome, cancel, and the
//! front door.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use protocol::message::{JobAnswer, JobPhase, JobView, SubmitAnswer};
use protocol::number::{Accepted, Attempt};
use protocol::outcome::Outcome;
use protocol::time::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use worker_sdk::{Client, ClientError, SubmitError, SubmitRequest, Submitted};

use crate::support::server::{PATIENCE, Server};

/// A coordinator that answers what the test put there.
struct Desk {
    job: Arc<Mutex<JobAnswer>>,
    submit: Arc<Mutex<SubmitAnswer>>,
    _serving: JoinSet<()>,
}

async fn connect(server: &Server) -> Client {
    let options = async_nats::ConnectOptions::new();
    let namespace = protocol::id::Namespace::default();
    let client = Client::connect(&server.url(), options, namespace).await;
    client.expect("a connection")
}

impl Desk {
    async fn open(server: &Server) -> Self {
        let client = async_nats::connect(server.url()).await.expect("connect");
        let mut requests = client
            .subscribe("jobs.api.>")
            .await
            .expect("a subscription");
        let job = Arc::new(Mutex::new(JobAnswer::Unknown));
        let submit = Arc::new(Mutex::new(SubmitAnswer::Accepted {
            accepted: Accepted::new(1),
        }));
        let (jobs, submits) = (job.clone(), submit.clone());
        let (mut serving, own) = (JoinSet::new(), client.clone());
        serving.spawn(async move {
            while let Some(request) = requests.next().await {
                let body = if request.subject.starts_with("jobs.api.submit.") {
                    serde_json::to_vec(&*submits.lock().expect("whole"))
                } else {
                    serde_json::to_vec(&*jobs.lock().expect("whole"))
                };
                let reply = request.reply.expect("a request");
                let body = body.expect("JSON").into();
                client.publish(reply, body).await.expect("publish");
            }
        });
        let asked = own.request("jobs.api.get.q.a", "".into()).await;
        asked.expect("it answers");
        Self {
            job,
            submit,
            _serving: serving,
        }
    }

    fn says(&self, phase: JobPhase, outcome: Option<Outcome>) {
        let view = JobView {
            queue: "q".parse().expect("a queue"),
            id: "a".to_owned(),
            accepted: Accepted::new(1),
            accepted_at: Timestamp::from_millis(1_000),
            phase,
            kind: None,
            key: None,
            attempt: Attempt::NONE,
            max_attempts: None,
            due: None,
            cancel_requested: false,
            error: None,
            outcome_at: None,
            outcome,
        };
        *self.job.lock().expect("whole") = JobAnswer::Job {
            job: Box::new(view),
        };
    }
}

#[tokio::test]
async fn without_a_coordinator_it_says_so() {
    let server = Server::start().await;
    let client = connect(&server).await;
    let error = client.status("q", "a").await.expect_err("nobody");
    assert_eq!(error, ClientError::NoCoordinator);
    let door = client
        .front_door()
        .with_patience(Duration::from_millis(300));
    let request = SubmitRequest::new("q", "a").expect("names");
    let error = door.submit_raw(request).await.expect_err("nobody");
    assert_eq!(error, SubmitError::NoCoordinator);
    let short = Duration::from_millis(300);
    let error = client.wait("q", "a", short).await.expect_err("nobody");
    assert_eq!(error, ClientError::NoCoordinator);
}

#[tokio::test]
async fn a_job_is_watched_until_it_is_final() {
    let server = Server::start().await;
    let client = connect(&server).await;
    let desk = Desk::open(&server).await;
    assert_eq!(client.status("q", "a").await, Ok(None));
    let unknown = client.wait("q", "a", PATIENCE).await.expect_err("unknown");
    assert!(
        matches!(unknown, ClientError::UnknownJob { .. }),
        "{unknown}"
    );
    desk.says(JobPhase::Available, None);
    let mut changes = Box::pin(client.watch("q", "a"));
    let first = changes.next().await.expect("a change").expect("a view");
    assert_eq!(first.phase, JobPhase::Available);
    let short = Duration::from_millis(200);
    let error = client.wait("q", "a", short).await.expect_err("not yet");
    assert_eq!(error, ClientError::NotYet { phase: "available" });
    let outcome = Outcome::completed(json!(42));
    desk.says(JobPhase::Completed, Some(outcome.clone()));
    let last = changes.next().await.expect("a change").expect("a view");
    assert_eq!(last.phase, JobPhase::Completed);
    assert!(changes.next().await.is_none(), "it is final");
    assert_eq!(client.wait("q", "a", PATIENCE).await, Ok(outcome));
    let cancelled = client.cancel("q", "a").await.expect("a view");
    assert_eq!(cancelled.phase, JobPhase::Completed, "it was too late");
}

#[tokio::test]
async fn the_front_door_answers_as_the_ledger_does() {
    let server = Server::start().await;
    let client = connect(&server).await.front_door();
    let desk = Desk::open(&server).await;
    let accepted = Accepted::new(1);
    let request = || SubmitRequest::new("q", "a").expect("names");
    let answer = client.submit_raw(request()).await;
    assert_eq!(answer, Ok(Submitted::Accepted { accepted }));
    *desk.submit.lock().expect("whole") = SubmitAnswer::Duplicate { accepted };
    let all = client.submit_many([request(), request()]).await;
    assert_eq!(all, vec![Ok(Submitted::Duplicate { accepted }); 2]);
    *desk.submit.lock().expect("whole") = SubmitAnswer::Error {
        code: "unknown-queue".to_owned(),
        message: "no queue q".to_owned(),
        retry: false,
    };
    let error = client.submit_raw(request()).await.expect_err("refused");
    assert!(error.to_string().contains("unknown-queue"), "{error}");
    assert!(!error.is_retryable());
}
