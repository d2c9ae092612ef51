//! A worker and submitters with no more permissions than their roles have.

use async_nats::ConnectOptions;
use nats_config::Names;
use nats_config::roles::permissions_conf;
use protocol::id::Namespace;
use protocol::outcome::Outcome;
use serde_json::json;
use worker_sdk::{Client, Submitted, Worker, WorkerOptions};

use crate::support::leader::{Leader, Work};
use crate::support::server::{PATIENCE, Server};
use crate::support::workers::{Double, LEASE, double};

/// The server's configuration with a password for each role: its name.
fn config() -> String {
    let mut text = permissions_conf(&Names::default());
    for role in [
        "coordinator",
        "worker",
        "trusted_submitter",
        "submitter",
        "viewer",
    ] {
        let variable = format!("${}_PASSWORD", role.to_uppercase());
        text = text.replace(
            &format!("user: {role}, password: {variable}"),
            &format!("user: {role}, password: {role}"),
        );
    }
    // The test sees all, and is answered as a coordinator is.
    text.replace(
        "users: [",
        "users: [\n{ user: everything, password: everything }",
    )
}

fn role(name: &str) -> ConnectOptions {
    ConnectOptions::with_user_and_password(name.to_owned(), name.to_owned())
        .custom_inbox_prefix(format!("_INBOX_{name}"))
}

#[tokio::test]
async fn a_worker_and_a_submitter_need_no_more_than_their_roles() {
    let mut server = Server::start_with(&config()).await;
    let everything = role("everything").custom_inbox_prefix("_INBOX_coordinator");
    let mut leader = Leader::start_as(everything, &server.url()).await;
    leader.queue("q", LEASE).await;
    let url = server.url();
    let client = Client::connect(&url, role("trusted_submitter"), Namespace::default());
    let client = client.await.expect("a connection");
    for _ in 0..2 {
        let answer = client
            .submit("q", "a", &Double(4))
            .await
            .expect("an answer");
        assert_eq!(answer.accepted().get(), 1);
    }
    let many = client.submit_many([]).await;
    assert_eq!(many, Vec::<Result<Submitted, _>>::new());
    let options = WorkerOptions::new(&url, "w").connect(role("worker"));
    let running = Worker::builder(options)
        .handle("q", double)
        .start()
        .await
        .expect("a worker");
    let work = Work {
        headers: &[("Jobs-Kind", "double"), ("Jobs-Key", "DE")],
        payload: "21",
        ..Work::default()
    };
    leader.dispatch("q", "a", work).await;
    let (_, outcome) = leader.outcome_sent().await;
    assert_eq!(outcome, Outcome::completed(json!(42)));
    assert_eq!(leader.final_ack().await.said, "+ACK");
    let ping = leader.broker.subjects().worker_ping(running.id());
    leader
        .client()
        .request(ping, "".into())
        .await
        .expect("an answer");
    running.stop(PATIENCE).await;
    leader.work_left(0).await;
    let log = server.kill().await;
    assert!(!log.contains("Violation"), "{log}");
}
