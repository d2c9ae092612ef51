//! The front door: what it refuses at once, with a code and a sentence, and what it leaves out.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Request};
use nats_config::{Names, Role};
use serde_json::Value;
use tests::raw::{Message, publish_raw};
use tests::roles::connect_options;
use tests::wait::{PATIENCE, within};
use tests::{Lease, Process, Server, Size, System};
use worker_sdk::{SubmitError, SubmitRequest};

async fn start() -> (System, Process) {
    System::with_leader(Size::One, Lease::Quick).await.unwrap()
}

/// Asks at the front door, as `nats req` does.
async fn ask(client: &Client, subject: &str, headers: &[(&str, &str)]) -> Value {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let request = Request::new()
        .headers(map)
        .payload("{}".into())
        .timeout(Some(PATIENCE));
    let answer = client.send_request(subject.to_owned(), request).await;
    serde_json::from_slice(&answer.unwrap().payload).unwrap()
}

fn refused(answer: &Value, code: &str, words: &[&str]) {
    assert_eq!(answer["status"], "error", "{answer}");
    assert_eq!(answer["code"], code, "{answer}");
    assert_eq!(answer["retry"], false, "{answer}");
    let message = answer["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{message}");
    }
}

#[tokio::test]
async fn an_unknown_or_impossible_queue_is_refused() {
    let (system, _a) = start().await;
    let answer = ask(
        system.client_of(Role::Submitter),
        "jobs.api.submit.nowhere.x",
        &[],
    )
    .await;
    let words = ["nowhere", "coordinator queue add nowhere"];
    refused(&answer, "unknown-queue", &words);
    let long = "q".repeat(65);
    for queue in ["%41", "a*b", "größe", long.as_str()] {
        let answer = ask(
            system.client_of(Role::Submitter),
            &format!("jobs.api.submit.{queue}.x"),
            &[],
        )
        .await;
        refused(&answer, "bad-queue", &["queue"]);
    }
    system.tap.look(|book| assert!(book.jobs.is_empty()));
}

