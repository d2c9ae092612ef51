//! 10077 by bytes, and 10077 by subject: one code for "try later" and for "it is there".

use nats_config::Role;
use tests::raw::publish_raw;
use tests::system::{QUEUE, job};
use tests::{Size, System};
use worker_sdk::{Client, SubmitError, SubmitRequest, Submitted};

fn request(id: &str, payload: &'static str) -> SubmitRequest {
    SubmitRequest::new(QUEUE, id)
        .unwrap()
        .payload(payload.as_bytes())
}

/// Takes all free room from the ledger.
async fn squeeze(system: &System) {
    let ledger = system.broker.names().ledger();
    let mut state = system.broker.state(ledger).await.unwrap();
    state.config.max_bytes = i64::try_from(state.bytes).unwrap();
    let jetstream = system.broker.jetstream();
    jetstream.update_stream(state.config).await.unwrap();
}

async fn full(size: Size) {
    let system = System::with_streams(size).await.unwrap();
    let client = Client::with_broker(system.broker_of(Role::TrustedSubmitter));
    let first = client.submit_raw(request("old", "one")).await.unwrap();
    let accepted = first.accepted();
    squeeze(&system).await;

    let writer = system.client_of(Role::TrustedSubmitter);
    let new = publish_raw(writer, job("new", "one")).await.unwrap();
    assert_eq!(new.code(), 10_077, "by bytes: {new:?}");
    let old = publish_raw(writer, job("old", "one")).await.unwrap();
    assert_eq!(old.code(), 10_077, "by subject, or by bytes: {old:?}");

    let error = client.submit_raw(request("new", "one")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Full { .. }), "{error}");
    assert!(error.is_retryable());
    let again = client.submit_raw(request("old", "one")).await.unwrap();
    assert_eq!(again, Submitted::Duplicate { accepted });
    let other = client.submit_raw(request("old", "two")).await.unwrap();
    assert!(matches!(other, Submitted::Conflict { .. }), "{other:?}");
    let ledger = system.broker.names().ledger();
    let state = system.broker.state(ledger).await.unwrap();
    assert_eq!(state.messages, 1, "and nothing was written");
}

#[tokio::test]
async fn a_full_ledger_refuses_a_new_job_and_knows_an_old_one_on_one_server() {
    full(Size::One).await;
}

#[tokio::test]
async fn a_full_ledger_refuses_a_new_job_and_knows_an_old_one_on_three_servers() {
    full(Size::Three).await;
}
