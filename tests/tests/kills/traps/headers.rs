//! The server hands headers on as they were written, without a look at them: one record whose headers
//! nobody can read must not stop those who follow the ledger, nor one request the front door.

use nats_config::Role;
use protocol::outcome::Status;
use tests::system::QUEUE;
use tests::wait::{PATIENCE, eventually, within};
use tests::{Lease, Server, Size, System, roles};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use worker_sdk::{Client, SubmitRequest};

/// What stands between `NATS/1.0` and the empty line.
const BROKEN: [&[u8]; 7] = [
    b"\r\nX: a\rb",
    b"\r\nno colon",
    b"\r\nX: \xff\xfe",
    b"\r\nno name: x",
    b" abc",
    b" 404 No Messages",
    b"\r\n: \r\n \r\n\r\nJobs-Key: one",
];

/// Publishes with these headers, as no client library would, and waits until the server has read it.
async fn publish(server: &Server, subject: &str, headers: &[u8]) {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).await;
    let mut stream = BufReader::new(stream.unwrap());
    let settings = roles::settings(None);
    let reply = settings.inbox_prefix.as_deref().unwrap_or("_INBOX");
    let password = settings.password.as_ref().map(|password| password.reveal());
    let connect = serde_json::json!({
        "verbose": false, "headers": true, "lang": "test", "version": "1", "no_responders": false,
        "user": settings.user, "pass": password,
    });
    let block = [b"NATS/1.0", headers, b"\r\n\r\n"].concat();
    let len = block.len();
    let mut sent =
        format!("CONNECT {connect}\r\nHPUB {subject} {reply}.1 {len} {len}\r\n").into_bytes();
    sent.extend(block);
    sent.extend(b"\r\nPING\r\n");
    stream.write_all(&sent).await.unwrap();
    let answered = async {
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "it hung up");
            assert!(!line.starts_with("-ERR"), "{line}");
        }
    };
    within("an answer of the server", PATIENCE, answered)
        .await
        .unwrap();
}

fn client(system: &System) -> Client {
    Client::with_broker(system.broker_of(Role::TrustedSubmitter))
}

/// Asked of a coordinator: what else reads the ledger here is no part of the product.
async fn completes(system: &System, id: &str) {
    let what = format!("the end of {id}");
    let ended = eventually(&what, PATIENCE, async || {
        client(system).wait(QUEUE, id, PATIENCE).await
    });
    let ended = ended.await.unwrap();
    assert_eq!(ended.status, Status::Completed, "{id}: {ended:?}");
}

/// Both doors take a job, and this leadership has not ended.
async fn goes_on(system: &System, id: &str, led: &str) {
    let direct = SubmitRequest::new(QUEUE, id).unwrap();
    client(system).submit_raw(direct).await.unwrap();
    completes(system, id).await;
    let at_door = format!("{id}-door");
    let door = Client::with_broker(system.broker_of(Role::Submitter)).front_door();
    let request = SubmitRequest::new(QUEUE, &at_door).unwrap();
    door.submit_raw(request).await.unwrap();
    completes(system, &at_door).await;
    let status = system.command(&["status"]).await.unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains(led), "{status}");
}

#[tokio::test]
async fn records_with_broken_headers_stop_nobody_who_follows_the_ledger() {
    let (mut system, mut a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    for (n, headers) in BROKEN.iter().enumerate() {
        let subject = format!("jobs.submit.{QUEUE}.broken-{n}");
        publish(system.server(), &subject, headers).await;
        // Each is a job like any other, as far as its headers can be read.
        completes(&system, &format!("broken-{n}")).await;
    }
    goes_on(&system, "after", "a leads in epoch 1").await;

    // Who comes later reads them all, and leads.
    assert!(a.terminate(PATIENCE).await.unwrap().success());
    let _b = system.coordinator("b").await.unwrap();
    system.has_role("b", "leader").await.unwrap();
    goes_on(&system, "later", "b leads in epoch 2").await;
}

#[tokio::test]
async fn a_request_with_broken_headers_harms_no_coordinator() {
    let (mut system, mut a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    for (n, headers) in BROKEN.iter().enumerate() {
        let door = format!("jobs.api.submit.{QUEUE}.broken-{n}");
        publish(system.server(), &door, headers).await;
        completes(&system, &format!("broken-{n}")).await;
    }
    goes_on(&system, "after", "a leads in epoch 1").await;
    assert!(a.terminate(PATIENCE).await.unwrap().success());
}
