//! What the broker itself keeps when it is killed or paused: the ground that all else stands on.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use tests::raw::{Answer, Message, publish_raw};
use tests::wait::{PATIENCE, eventually};
use tests::{Cluster, Server};

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
