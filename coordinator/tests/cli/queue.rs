//! Queues: made once, changed by revision, listed.

use std::collections::BTreeMap;

use futures::future::join_all;
use protocol::config::QueueConfig;

use crate::program::Home;
use crate::server::Server;

#[tokio::test]
async fn a_queue_is_made_changed_and_listed() {
    let server = Server::start().await.provisioned().await;
    let home = Home::of(&server.address());
    let empty = home.run(&["queue", "ls"]).await.ended(0, "");
    assert!(empty.out.contains("no queues"), "{}", empty.out);

    let add = [
        "queue",
        "add",
        "invoices",
        "--kind",
        "invoice.check",
        "--key-pointer",
        "/market",
        "--max-attempts",
        "3",
    ];
    let ran = home.run(&add).await.ended(0, "");
    assert_eq!(ran.out, "queue invoices is at revision 1\n");
    home.run(&add)
        .await
        .ended(4, "queue invoices exists already, at revision 1");
    home.run(&["queue", "edit", "nope", "--kind", "a"])
        .await
        .ended(3, "there is no queue nope");

    let edit = [
        "queue",
        "edit",
        "invoices",
        "--work-lease",
        "10s",
        "--rescue",
        "none",
        "-j",
    ];
    let edited = home.run(&edit).await.ended(0, "").json();
    assert_eq!(edited["revision"], 2);
    assert_eq!(edited["config"]["key_pointer"], "/market");
    assert_eq!(edited["config"]["work_lease_ms"], 10_000);
    let same = home.run(&edit).await.ended(0, "nothing changes").json();
    assert_eq!(same["revision"], 2);
    let bad = ["queue", "edit", "invoices", "--backoff", "1h"];
    home.run(&bad).await.ended(2, "backoff_max_ms is 600000");

    let listed = home
        .run(&["queue", "ls", "--json"])
        .await
        .ended(0, "")
        .json();
    assert_eq!(listed[0]["queue"], "invoices");
    assert_eq!(listed[0]["config"]["max_attempts"], 3);
    let text = home.run(&["queue", "ls"]).await.ended(0, "").out;
    for words in ["invoices", "/market", "1s to 10m", "lease, keyed 2s 500ms"] {
        assert!(text.contains(words), "{words}: {text}");
    }

    // What a coordinator will read.
    let broker = server.broker().await;
    let queue = "invoices".parse().unwrap();
    let subject = broker
        .subjects()
        .config(&queue, protocol::number::Revision::new(2));
    let stored = broker
        .last("JOBS", &subject)
        .await
        .expect("an answer")
        .expect("the record");
    let config = QueueConfig::parse(&stored.payload).expect("a configuration");
    assert_eq!(config.rescue_ms, None);
}

#[tokio::test]
async fn one_of_many_makes_the_queue() {
    let server = Server::start().await.provisioned().await;
    let home = Home::of(&server.address());
    let attempts: Vec<String> = (1..=8_u8).map(|count| count.to_string()).collect();
    let adds = attempts.iter().map(|count| {
        let home = &home;
        async move {
            home.run(&["queue", "add", "q", "--max-attempts", count])
                .await
                .code
        }
    });
    let mut codes = BTreeMap::new();
    for code in join_all(adds).await {
        *codes.entry(code).or_insert(0) += 1;
    }
    assert_eq!(codes, BTreeMap::from([(0, 1), (4, 7)]));
}

#[tokio::test]
async fn a_record_that_nobody_understands_is_shown() {
    let server = Server::start().await.provisioned().await;
    let broker = server.broker().await;
    for (revision, body) in [(7, r#"{"max_atempts":1}"#), (5, r#"{"v":1}"#)] {
        let queue = "odd".parse().unwrap();
        let subject = broker
            .subjects()
            .config(&queue, protocol::number::Revision::new(revision));
        let answer = broker
            .write(subject, async_nats::HeaderMap::new(), body.into())
            .await;
        assert!(
            matches!(answer, protocol::answer::Answer::Stored(_)),
            "{answer:?}"
        );
    }
    let home = Home::of(&server.address());
    let text = home.run(&["queue", "ls"]).await.ended(0, "").out;
    assert!(
        text.contains("ignored: it is not a queue configuration: unknown field `max_atempts`"),
        "{text}"
    );
    let edit = ["queue", "edit", "odd", "--max-attempts", "2", "-j"];
    assert_eq!(home.run(&edit).await.ended(0, "").json()["revision"], 8);
}
