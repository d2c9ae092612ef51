//! A worker that forges outcomes, acks and words: what it can write counts for nothing or is believed
//! once, the ledger stays right, and a counter goes up.

use std::collections::BTreeMap;

use coordinator::roll_call::{GATHER, roll_call};
use nats_config::Role;
use protocol::message::CoordinatorStatus;
use tests::hand::HandWorker;
use tests::raw::{Message, publish_raw};
use tests::system::{QUEUE, job};
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Size, System};

/// What the one coordinator says of itself, once it satisfies.
pub(super) async fn status(
    system: &System,
    what: &str,
    is_good: impl Fn(&CoordinatorStatus) -> bool,
) -> CoordinatorStatus {
    eventually(what, PATIENCE, async || {
        let viewer = system.client_of(Role::Viewer);
        let all = roll_call(viewer, system.broker.subjects(), GATHER).await;
        let all = all.map_err(|error| error.to_string())?;
        let good = all.iter().find(|status| is_good(status)).cloned();
        good.ok_or_else(|| format!("{all:?}"))
    })
    .await
    .unwrap()
}

async fn hand(system: &System, name: &str) -> HandWorker {
    let client = system.client_of(Role::Worker);
    HandWorker::here(client, name, QUEUE, 1).await.unwrap()
}

async fn forge(system: &System, subject: &str) {
    let forged = Message::new(subject, r#"{"v":1,"status":"completed","result":"forged"}"#);
    let answer = publish_raw(system.client_of(Role::Worker), forged).await;
    assert_ne!(answer.unwrap().sequence(), 0);
}

#[tokio::test]
async fn forged_outcomes_take_nobodys_place() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let worker = hand(&system, "hand").await;
    let accepted = system.submit(job("x", "")).await.unwrap();
    let first = worker.pull(1).await.unwrap().remove(0);
    for subject in [
        // Of the attempt to come, of no job, and of the number of a job with another id.
        format!("jobs.outcome.work.{accepted}.2.x"),
        "jobs.outcome.work.999999.1.x".to_owned(),
        format!("jobs.outcome.work.{accepted}.1.y"),
    ] {
        forge(&system, &subject).await;
    }
    let failed = worker.record(&first, r#"{"v":1,"status":"failed"}"#).await;
    assert_ne!(failed.unwrap().sequence(), 0);
    worker.ack(&first).await.unwrap();

    let next = worker.pull(1).await.unwrap().remove(0);
    assert!(next.subject.ends_with(".3.x"), "{}", next.subject);
    worker.complete(&next).await.unwrap();
    let client = worker_sdk::Client::with_broker(system.broker_of(Role::TrustedSubmitter));
    let view = eventually("the end of x", PATIENCE, async || {
        let view = client.status(QUEUE, "x").await.map_err(|e| e.to_string())?;
        let view = view.filter(|view| view.phase.is_final());
        view.ok_or_else(|| "it has not ended".to_owned())
    });
    let view = view.await.unwrap();
    assert_eq!(view.phase.as_str(), "completed");
    assert_eq!(view.attempt.get(), 3);
    system.work_is_done().await.unwrap();

    let status = status(&system, "a leader", |status| status.role == "leader").await;
    let expected = [("early-outcome".to_owned(), 1), ("job".to_owned(), 2)];
    assert_eq!(status.ignored_by, BTreeMap::from(expected));
    let verified = system.command(&["verify", "--drained"]).await.unwrap();
    let text = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(1), "forgery is shown: {text}");
    for rule in ["R2", "R3"] {
        assert!(text.contains(rule), "{rule}: {text}");
    }
    for rule in ["L1", "L2"] {
        assert!(!text.contains(&format!("{rule} at")), "{rule}: {text}");
    }
}

#[tokio::test]
async fn who_gives_back_what_another_holds_makes_a_second_run_and_no_second_outcome() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let (victim, other) = (hand(&system, "victim").await, hand(&system, "other").await);
    system.submit(job("x", "")).await.unwrap();
    let held = victim.pull(1).await.unwrap().remove(0);
    let attacker = system.client_of(Role::Worker);
    attacker
        .publish(held.ack.clone(), "-NAK".into())
        .await
        .unwrap();
    let again = other.pull(1).await.unwrap().remove(0);
    assert_eq!(
        (again.subject.as_str(), again.count()),
        (held.subject.as_str(), 2)
    );
    other.complete(&again).await.unwrap();
    let late = victim.record(&held, r#"{"v":1,"status":"failed"}"#).await;
    assert_eq!(late.unwrap().code(), 10_077);
    assert_eq!(system.end_of("x").await.unwrap().end(), Some("completed"));
    system.work_is_done().await.unwrap();
    let verified = system.command(&["verify", "--drained"]).await.unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn words_that_no_worker_says_are_counted() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let attacker = system.client_of(Role::Worker);
    let large = "x".repeat(900_000);
    for words in [
        "",
        "{}",
        r#"{"says":"took","worker":"*"}"#,
        "\u{0}\u{1b}[2J",
        &large,
    ] {
        let subject = "jobs.worker.says.evil";
        let said = attacker.publish(subject, words.to_owned().into());
        said.await.unwrap();
    }
    attacker.flush().await.unwrap();
    let is_counted =
        |status: &CoordinatorStatus| status.ignored_by.get("worker-message") == Some(&5);
    status(&system, "five ignored words", is_counted).await;
    let worker = hand(&system, "hand").await;
    system.submit(job("x", "")).await.unwrap();
    let delivery = worker.pull(1).await.unwrap().remove(0);
    worker.complete(&delivery).await.unwrap();
    assert_eq!(system.end_of("x").await.unwrap().end(), Some("completed"));
}
