//! Submissions and their answers, also when the broker or the door is closed, silent or full.

use std::time::Duration;

use nats_config::{Broker, Ledger, Mode, Settings};
use protocol::id::Namespace;
use protocol::submission::Priority;
use worker_sdk::{Client, Job, SubmitError, SubmitRequest, Submitted};

use crate::support::server::Server;
use crate::support::workers::Double;

async fn system() -> (Server, Client) {
    let server = Server::start().await;
    let client = connect(&server).await;
    provision(&client, &Settings::default()).await;
    (server, client)
}

async fn connect(server: &Server) -> Client {
    let (url, options) = (server.url(), async_nats::ConnectOptions::new());
    let connected = Client::connect(&url, options, Namespace::default());
    connected.await.expect("a connection")
}

async fn provision(client: &Client, settings: &Settings) {
    let made = client
        .broker()
        .provision(settings, Mode::Create, Ledger::MayBeNew);
    made.await.expect("streams");
}

fn request(id: &str) -> SubmitRequest {
    SubmitRequest::new("invoices", id)
        .expect("names")
        .payload("<Invoice/>")
}

async fn close_door(broker: &Broker) {
    let mut config = broker.state("JOBS").await.expect("a state").config;
    config
        .subjects
        .retain(|subject| !subject.contains("submit"));
    broker
        .jetstream()
        .update_stream(config)
        .await
        .expect("an update");
}

#[tokio::test]
async fn a_job_is_accepted_once_also_after_a_restart_of_the_broker() {
    let (mut server, client) = system().await;
    let first = client
        .submit_raw(request("INV 1"))
        .await
        .expect("an answer");
    let Submitted::Accepted { accepted } = first else {
        panic!("{first:?}");
    };
    let again = client
        .submit_raw(request("INV 1"))
        .await
        .expect("an answer");
    assert_eq!(again, Submitted::Duplicate { accepted });
    server.kill().await;
    server.start_again().await;
    let client = connect(&server).await;
    let again = client
        .submit_raw(request("INV 1"))
        .await
        .expect("an answer");
    assert_eq!(again, Submitted::Duplicate { accepted });
    let priority = Priority::new(5).expect("a priority");
    let same = request("INV 1").priority(priority);
    let again = client.submit_raw(same).await.expect("an answer");
    assert_eq!(
        again,
        Submitted::Duplicate { accepted },
        "5 is what is not said"
    );
}

#[tokio::test]
async fn another_job_under_the_same_id_is_a_conflict_that_says_what_differs() {
    let (_server, client) = system().await;
    let first = client.submit_raw(request("a")).await.expect("an answer");
    for (other, expected) in [
        (request("a").payload("<CreditNote/>"), "the payload"),
        (request("a").kind("other").expect("a kind"), "the kind"),
        (
            request("a").key("DE").expect("a key").payload(""),
            "the payload, the key",
        ),
        (
            request("a").priority(Priority::new(0).expect("a priority")),
            "the priority",
        ),
        (
            request("a").run_at(protocol::time::Timestamp::from_millis(1)),
            "the run-at time",
        ),
    ] {
        let Ok(Submitted::Conflict { accepted, differs }) = client.submit_raw(other).await else {
            panic!("{expected}: no conflict");
        };
        assert_eq!((accepted, differs.as_str()), (first.accepted(), expected));
    }
    let settings = request("a").timeout(Duration::from_secs(9)).max_attempts(2);
    let again = client.submit_raw(settings).await.expect("an answer");
    assert!(matches!(again, Submitted::Duplicate { .. }), "{again:?}");
}

#[tokio::test]
async fn a_typed_job_carries_its_kind_and_no_message_id() {
    let (_server, client) = system().await;
    client
        .submit("q", "a", &Double(21))
        .await
        .expect("an answer");
    let stored = client.broker().last("JOBS", "jobs.submit.q.a").await;
    let stored = stored.expect("a read").expect("the job");
    assert_eq!(&stored.payload[..], b"21");
    let kind = stored.headers.get("Jobs-Kind").map(|value| value.as_str());
    assert_eq!(kind, Some(Double::KIND));
    assert!(stored.headers.get("Nats-Msg-Id").is_none());
}

