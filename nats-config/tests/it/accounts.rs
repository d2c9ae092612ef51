//! The roles in accounts of their own: what they may, and that nobody writes through a reply subject.

use std::time::Duration;

use async_nats::{Client, HeaderMap};
use nats_config::accounts::publish;
use nats_config::{Broker, Ledger, Mode, Names, Role, Settings, Zone};
use protocol::answer::Answer;
use protocol::config::QueueConfig;
use protocol::number::Sequence;

use crate::permissions::{Wire, is_allowed, sample};
use crate::server::Server;

/// Where answers would be records, or commands, of the core.
const REPLIES: [&str; 4] = [
    "jobs.submit.q.evil",
    "jobs.outcome.q.1.1.evil",
    "jobs.control.q.1.0.cancel.evil",
    "$JS.API.STREAM.PURGE.WORK",
];

async fn broker(server: &Server, role: Role, prefix: &str) -> Broker {
    Broker::new(server.connect_as(role).await, Names::default()).with_api_prefix(prefix)
}

async fn write(broker: &Broker, subject: &str) -> Answer {
    broker
        .write(subject.into(), HeaderMap::new(), "x".into())
        .await
}

/// Streams, a queue and one piece of work.
async fn core(server: &Server) -> Broker {
    let core = broker(server, Role::Coordinator, "$JS.API").await;
    let settings = Settings {
        ledger_bytes_max: 64 << 20,
        work_bytes_max: 16 << 20,
        ..Settings::default()
    };
    let made = core.provision(&settings, Mode::Create, Ledger::MayBeNew);
    made.await.expect("the coordinator makes the streams");
    let queue = "q".parse().expect("a queue's name");
    let ensured = core.ensure_consumer(&queue, &QueueConfig::default()).await;
    ensured.expect("the coordinator makes the consumer");
    assert_eq!(
        write(&core, "jobs.work.q.1.1.a").await,
        Answer::Stored(Sequence::new(1))
    );
    core
}

/// Each request that a worker may make of JetStream, with each of these reply subjects.
async fn inject(worker: &Client, prefix: &str) {
    let requests = [
        ("CONSUMER.MSG.NEXT.WORK.q", r#"{"batch":1,"no_wait":true}"#),
        ("CONSUMER.INFO.WORK.q", ""),
        ("STREAM.MSG.GET.JOBS", r#"{"seq":1}"#),
    ];
    for reply in REPLIES {
        for (verb, body) in requests {
            let subject = format!("{prefix}.{verb}");
            let sent = worker.publish_with_reply(subject, reply, body.into());
            sent.await.expect("it is sent");
        }
    }
    // The server takes one after the other: these are answered after them.
    for (verb, body) in requests {
        let after = worker.request(format!("{prefix}.{verb}"), body.into());
        after.await.expect("the last questions are answered");
    }
}

async fn records(core: &Broker) -> Vec<String> {
    let listed = core.list_subjects("JOBS", ">").await;
    listed.expect("the coordinator reads the ledger")
}

/// Why permissions.conf says that workers are trusted not to do this.
#[tokio::test]
async fn in_one_account_the_servers_answers_become_records() {
    let server = Server::with_roles();
    let core = core(&server).await;
    inject(&server.connect_as(Role::Worker).await, "$JS.API").await;
    // All that the worker may not write by itself, but for what changes a stream.
    let expected = [
        "jobs.control.q.1.0.cancel.evil",
        "jobs.outcome.q.1.1.evil",
        "jobs.submit.q.evil",
    ];
    // And the work itself, delivered to one of these: under its own subject, which no record has.
    let is_there = |found: &[String]| expected.iter().all(|one| found.iter().any(|f| f == one));
    let stored = async { while !is_there(&records(&core).await) {} };
    let stored = tokio::time::timeout(Duration::from_secs(20), stored).await;
    assert!(stored.is_ok(), "{:?}", records(&core).await);
}

#[tokio::test]
async fn between_accounts_no_answer_becomes_a_record() {
    let server = Server::with_accounts();
    let core = core(&server).await;
    let prefix = Zone::Workers.api_prefix(&Names::default());
    let worker = server.connect_as(Role::Worker).await;
    inject(&worker, &prefix).await;
    // By the prefix of the core it reaches nobody.
    let direct = worker.request("$JS.API.CONSUMER.INFO.WORK.q", "".into());
    let direct = tokio::time::timeout(Duration::from_millis(300), direct).await;
    assert!(!matches!(direct, Ok(Ok(_))), "{direct:?}");
    assert_eq!(records(&core).await, Vec::<String>::new());

    let trusted = server.connect_as(Role::TrustedSubmitter).await;
    for reply in REPLIES {
        let subject = format!("{prefix}.STREAM.MSG.GET.JOBS");
        let sent = trusted.publish_with_reply(subject, reply, r#"{"seq":1}"#.into());
        sent.await.expect("it is sent");
    }
    let trusted = Broker::new(trusted, Names::default()).with_api_prefix(&prefix);
    let first = Answer::Stored(Sequence::new(1));
    assert_eq!(write(&trusted, "jobs.submit.q.a").await, first);
    let stored = trusted.last("JOBS", "jobs.submit.q.a").await;
    assert!(stored.expect("it reads back").is_some());
    assert_eq!(records(&core).await, ["jobs.submit.q.a"]);
}

#[test]
fn each_permission_of_the_accounts_is_asked_for_by_every_role() {
    let (server, names) = (Server::with_accounts(), Names::default());
    for role in Role::ALL {
        let (may_publish, may_hear) = (publish(role, &names), role.subscribe(&names));
        let mut wire = Wire::connect(&server, role);
        for pattern in Role::ALL.iter().flat_map(|of| publish(*of, &names)) {
            let subject = sample(&pattern);
            let expected = is_allowed(&may_publish, &subject);
            assert_eq!(wire.may_publish(&subject), expected, "{role:?}: {subject}");
        }
        for pattern in Role::ALL.iter().flat_map(|of| of.subscribe(&names)) {
            let subject = sample(&pattern);
            let expected = is_allowed(&may_hear, &subject);
            assert_eq!(
                wire.may_subscribe(&subject),
                expected,
                "{role:?}: {subject}"
            );
        }
    }
}
