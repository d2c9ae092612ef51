//! `status`: what it makes of the coordinators' answers. The test answers in their place.

use std::collections::BTreeMap;

use futures::StreamExt;
use protocol::message::{CoordinatorStatus, QueueStatus};
use protocol::number::{Epoch, Sequence};
use tokio::task::JoinSet;

use crate::program::Home;
use crate::server::Server;

fn coordinator(name: &str, role: &str) -> CoordinatorStatus {
    CoordinatorStatus {
        coordinator: name.to_owned(),
        incarnation: format!("{name}-1"),
        version: "0.1.0".to_owned(),
        role: role.to_owned(),
        epoch: (role == "leader").then_some(Epoch::new(7)),
        leader: Some("c-1".to_owned()),
        folded: Sequence::new(42),
        door: "open".to_owned(),
        alarms: Vec::new(),
        ignored: 0,
        ignored_by: BTreeMap::new(),
        refused: BTreeMap::new(),
        workers: Vec::new(),
        queues: [("invoices".to_owned(), QueueStatus::default())].into(),
    }
}

/// Answers as these coordinators would.
async fn answering(server: &Server, coordinators: Vec<CoordinatorStatus>) -> JoinSet<()> {
    let broker = server.broker().await;
    let mut tasks = JoinSet::new();
    for status in coordinators {
        let client = broker.client().clone();
        let subject = broker.subjects().api_status();
        let mut asked = client.subscribe(subject).await.expect("a subscription");
        client.flush().await.expect("the server has it");
        tasks.spawn(async move {
            while let Some(message) = asked.next().await {
                let body = serde_json::to_vec(&status).expect("it is JSON");
                let reply = message.reply.expect("it is a request");
                client
                    .publish(reply, body.into())
                    .await
                    .expect("it is sent");
            }
        });
    }
    tasks
}

#[tokio::test]
async fn a_leader_is_health() {
    let server = Server::start().await;
    let mut leader = coordinator("c-1", "leader");
    let queue = leader.queues.get_mut("invoices").expect("it is there");
    queue.waiting = 12;
    queue.unconfigured = 3;
    queue.kinds_without_worker = vec!["invoice.check".parse().unwrap()];
    leader.alarms.push("the ledger went back".to_owned());
    leader.ignored_by.insert("early-outcome".to_owned(), 2);
    leader.refused.insert("bad-id".to_owned(), 3);
    let _answering = answering(&server, vec![leader, coordinator("c-2", "follower")]).await;
    let home = Home::of(&server.address());
    let text = home.run(&["status"]).await.ended(0, "").out;
    for words in [
        "c-1 leads in epoch 7, the door is open",
        "c-2",
        "follower",
        "`queue add invoices` for 3 jobs",
        "a worker for invoice.check",
        "ALARM from c-1: the ledger went back",
        "c-1 ignored 2 early-outcome",
        "c-1 refused 3 bad-id",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = home.run(&["-j", "status"]).await.ended(0, "").json();
    assert_eq!(json["healthy"], true);
    assert_eq!(json["leader"], "c-1");
    assert_eq!(json["coordinators"][1]["role"], "follower");
}

#[tokio::test]
async fn nobody_who_leads_ends_with_5() {
    let server = Server::start().await;
    let home = Home::of(&server.address());
    home.run(&["status"])
        .await
        .ended(5, "no coordinator answers");
    let _answering = answering(&server, vec![coordinator("c-2", "follower")]).await;
    let ran = home
        .run(&["status"])
        .await
        .ended(5, "no coordinator leads now");
    assert!(
        ran.out.contains("nobody leads") && ran.out.contains("c-2"),
        "{}",
        ran.out
    );
    let json = home.run(&["status", "-j"]).await.ended(5, "").json();
    assert_eq!(json["healthy"], false);
}

#[tokio::test]
async fn an_answer_of_another_form_is_left_out() {
    let server = Server::start().await;
    let broker = server.broker().await;
    let subject = broker.subjects().api_status();
    let mut asked = broker
        .client()
        .subscribe(subject)
        .await
        .expect("a subscription");
    let mut tasks = JoinSet::new();
    let client = broker.client().clone();
    client.flush().await.expect("the server has it");
    tasks.spawn(async move {
        while let Some(message) = asked.next().await {
            let reply = message.reply.expect("it is a request");
            client
                .publish(reply, "{}".into())
                .await
                .expect("it is sent");
        }
    });
    let home = Home::of(&server.address());
    home.run(&["status"])
        .await
        .ended(5, "no coordinator answers");
}
