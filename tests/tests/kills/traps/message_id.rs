//! The broker takes one `Nats-Msg-Id` for one message, whatever its subject: a second job under it is
//! answered like a success, and is nowhere.

use async_nats::{HeaderMap, Request};
use nats_config::Role;
use protocol::answer::Answer;
use serde_json::Value;
use tests::raw::{self, Message, publish_raw, publish_window};
use tests::runs::check_each_attempt_once;
use tests::system::{QUEUE, job, quick_retries};
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Size, System};
use worker_sdk::{Client, SubmitRequest, Submitted};

const MESSAGE_ID: &str = "Nats-Msg-Id";

fn with_id(id: &str) -> Message {
    job(id, "").header(MESSAGE_ID, &"same")
}

#[tokio::test]
async fn a_second_job_under_one_message_id_is_not_taken_for_accepted() {
    let system = System::with_streams(Size::One).await.unwrap();
    let writer = system.client_of(Role::TrustedSubmitter);
    let both = vec![with_id("a"), with_id("b")];
    let answers = publish_window(writer, both).await.unwrap();
    let raw::Answer::Stored(second) = &answers[1] else {
        panic!("{answers:?}");
    };
    assert!(second.duplicate, "the broker says so: {second:?}");
    let text = format!(
        r#"{{"stream":"JOBS","seq":{},"duplicate":true}}"#,
        second.sequence
    );
    let answer = Answer::parse(text.as_bytes());
    assert!(matches!(answer, Answer::Duplicate(_)), "{answer:?}");
    assert!(answer.needs_reading());
    let ledger = system.broker.names().ledger();
    let b = system.broker.last(ledger, "jobs.submit.work.b").await;
    assert_eq!(b.unwrap(), None, "it is nowhere");

    // The SDK sends no message id, and reads back.
    let client = Client::with_broker(system.broker_of(Role::TrustedSubmitter));
    let request = SubmitRequest::new(QUEUE, "b").unwrap();
    let submitted = client.submit_raw(request).await.unwrap();
    assert!(matches!(submitted, Submitted::Accepted { .. }));
}

/// The work queue has a window of message ids, too: a header that was passed on would lose a dispatch.
#[tokio::test]
async fn jobs_that_were_accepted_under_one_message_id_are_each_dispatched() {
    let system = System::with_streams(Size::One).await.unwrap();
    for id in ["a", "b", "c"] {
        let stored = eventually("the end of the window", PATIENCE, async || {
            let writer = system.client_of(Role::TrustedSubmitter);
            match publish_raw(writer, with_id(id)).await {
                Ok(raw::Answer::Stored(stored)) if !stored.duplicate => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        stored.await.unwrap();
    }
    system.queue(QUEUE, &quick_retries()).await.unwrap();
    // All three wait already: they are dispatched at one go.
    let _a = system.coordinator("a").await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    system.ended(3).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
    let runs = system.runs().unwrap();
    assert_eq!(runs.len(), 3, "{runs:#?}");
    check_each_attempt_once(&runs);
    assert_eq!(system.epoch(), 1, "no dispatch was in doubt");
}

#[tokio::test]
async fn the_front_door_accepts_two_jobs_under_one_message_id() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    for id in ["a", "b"] {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, "same");
        let request = Request::new().headers(headers).timeout(Some(PATIENCE));
        let door = format!("jobs.api.submit.{QUEUE}.{id}");
        let submitter = system.client_of(Role::Submitter);
        let answer = submitter.send_request(door, request).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["status"], "accepted", "{answer}");
    }
}
