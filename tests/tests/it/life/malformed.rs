//! What came in directly and cannot be understood ends as a dead letter that says why.

use nats_config::Role;
use protocol::config::QueueConfig;
use tests::raw::Message;
use tests::system::{QUEUE, job, quick_retries};
use tests::{Lease, Size, System};
use worker_sdk::{SubmitError, SubmitRequest, Submitted};

/// Submits all, and expects a dead letter for each, with its word in the reason.
async fn dead_letters(system: &System, submissions: Vec<(Message, &str)>) {
    let _worker = system.worker("w1").await.unwrap();
    let count = submissions.len();
    let mut expected = Vec::new();
    for (submission, word) in submissions {
        let subject = submission.subject.clone();
        expected.push((system.submit(submission).await.unwrap(), subject, word));
    }
    let sound = system.submit(job("sound", "{}").header("Jobs-Key", &"k"));
    sound.await.unwrap();
    system.ended(count + 1).await.unwrap();
    system.tap.look(|book| {
        assert!(book.wrong.is_empty(), "{:#?}", book.wrong);
        for (accepted, subject, word) in &expected {
            let job = &book.jobs[accepted];
            let ends = (job.end(), job.code());
            assert_eq!(ends, (Some("discarded"), Some("malformed")), "{subject}");
            let message = job.outcomes[0].body["error"]["message"].as_str();
            let message = message.unwrap();
            assert!(message.contains(word), "{subject}: {message}");
        }
        let sound = book.job(QUEUE, "sound").unwrap();
        assert_eq!(sound.end(), Some("completed"), "and all else goes on");
    });
    assert_eq!(system.runs().unwrap().len(), 1);
}

#[tokio::test]
async fn ids_and_queues_in_other_forms_become_dead_letters() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let long = format!("jobs.submit.work.{}", "x".repeat(300));
    let submissions = [
        ("jobs.submit.work.%41", "canonical"),
        ("jobs.submit.work.%2f", "canonical"),
        ("jobs.submit.work.50%", "canonical"),
        ("jobs.submit.work.*", "canonical"),
        ("jobs.submit.work.>", "canonical"),
        ("jobs.submit.work.a>b", "canonical"),
        (long.as_str(), "256"),
        ("jobs.submit.größe.x", "queue"),
        ("jobs.submit.*.x", "queue"),
        ("jobs.submit.%.%", "queue"),
    ];
    let submissions = submissions.map(|(subject, word)| (Message::new(subject, "{}"), word));
    dead_letters(&system, submissions.into()).await;
}

#[tokio::test]
async fn headers_that_cannot_be_read_make_a_dead_letter() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let headers = [
        ("Jobs-Kind", "a b"),
        ("Jobs-Key", ""),
        ("Jobs-Priority", "10"),
        ("Jobs-Run-At", "tomorrow"),
        ("Jobs-Expires-At", "2026-02-30T00:00:00Z"),
        ("Jobs-Timeout", "5 parsecs"),
        ("Jobs-Max-Attempts", "0"),
        ("Jobs-Version", "one"),
    ];
    let submissions = headers.iter().enumerate().map(|(n, (name, value))| {
        let submission = job(&format!("bad-{n}"), "{}").header(name, value);
        (submission, *name)
    });
    dead_letters(&system, submissions.collect()).await;
}

#[tokio::test]
async fn a_payload_without_what_the_queue_points_at_makes_a_dead_letter() {
    let pointed = QueueConfig {
        key_pointer: Some("/market".to_owned()),
        kinds: vec!["work".parse().unwrap()],
        ..quick_retries()
    };
    let (system, _a) = System::with_queue(Size::One, Lease::Quick, &pointed)
        .await
        .unwrap();
    let submissions = vec![
        (job("no-market", "{}"), "/market"),
        (job("no-json", "<xml/>"), "not JSON"),
        (job("empty", ""), "not JSON"),
        (job("no-text", r#"{"market":[]}"#), "/market"),
        (
            job("no-kind", r#"{"market":"DE"}"#).header("Jobs-Kind", &"other"),
            "other",
        ),
    ];
    dead_letters(&system, submissions).await;
}

#[tokio::test]
async fn a_submission_of_a_newer_version_is_parked_and_shown() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let newer = job("newer", "").header("Jobs-Version", &2);
    system.submit(newer).await.unwrap();
    system.submit(job("sound", "")).await.unwrap();
    system.end_of("sound").await.unwrap();
    let client = worker_sdk::Client::with_broker(system.broker_of(Role::TrustedSubmitter));
    let view = client.status(QUEUE, "newer").await.unwrap().unwrap();
    assert_eq!(view.phase.as_str(), "parked");
    assert_eq!(system.tap.look(|book| book.ended()), 1);
}

/// The broker adds its own headers to the work: what just fitted as a submission no longer does.
#[tokio::test]
async fn a_payload_as_large_as_the_broker_takes_holds_up_nobody() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let large = " ".repeat(system.client.max_payload());
    system.submit(job("large", &large)).await.unwrap();
    system.submit(job("sound", "")).await.unwrap();
    assert_eq!(
        system.end_of("sound").await.unwrap().end(),
        Some("completed")
    );
    let ended = system.end_of("large").await.unwrap();
    assert_eq!(ended.end(), Some("discarded"));
    assert_eq!(ended.code(), Some("undispatchable"));
    assert_eq!(ended.controls, ["discard"]);
    assert_eq!(system.epoch(), 1, "it is no reason to doubt anything");
}

/// Refused at once by whoever knows what the broker adds.
#[tokio::test]
async fn a_client_refuses_what_would_not_fit_as_work() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let client = worker_sdk::Client::with_broker(system.broker_of(Role::TrustedSubmitter));
    let request = |len: usize| {
        let request = SubmitRequest::new(QUEUE, &format!("x-{len}")).unwrap();
        let padded = format!("{{}}{}", " ".repeat(len - 2));
        request.key("k").unwrap().payload(padded)
    };
    let most = system.client.max_payload();
    let refused = client.submit_raw(request(most - 200)).await;
    assert!(
        matches!(refused, Err(SubmitError::TooLarge { .. })),
        "{refused:?}"
    );
    let fits = client.submit_raw(request(most - 2_000)).await;
    assert!(matches!(fits, Ok(Submitted::Accepted { .. })), "{fits:?}");
    system.ended(1).await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
}