#[tokio::test]
async fn an_id_in_another_form_is_refused() {
    let (system, _a) = start().await;
    let long = "x".repeat(257);
    for id in ["%41", "%2f", "50%", "a*b", "*", ">", "%zz", long.as_str()] {
        let answer = ask(
            system.client_of(Role::Submitter),
            &format!("jobs.api.submit.work.{id}"),
            &[],
        )
        .await;
        refused(&answer, "bad-id", &["id"]);
    }
    system.tap.look(|book| assert!(book.jobs.is_empty()));
    for id in ["INV-1", "a.b.c", "%20", "請求書-1", "x%2Ay"] {
        let answer = ask(
            system.client_of(Role::Submitter),
            &format!("jobs.api.submit.work.{id}"),
            &[],
        )
        .await;
        assert_eq!(answer["status"], "accepted", "{id}: {answer}");
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_refused_by_its_name() {
    let (system, _a) = start().await;
    for (name, value) in [
        ("Jobs-Kind", "a b"),
        ("Jobs-Key", ""),
        ("Jobs-Priority", "10"),
        ("Jobs-Run-At", "tomorrow"),
        ("Jobs-Expires-At", "2026-02-30T00:00:00Z"),
        ("Jobs-Timeout", "5 parsecs"),
        ("Jobs-Max-Attempts", "0"),
        ("Jobs-Version", "one"),
    ] {
        let answer = ask(
            system.client_of(Role::Submitter),
            "jobs.api.submit.work.x",
            &[(name, value)],
        )
        .await;
        refused(&answer, "bad-header", &[name]);
    }
    let newer = [("Jobs-Version", "2"), ("Jobs-Priority", "urgent")];
    let answer = ask(
        system.client_of(Role::Submitter),
        "jobs.api.submit.work.x",
        &newer,
    )
    .await;
    refused(&answer, "newer-version", &["version 2", "upgrade"]);
    system.tap.look(|book| assert!(book.jobs.is_empty()));
}

/// The server closes the connection of whoever sends a subject of 10 kB; nobody else feels it.
#[tokio::test]
async fn a_subject_of_ten_kilobytes_harms_nobody_else() {
    let (mut system, _a) = start().await;
    let victim = system.server().connect().await.unwrap();
    let subject = format!("jobs.api.submit.work.{}", "x".repeat(10_000));
    let asked = victim.request(subject, "".into());
    let answer = tokio::time::timeout(Duration::from_secs(2), asked).await;
    assert!(!matches!(answer, Ok(Ok(_))), "{answer:?}");
    let answer = ask(
        system.client_of(Role::Submitter),
        "jobs.api.submit.work.x",
        &[],
    )
    .await;
    assert_eq!(answer["status"], "accepted", "{answer}");
}

#[tokio::test]
async fn nobody_is_answered_in_somebody_elses_place() {
    let (system, _a) = start().await;
    let mut planted = system.client.subscribe("jobs.control.>").await.unwrap();
    for reply in [
        "jobs.control.work.1.0.cancel.x",
        "$JS.API.STREAM.PURGE.WORK",
    ] {
        let asked = system.client_of(Role::Submitter).publish_with_reply(
            "jobs.api.submit.work.x",
            reply,
            "{}".into(),
        );
        asked.await.unwrap();
    }
    // A request after them is answered after them.
    let answer = ask(
        system.client_of(Role::Submitter),
        "jobs.api.submit.work.y",
        &[],
    )
    .await;
    assert_eq!(answer["status"], "accepted", "{answer}");
    let none = tokio::time::timeout(Duration::ZERO, futures::StreamExt::next(&mut planted)).await;
    assert!(none.is_err(), "{none:?}");
}

/// Written directly, this header stops a replicated stream of the server for good.
#[tokio::test]
async fn the_brokers_own_headers_are_dropped_and_the_ledger_lives() {
    let (system, _a) = System::with_leader(Size::Three, Lease::Quick)
        .await
        .unwrap();
    let poison = [
        ("Nats-Expected-Last-Msg-Id", "wrong"),
        ("nats-expected-last-msg-id", "wrong"),
        ("Nats-Msg-Id", "m"),
        ("Nats-Rollup", "all"),
        ("Nats-TTL", "1s"),
        ("Nats-Expected-Last-Sequence", "7"),
        ("traceparent", "00-1-2-03"),
    ];
    let answer = ask(
        system.client_of(Role::Submitter),
        "jobs.api.submit.work.x",
        &poison,
    )
    .await;
    assert_eq!(answer["status"], "accepted", "{answer}");
    let ledger = system.broker.names().ledger();
    let record = system.broker.last(ledger, "jobs.submit.work.x").await;
    let record = record.unwrap().unwrap();
    let names: Vec<String> = record
        .headers
        .iter()
        .map(|(name, _)| name.to_string().to_lowercase())
        .collect();
    assert!(
        !names.iter().any(|name| name.starts_with("nats-")),
        "{names:?}"
    );
    assert!(names.contains(&"traceparent".to_owned()), "{names:?}");
    let next = Message::new("jobs.submit.work.y", "");
    let stored = within(
        "the next submission",
        PATIENCE,
        publish_raw(system.client_of(Role::TrustedSubmitter), next),
    );
    assert!(stored.await.unwrap().unwrap().sequence() > record.sequence.get());
}

/// A coordinator has the submission and may yet store it: nobody may say that it was not stored.
#[tokio::test]
async fn a_submission_that_a_coordinator_took_and_did_not_answer_is_not_denied() {
    let server = Server::start().await.unwrap();
    let client = server.connect_with(connect_options(None)).await.unwrap();
    // A coordinator that takes the request, and then stands still.
    let taken = client.subscribe("jobs.api.submit.work.x").await.unwrap();
    client.flush().await.unwrap();
    let door = worker_sdk::Client::new(client, Names::default().namespace().clone())
        .front_door()
        .with_patience(Duration::from_millis(300));
    let request = SubmitRequest::new("work", "x").unwrap();
    let answer = door.submit_raw(request).await;
    assert!(
        matches!(answer, Err(SubmitError::Unknown { .. })),
        "{answer:?}"
    );
    drop(taken);
}
