//! The harness itself: servers come up as asked, answers are read right, the tool runs.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use nats_config::Role;
use tests::raw::{Answer, Message, atomic_batch, publish_raw};
use tests::server::JetStream;
use tests::{Cluster, NatsCli, Server, ServerOptions, roles};

fn work_like() -> Config {
    Config {
        name: "LINE".to_owned(),
        subjects: vec!["line.>".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        allow_atomic_publish: true,
        ..Config::default()
    }
}

#[tokio::test]
async fn options_reach_the_server() {
    let options = ServerOptions {
        max_store: Some(1_000_000),
        sync_interval: Some("always".to_owned()),
        domain: Some("hub".to_owned()),
        snippet: "max_payload: 4KB".to_owned(),
        ..ServerOptions::default()
    };
    let server = Server::start_with(options).await.unwrap();
    let client = server.connect().await.unwrap();
    assert_eq!(client.server_info().max_payload, 4096);
    let context = jetstream::with_domain(client, "hub");
    let limits = context.query_account().await.unwrap();
    assert_eq!(limits.domain.as_deref(), Some("hub"));
    let too_big = Config {
        max_bytes: 2_000_000,
        ..work_like()
    };
    let refused = context.create_stream(too_big).await.unwrap_err();
    assert!(
        refused.to_string().contains("insufficient storage"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_server_without_jetstream_answers_core_messages_alone() {
    let options = ServerOptions {
        jetstream: JetStream::Off,
        ..ServerOptions::default()
    };
    let server = Server::start_with(options).await.unwrap();
    let client = server.connect().await.unwrap();
    assert!(jetstream::new(client).query_account().await.is_err());
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let options = ServerOptions {
        snippet: "no_such_option: 1".to_owned(),
        ..ServerOptions::default()
    };
    let Err(refused) = Server::start_with(options).await else {
        panic!("the server took an option that does not exist");
    };
    let text = format!("{refused:#}");
    assert!(text.contains("no_such_option"), "{text}");
}

#[tokio::test]
async fn a_server_that_ended_by_itself_is_raised_again_and_one_that_runs_is_left_alone() {
    let mut server = Server::start().await.unwrap();
    server.process().unwrap().kill().await.unwrap();
    server.raise().await.unwrap();
    let pid = server.process().unwrap().pid();
    server.raise().await.unwrap();
    assert_eq!(server.process().unwrap().pid(), pid);
    server.connect().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_configuration_is_gone_is_not_raised_and_says_why() {
    let mut server = Server::start().await.unwrap();
    server.kill().await.unwrap();
    std::fs::remove_file(server.folder().join("server.conf")).unwrap();
    let error = format!("{:#}", server.raise().await.unwrap_err());
    assert!(error.contains("server.conf"), "{error}");
}

#[tokio::test]
async fn raw_answers_tell_stored_refused_and_nobody_there() {
    let server = Server::start().await.unwrap();
    let client = server.connect().await.unwrap();
    let context = jetstream::new(client.clone());
    context.create_stream(work_like()).await.unwrap();

    let stored = publish_raw(&client, Message::new("line.a", "1"))
        .await
        .unwrap();
    assert_eq!(stored.sequence(), 1);
    let repeat = publish_raw(&client, Message::new("line.a", "2"))
        .await
        .unwrap();
    assert_eq!(repeat.code(), 10077);
    let ghost = Message::new("line.b", "3").expecting(7);
    assert_eq!(publish_raw(&client, ghost).await.unwrap().code(), 10071);
    let nobody = publish_raw(&client, Message::new("other", "4"))
        .await
        .unwrap();
    assert_eq!(nobody, Answer::NoResponders);
}

#[tokio::test]
async fn a_raw_batch_is_stored_whole_or_not_at_all() {
    let server = Server::start().await.unwrap();
    let client = server.connect().await.unwrap();
    let context = jetstream::new(client.clone());
    let mut stream = context.create_stream(work_like()).await.unwrap();

    let fence = |last: u64| -> Vec<Message> {
        let mut messages: Vec<Message> = (1..=512)
            .map(|place| Message::new(format!("line.fence.{last}.{place}"), ""))
            .collect();
        messages[0] = messages[0].clone().expecting(last);
        messages
    };
    let answer = atomic_batch(&client, fence(0)).await.unwrap();
    assert_eq!(answer.sequence(), 512);
    let stale = atomic_batch(&client, fence(3)).await.unwrap();
    assert_eq!(stale.code(), 10071);
    assert_eq!(stream.info().await.unwrap().state.messages, 512);
}

#[tokio::test]
async fn a_cluster_of_three_takes_a_replicated_stream_and_names_its_leader() {
    let mut cluster = Cluster::start().await.unwrap();
    let client = cluster.connect().await.unwrap();
    let config = Config {
        num_replicas: 3,
        ..work_like()
    };
    jetstream::new(client.clone())
        .create_stream(config)
        .await
        .unwrap();
    let leader = cluster.stream_leader(&client, "LINE").await.unwrap();
    assert!(cluster.server(&leader).is_ok());
    let stored = publish_raw(&client, Message::new("line.a", "1"))
        .await
        .unwrap();
    assert_eq!(stored.sequence(), 1);
}

#[tokio::test]
async fn the_nats_tool_runs_against_a_server_of_ours() {
    let Some(nats) = NatsCli::find_or_build().await.unwrap() else {
        return;
    };
    let server = Server::start().await.unwrap();
    let context = jetstream::new(server.connect().await.unwrap());
    context.create_stream(work_like()).await.unwrap();

    let first = nats
        .run(&server.url(), &["pub", "-J", "line.a", "1"])
        .await
        .unwrap();
    first.success().unwrap();
    let repeat = nats
        .run(&server.url(), &["pub", "-J", "line.a", "1"])
        .await
        .unwrap();
    assert_eq!(repeat.code, Some(1));
    let text = repeat.stdout + &repeat.stderr;
    assert!(
        text.contains("maximum messages per subject exceeded"),
        "{text}"
    );
}

#[tokio::test]
async fn what_a_role_is_refused_is_seen() {
    let mut server = Server::start().await.unwrap();
    let options = roles::connect_options(Some(Role::Viewer));
    let viewer = server.connect_with(options).await.unwrap();
    let forbidden = viewer.publish("jobs.submit.work.x", "".into());
    forbidden.await.unwrap();
    // Answered after the server has looked at what came before.
    let nobody = viewer.request("jobs.api.status", "".into()).await;
    assert!(nobody.is_err(), "{nobody:?}");
    server.stop().await.unwrap();
    let refused = server.take_refused();
    let users = refused
        .iter()
        .filter(|line| line.contains("viewer"))
        .count();
    assert_eq!(
        (refused.len(), users),
        if roles::on() { (1, 1) } else { (0, 0) },
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_wait_that_is_given_up_says_what_was_awaited() {
    let limit = Duration::from_millis(50);
    let given_up = tests::wait::eventually("the moon", limit, async || Err::<(), _>("too low"))
        .await
        .unwrap_err();
    assert_eq!(
        given_up.to_string(),
        "waited 50ms for the moon; the last look said: too low"
    );
}
