//! Buckets and servers on which no election may run, and what happens when the key or the bucket is
//! tampered with.

use std::time::Duration;

use async_nats::jetstream::stream::StorageType;
use election::{
    BucketError, ConnectError, ElectionConfig, Event, LeaseTimings, Mode, Provision, Standing,
    StartError, boot_now, bucket_config,
};
use protocol::number::Epoch;

use crate::server::Server;
use crate::stand::{LONG_LEASE, Stand, config};

const SUBJECT: &str = "$KV.leaders.work";

#[tokio::test]
async fn a_bucket_with_unsafe_settings_is_refused_with_each_of_them_named() {
    let server = Server::start().await;
    let mut unfit = bucket_config("leaders", &LeaseTimings::test(), 1);
    unfit.storage = StorageType::Memory;
    unfit.allow_direct = true;
    unfit.max_age = Duration::from_secs(2);
    unfit.max_messages_per_subject = 5;
    server.jetstream().await.create_stream(unfit).await.unwrap();
    let refused = Stand::try_follow(config(server.broker(), "a", Mode::Fenced)).await;
    let Err(StartError::Bucket(error @ BucketError::Unfit { .. })) = refused else {
        panic!("an unfit bucket was taken");
    };
    let text = error.to_string();
    for what in [
        "leaders",
        "storage",
        "allow_direct",
        "max_age",
        "history",
        "correct it",
    ] {
        assert!(text.contains(what), "{what} is not in: {text}");
    }
}

#[tokio::test]
async fn a_missing_bucket_is_not_made_where_that_is_not_allowed() {
    let server = Server::start().await;
    let mut config = config(server.broker(), "a", Mode::Fenced);
    config.provision = Provision::VerifyOnly;
    let refused = Stand::try_follow(config).await;
    let missing = |error: &StartError| matches!(error, StartError::Bucket(BucketError::Missing(_)));
    assert!(refused.is_err_and(|error| missing(&error)));
    assert!(
        server
            .jetstream()
            .await
            .get_stream("KV_leaders")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn no_server_and_no_jetstream_are_clear_errors() {
    let mut server = Server::start_with(&[]).await;
    let refused = Stand::try_follow(config(server.broker(), "a", Mode::Fenced)).await;
    let unanswered =
        |error: &StartError| matches!(error, StartError::Bucket(BucketError::Unanswered { .. }));
    assert!(refused.is_err_and(|error| unanswered(&error)));
    server.kill().await;
    let refused = Stand::try_follow(config(server.broker(), "a", Mode::Fenced)).await;
    let unreachable =
        |error: &StartError| matches!(error, StartError::Connect(ConnectError::Unreachable { .. }));
    assert!(refused.is_err_and(|error| unreachable(&error)));
}

#[tokio::test]
async fn garbage_in_the_key_ends_the_leadership_and_elects_nobody_before_it_is_waited_out() {
    let server = Server::start().await;
    let mut leader = Stand::campaign(config(server.broker(), "a", Mode::Fenced)).await;
    let first = leader.acquired().await;
    let mut other = Stand::campaign(config(server.broker(), "b", Mode::Fenced)).await;
    other.sees_leader("a").await;
    let context = server.jetstream().await;
    for garbage in [&b"\xff\x00{"[..], b"", br#"{"v":9,"leader":true}"#] {
        let leads = matches!(leader.election.snapshot().standing, Standing::Leading(..));
        let before = boot_now();
        let ack = context.publish(SUBJECT, garbage.into()).await.unwrap();
        ack.await.unwrap();
        let (_, reason) = if leads {
            leader.lost().await
        } else {
            other.lost().await
        };
        assert_eq!(reason, "the record was overwritten");
        // An epoch that the other one never saw would be known to records elsewhere only.
        let named = |event: &Event| matches!(event, Event::LeaderChanged(Some(_))).then_some(());
        tokio::join!(leader.wait_for(named), other.wait_for(named));
        let waited = boot_now().since(before);
        assert!(
            waited >= LeaseTimings::test().lease,
            "elected after {waited:?}"
        );
    }
    let seen = leader.seen().iter().chain(other.seen());
    let epochs = seen.filter_map(|event| match event {
        Event::Acquired { epoch } => Some(*epoch),
        _ => None,
    });
    let mut epochs: Vec<Epoch> = epochs.collect();
    epochs.sort_unstable();
    let expected: Vec<Epoch> = (0..4).map(|step| first.plus(step)).collect();
    assert_eq!(epochs, expected);
}

#[tokio::test]
async fn a_deleted_key_ends_the_leadership_and_epochs_go_on() {
    let server = Server::start().await;
    let mut leader = Stand::campaign(config(server.broker(), "a", Mode::Fenced)).await;
    let first = leader.acquired().await;
    let store = server
        .jetstream()
        .await
        .get_key_value("leaders")
        .await
        .unwrap();
    store.delete("work").await.unwrap();
    assert_eq!(
        leader.lost().await,
        (first, "the record was deleted".to_owned())
    );
    assert_eq!(leader.acquired().await, first.next());
}

#[tokio::test]
async fn a_deleted_bucket_is_reported_and_never_made_again() {
    let server = Server::start().await;
    let mut leader = Stand::campaign(config(server.broker(), "a", Mode::Fenced)).await;
    let first = leader.acquired().await;
    let context = server.jetstream().await;
    context.delete_stream("KV_leaders").await.unwrap();
    let suspended = |event: &Event| matches!(event, Event::Suspended { .. }).then_some(());
    leader.wait_for(suspended).await;
    let mut state = leader.election.watch();
    let told = state.wait_for(|state| {
        state
            .trouble
            .as_ref()
            .is_some_and(|trouble| trouble.contains("was deleted"))
    });
    drop(told.await.expect("the election runs"));
    assert!(context.get_stream("KV_leaders").await.is_err());

    let made = bucket_config("leaders", &LeaseTimings::test(), 1);
    context.create_stream(made).await.unwrap();
    let (_, reason) = leader.lost().await;
    assert_eq!(reason, "the bucket went back or was replaced");
    assert_eq!(leader.acquired().await, first.next());
    assert_eq!(leader.election.snapshot().trouble, None);
}

#[tokio::test]
async fn a_released_record_is_taken_over_at_once() {
    let server = Server::start().await;
    let patient = |holder| ElectionConfig {
        timings: LONG_LEASE,
        ..config(server.broker(), holder, Mode::Strict)
    };
    let mut first = Stand::campaign(patient("a")).await;
    let epoch = first.acquired().await;
    first.election.stop().await;
    // Nobody waits a lease of two minutes out here.
    let mut second = Stand::campaign(patient("b")).await;
    assert_eq!(second.acquired().await, epoch.next());
}