#[tokio::test]
async fn many_are_answered_in_their_order() {
    const MANY: usize = 3_000;
    let (_server, client) = system().await;
    client.submit_raw(request("7")).await.expect("an answer");
    let other = request("8").payload("<CreditNote/>");
    client.submit_raw(other).await.expect("an answer");
    let all = (0..MANY).map(|at| request(&at.to_string()));
    let answers = client.submit_many(all).await;
    assert_eq!(answers.len(), MANY);
    for (at, answer) in answers.iter().enumerate() {
        let fits = match answer {
            Ok(Submitted::Duplicate { accepted }) => at == 7 && accepted.get() == 1,
            Ok(Submitted::Conflict { accepted, .. }) => at == 8 && accepted.get() == 2,
            Ok(Submitted::Accepted { .. }) => at != 7 && at != 8,
            Err(_) => false,
        };
        assert!(fits, "{at}: {answer:?}");
    }
    let state = client.broker().state("JOBS").await.expect("a state");
    assert_eq!(state.messages, MANY as u64);
    for (at, answer) in answers.iter().enumerate().step_by(571) {
        let accepted = answer.as_ref().expect("an answer").accepted();
        let stored = client.broker().at("JOBS", accepted.into()).await;
        let stored = stored.expect("a read").expect("the job");
        assert_eq!(stored.subject, format!("jobs.submit.invoices.{at}"));
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_it_is_sent() {
    let (_server, client) = system().await;
    assert!(SubmitRequest::new("a.b", "x").is_err());
    assert!(SubmitRequest::new("q", "").is_err());
    assert!(SubmitRequest::new("q", &"x".repeat(10_000)).is_err());
    assert!(request("x").kind("two words").is_err());
    assert!(request("x").key("DE\n").is_err());
    let trace = request("x").traceparent("a\r\nNats-Msg-Id: b");
    assert!(
        trace
            .expect_err("two headers")
            .to_string()
            .contains("traceparent")
    );
    let large = request("x").payload(vec![0; 1_048_577]);
    let early = request("x")
        .run_at(protocol::time::Timestamp::from_millis(2_000))
        .expires_at(protocol::time::Timestamp::from_millis(1_000));
    for (wrong, text) in [
        (large, "1048576"),
        (early, "expires"),
        (request("x").max_attempts(0), "Jobs-Max-Attempts"),
        (request("x").timeout(Duration::ZERO), "Jobs-Timeout"),
    ] {
        let error = client.submit_raw(wrong).await.expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.is_retryable(), "{error}");
    }
    let state = client.broker().state("JOBS").await.expect("a state");
    assert_eq!(state.messages, 0);
}

#[tokio::test]
async fn hostile_ids_are_encoded_and_accepted() {
    let (_server, client) = system().await;
    for id in [
        "a b",
        "*",
        ">",
        "a.b..c",
        "x\r\nNats-Msg-Id: y",
        "发票 7",
        ".",
    ] {
        let answer = client.submit_raw(request(id)).await.expect(id);
        assert!(matches!(answer, Submitted::Accepted { .. }), "{id:?}");
        let answer = client.submit_raw(request(id)).await.expect(id);
        assert!(matches!(answer, Submitted::Duplicate { .. }), "{id:?}");
    }
}

#[tokio::test]
async fn a_closed_door_says_try_later_and_still_knows_a_repeat() {
    let (_server, client) = system().await;
    let first = client.submit_raw(request("a")).await.expect("an answer");
    close_door(client.broker()).await;
    let closed = client
        .submit_raw(request("b"))
        .await
        .expect_err("it is closed");
    assert_eq!(closed, SubmitError::DoorClosed);
    assert!(closed.is_retryable());
    let again = client.submit_raw(request("a")).await.expect("an answer");
    let accepted = first.accepted();
    assert_eq!(again, Submitted::Duplicate { accepted });
    let many = client.submit_many([request("a"), request("c")]).await;
    assert_eq!(many, [Ok(again), Err(SubmitError::DoorClosed)]);
}

#[tokio::test]
async fn a_full_ledger_says_try_later() {
    let (_server, client) = system().await;
    let broker = client.broker();
    let mut config = broker.state("JOBS").await.expect("a state").config;
    config.max_bytes = 2_000;
    broker
        .jetstream()
        .update_stream(config)
        .await
        .expect("an update");
    let large = request("a").payload(vec![b'x'; 4_000]);
    let full = client.submit_raw(large).await.expect_err("it is full");
    assert!(matches!(full, SubmitError::Full { .. }), "{full}");
    assert!(full.is_retryable());
}

#[tokio::test]
async fn a_submission_whose_answer_got_lost_is_accepted_once() {
    let (server, client) = system().await;
    server.pause();
    let mut submitting = tokio::task::JoinSet::new();
    let patient = client.with_patience(Duration::from_secs(20));
    submitting.spawn(async move { patient.submit_raw(request("a")).await });
    // Longer than one write waits for its answer.
    let silence = Duration::from_millis(3_500);
    let early = tokio::time::timeout(silence, submitting.join_next()).await;
    assert!(early.is_err(), "nobody can know yet: {early:?}");
    server.resume();
    let answer = submitting.join_next().await.expect("one").expect("it ran");
    assert!(
        matches!(answer, Ok(Submitted::Accepted { .. })),
        "{answer:?}"
    );
    let state = client.broker().state("JOBS").await.expect("a state");
    assert_eq!(state.messages, 1);
}

#[tokio::test]
async fn a_broker_that_is_gone_leaves_it_unknown_and_says_so() {
    let (mut server, client) = system().await;
    server.kill().await;
    let client = client.with_patience(Duration::from_millis(500));
    let error = client
        .submit_raw(request("a"))
        .await
        .expect_err("nobody is there");
    assert!(matches!(error, SubmitError::Unknown { .. }), "{error}");
    assert!(error.is_retryable());
    assert!(error.to_string().contains("same id"), "{error}");
}

#[tokio::test]
async fn without_streams_it_says_what_to_start() {
    let server = Server::start().await;
    let client = connect(&server).await;
    let error = client
        .submit_raw(request("a"))
        .await
        .expect_err("no stream");
    assert!(matches!(error, SubmitError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("JOBS"), "{error}");
}
