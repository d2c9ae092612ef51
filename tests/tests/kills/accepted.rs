//! Accepted once: the ledger refuses a repeat, whatever was killed in between and however long ago.

use nats_config::Role;
use tests::raw::{Answer, Message, publish_raw};
use tests::wait::{PATIENCE, eventually};
use tests::{Size, System};

const SUBJECT: &str = "jobs.submit.work.x";

/// What the server says of a second message on a subject: the only text of 10077 that means so.
const OCCUPIED: &str = "maximum messages per subject exceeded";

async fn refused(system: &System, repeat: Message) {
    let answer = eventually("a refusal", PATIENCE, async || {
        match publish_raw(system.client_of(Role::TrustedSubmitter), repeat.clone()).await {
            Ok(Answer::Refused(refusal)) => Ok(refusal),
            // A server that just started elects; within the window of message ids it calls the
            // repeat a duplicate.
            other => Err(format!("{other:?}")),
        }
    });
    let refusal = answer.await.unwrap();
    assert_eq!(refusal.code, 10_077, "{refusal:?}");
    assert_eq!(refusal.description, OCCUPIED);
}

async fn kill_all(system: &mut System, size: Size) {
    match size {
        Size::One => {
            system.server().kill().await.unwrap();
            system.server().start_again().await.unwrap();
        }
        Size::Three => {
            for server in system.cluster().servers() {
                server.kill().await.unwrap();
            }
            for server in system.cluster().servers() {
                server.start_again().await.unwrap();
            }
        }
    }
}

async fn stays_accepted(size: Size) {
    let mut system = System::with_streams(size).await.unwrap();
    let first = Message::new(SUBJECT, "one");
    let stored = publish_raw(system.client_of(Role::TrustedSubmitter), first.clone())
        .await
        .unwrap();
    let with_id = Message::new(format!("{SUBJECT}-id"), "one").header("Nats-Msg-Id", &"m1");
    let with_id_stored = publish_raw(system.client_of(Role::TrustedSubmitter), with_id.clone())
        .await
        .unwrap();

    // The window of message ids is 100 ms: after it the subject alone refuses, as it must.
    refused(&system, with_id.clone()).await;
    refused(&system, first.clone()).await;
    kill_all(&mut system, size).await;

    refused(&system, first.clone()).await;
    refused(&system, Message::new(SUBJECT, "another")).await;
    refused(&system, with_id).await;
    let ledger = system.broker.names().ledger();
    let record = system.broker.last(ledger, SUBJECT).await.unwrap().unwrap();
    assert_eq!(record.sequence.get(), stored.sequence());
    assert_eq!(record.payload, first.payload);
    let state = system.broker.state(ledger).await.unwrap();
    assert_eq!(state.last.get(), with_id_stored.sequence(), "nothing else");
}

#[tokio::test]
async fn a_repeat_is_refused_after_a_kill_and_after_the_window_on_one_server() {
    stays_accepted(Size::One).await;
}

#[tokio::test]
async fn a_repeat_is_refused_after_a_kill_and_after_the_window_on_three_servers() {
    stays_accepted(Size::Three).await;
}
