//! What the broker itself keeps when it is killed or paused: the ground that all else stands on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use coordinator::roll_call::{GATHER, roll_call};
use nats_config::Role;
use tests::raw::{Answer, Message, publish_raw};
use tests::system::job;
use tests::wait::{PATIENCE, eventually};
use tests::{Cluster, Lease, Server, Size, System};

fn ledger_like(replicas: usize) -> Config {
    Config {
        name: "BOOK".to_owned(),
        subjects: vec!["book.>".to_owned()],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        num_replicas: replicas,
        ..Config::default()
    }
}

#[tokio::test]
async fn one_server_keeps_what_it_acknowledged_through_a_kill() {
    let mut server = Server::start().await.unwrap();
    let client = server.connect().await.unwrap();
    let config = ledger_like(1);
    jetstream::new(client.clone())
        .create_stream(config)
        .await
        .unwrap();
    let stored = publish_raw(&client, Message::new("book.a", "1"))
        .await
        .unwrap();
    assert_eq!(stored.sequence(), 1);

    let url = server.url();
    server.kill().await.unwrap();
    server.start_again().await.unwrap();

    assert_eq!(server.url(), url, "clients find it again under its address");
    let client = server.connect().await.unwrap();
    let repeat = publish_raw(&client, Message::new("book.a", "2"))
        .await
        .unwrap();
    assert_eq!(repeat.code(), 10077);
    let stream = jetstream::new(client).get_stream("BOOK").await.unwrap();
    assert_eq!(stream.get_raw_message(1).await.unwrap().payload, "1");
}

#[tokio::test]
async fn a_paused_server_answers_nothing_and_goes_on() {
    let mut server = Server::start().await.unwrap();
    let client = server.connect().await.unwrap();
    server.pause().unwrap();
    let limit = Duration::from_millis(200);
    let silence = tokio::time::timeout(limit, client.request("nobody", "".into())).await;
    assert!(silence.is_err(), "a paused server answered: {silence:?}");
    server.resume().unwrap();
    let answer = client.request("nobody", "".into()).await;
    assert!(answer.is_err_and(|no| no.kind() == async_nats::RequestErrorKind::NoResponders));
}

#[tokio::test]
async fn a_cluster_goes_on_without_the_leader_of_a_stream() {
    let mut cluster = Cluster::start().await.unwrap();
    let client = cluster.connect().await.unwrap();
    let config = ledger_like(3);
    jetstream::new(client.clone())
        .create_stream(config)
        .await
        .unwrap();
    let stored = publish_raw(&client, Message::new("book.a", "1"))
        .await
        .unwrap();
    assert_eq!(stored.sequence(), 1);

    let (dead, _) = cluster.kill_stream_leader(&client, "BOOK").await.unwrap();
    let answer = eventually(
        "an answer of the new leader",
        PATIENCE,
        async || match publish_raw(&client, Message::new("book.a", "2")).await {
            Ok(Answer::Refused(refusal)) => Ok(refusal),
            other => Err(format!("{other:?}")),
        },
    )
    .await
    .unwrap();
    assert_eq!(
        answer.code, 10077,
        "the new leader knows what the old one stored"
    );
    let leader = cluster.stream_leader(&client, "BOOK").await.unwrap();
    assert_ne!(leader, dead);

    cluster.server(&dead).unwrap().start_again().await.unwrap();
    eventually("all three replicas in step", PATIENCE, async || {
        let info = jetstream::new(client.clone()).get_stream("BOOK").await;
        let info = info.map_err(|lost| lost.to_string())?.cached_info().clone();
        let replicas = info
            .cluster
            .map(|cluster| cluster.replicas)
            .unwrap_or_default();
        let current = replicas.iter().filter(|replica| replica.current).count();
        if current == 2 {
            Ok(())
        } else {
            Err(format!("{replicas:?}"))
        }
    })
    .await
    .unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// A snapshot of the disk was put back, and clients were quicker than the coordinator: the ledger is
/// as long as before, and another one.
#[tokio::test]
async fn a_store_that_was_rolled_back_and_has_grown_again_stops_the_coordinator() {
    let (mut system, mut a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    system.submit(job("early", "")).await.unwrap();
    let server = system.server();
    let store = server.folder().join("jetstream");
    let snapshot = server.folder().join("snapshot");
    server.stop().await.unwrap();
    copy(&store, &snapshot);
    server.start_again().await.unwrap();
    let last = system.submit(job("lost", "")).await.unwrap();
    eventually("the coordinator to fold it", PATIENCE, async || {
        let viewer = system.client_of(Role::Viewer);
        let status = roll_call(viewer, system.broker.subjects(), GATHER).await;
        let status = status.map_err(|error| error.to_string())?;
        let folded = status.iter().any(|status| status.folded.get() >= last);
        folded.then_some(()).ok_or(format!("{status:?}"))
    })
    .await
    .unwrap();

    let server = system.server();
    server.kill().await.unwrap();
    a.pause().unwrap();
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&snapshot, &store).unwrap();
    server.start_again().await.unwrap();
    let client = server.connect_with(tests::roles::connect_options(Some(Role::TrustedSubmitter)));
    let client = client.await.unwrap();
    for other in ["other", "another"] {
        publish_raw(&client, job(other, "")).await.unwrap();
    }
    a.resume().unwrap();
    let status = a.wait_exit(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
    let log = a.tail();
    assert!(
        log.contains("the ledger is not the one that was folded"),
        "{log}"
    );
}
