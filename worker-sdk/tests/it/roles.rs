//! A worker and submitters with no more permissions than their roles have.

use async_nats::ConnectOptions;
use nats_config::Names;
use nats_config::roles::permissions_conf;
use protocol::id::Namespace;
use protocol::outcome::Outcome;
use serde_json::json;
use worker_sdk::{
    CallRequest, Client, ExplicitIdentity, LeaderProxy, Singleton, Submitted, Worker, WorkerOptions,
};

use crate::support::leader::{Leader, Work};
use crate::support::server::{PATIENCE, Server};
use crate::support::workers::{Double, LEASE, double, in_time};

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

/// The lists of docs/operating.md, word for word.
const SINGLETON_USERS: &str = r#"
authorization { users: [
  { user: stands, password: stands, permissions: {
    publish: [
      "$JS.API.STREAM.INFO.KV_jobs_singletons"
      "$JS.API.STREAM.CREATE.KV_jobs_singletons"
      "$JS.API.STREAM.MSG.GET.KV_jobs_singletons"
      "$KV.jobs_singletons.>"
      "election.jobs_singletons.>"
      "_INBOX_stands.>"
      "_INBOX_calls.>"
    ]
    subscribe: [
      "$KV.jobs_singletons.>"
      "election.jobs_singletons.>"
      "jobs.call.>"
      "_INBOX_stands.>"
    ]
  } }
  { user: calls, password: calls, permissions: {
    publish: ["$JS.API.STREAM.MSG.GET.KV_jobs_singletons", "jobs.call.>"]
    subscribe: ["$KV.jobs_singletons.>", "_INBOX_calls.>"]
  } }
] }
"#;

#[tokio::test]
async fn who_stands_and_who_calls_need_no_more_than_is_written_down() {
    let mut server = Server::start_with(SINGLETON_USERS).await;
    let url = server.url();
    let stand = async |node: &'static str| {
        let singleton = Singleton::in_group("report")
            .servers(&url)
            .connect(|| role("stands"))
            .identity(ExplicitIdentity::new(node, "eu"))
            .fenced();
        let singleton = singleton.start(move |tenure| async move {
            let served = tenure.serve(async |_| Ok(node.into())).await;
            served.expect("the first time");
        });
        singleton.await.expect("it stands")
    };
    let proxy = LeaderProxy::in_group("report")
        .group("eu")
        .servers(&url)
        .connect(|| role("calls"));
    let proxy = proxy.start().await.expect("a leader proxy");
    let first = stand("a").await;
    let asked = || in_time("an answer", proxy.call(CallRequest::new("who")));
    assert_eq!(asked().await.expect("an answer").payload, "a");
    let second = stand("b").await;
    in_time("the stop", first.stop()).await;
    assert_eq!(asked().await.expect("an answer").payload, "b");
    in_time("the stop", second.stop()).await;
    let log = server.kill().await;
    assert!(!log.contains("Violation"), "{log}");
}
