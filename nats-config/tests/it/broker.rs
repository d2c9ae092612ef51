//! The raw requests and what they say about each kind of answer.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use async_nats::{Event, HeaderMap};
use nats_config::{BatchMessage, Broker, Names, ReadError};
use protocol::answer::Answer;
use protocol::number::Sequence;

use crate::server::Server;

async fn broker_with_stream(server: &Server) -> Broker {
    let broker = Broker::new(server.connect().await, Names::default());
    let config = Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        allow_atomic_publish: true,
        ..Config::default()
    };
    broker
        .jetstream()
        .create_stream(config)
        .await
        .expect("the stream is made");
    broker
}

fn message(subject: &str) -> BatchMessage {
    BatchMessage {
        subject: subject.into(),
        headers: HeaderMap::new(),
        payload: subject.to_owned().into(),
    }
}

async fn write(broker: &Broker, subject: &str, payload: &'static str) -> Answer {
    broker
        .write(subject.into(), HeaderMap::new(), payload.into())
        .await
}

#[tokio::test]
async fn a_write_is_stored_once_and_read_back() {
    let server = Server::start();
    let broker = broker_with_stream(&server).await;
    let mut headers = HeaderMap::new();
    headers.insert("Jobs-Key", "SE");
    headers.append("Jobs-Key", "FI");
    let answer = broker
        .write("s.a.1".into(), headers.clone(), "one".into())
        .await;
    assert_eq!(answer, Answer::Stored(Sequence::new(1)));
    assert_eq!(write(&broker, "s.a.1", "other").await, Answer::Occupied);
    assert_eq!(
        write(&broker, "s.a.2", "").await,
        Answer::Stored(Sequence::new(2))
    );

    let first = broker
        .last("S", "s.a.1")
        .await
        .unwrap()
        .expect("it is there");
    assert_eq!(first.sequence, Sequence::new(1));
    assert_eq!(first.subject, "s.a.1");
    assert_eq!(first.headers, headers);
    assert_eq!(&first.payload[..], b"one");
    assert_eq!(broker.at("S", Sequence::new(1)).await, Ok(Some(first)));
    let newest = broker
        .last("S", "s.a.*")
        .await
        .unwrap()
        .expect("it is there");
    assert_eq!(
        (newest.sequence, newest.payload.len()),
        (Sequence::new(2), 0)
    );
    assert!(newest.headers.is_empty());

    let state = broker.state("S").await.expect("the stream is there");
    assert_eq!((state.messages, state.subjects), (2, 2));
    assert_eq!(
        (state.first, state.last),
        (Sequence::new(1), Sequence::new(2))
    );
    assert!(state.created <= newest.time && state.bytes > 0);
    assert_eq!(state.config.subjects, ["s.>"]);
}

#[tokio::test]
async fn what_is_absent_is_no_error_and_what_is_missing_is() {
    let server = Server::start();
    let broker = broker_with_stream(&server).await;
    assert_eq!(broker.last("S", "s.none").await, Ok(None));
    assert_eq!(broker.at("S", Sequence::new(9)).await, Ok(None));
    let error = broker.state("T").await.expect_err("no such stream");
    assert_eq!(error, ReadError::NoStream { stream: "T".into() });
    assert!(!error.is_retryable());
    assert_eq!(write(&broker, "t.a", "").await, Answer::NoResponders);
    let refused = write(&broker, "no good", "").await;
    assert!(matches!(refused, Answer::Refused { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_server_without_jetstream_is_named() {
    let server = Server::with_config("");
    let broker = Broker::new(server.connect().await, Names::default());
    let error = broker.state("JOBS").await.expect_err("JetStream is off");
    assert!(matches!(error, ReadError::NoResponders { .. }), "{error}");
    assert!(error.to_string().contains("JetStream is off"), "{error}");
}

#[tokio::test]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let server = Server::start();
    let broker = broker_with_stream(&server).await;
    let batch: Vec<_> = (1..=512).map(|n| message(&format!("s.f.{n}"))).collect();
    assert_eq!(
        broker.write_batch("b1", batch).await,
        Answer::Stored(Sequence::new(512))
    );
    let repeat = ["s.g.1", "s.f.7", "s.g.2"].map(message).to_vec();
    assert_eq!(broker.write_batch("b2", repeat).await, Answer::Occupied);
    let mut expecting = message("s.g.1");
    expecting
        .headers
        .insert("Nats-Expected-Last-Sequence", "511");
    let stale = vec![expecting, message("s.g.2")];
    assert_eq!(broker.write_batch("b3", stale).await, Answer::WrongLast);
    let one = vec![message("s.g.1")];
    assert_eq!(
        broker.write_batch("b4", one).await,
        Answer::Stored(Sequence::new(513))
    );
    assert_eq!(
        broker.list_subjects("S", "s.g.*").await,
        Ok(vec!["s.g.1".to_owned()])
    );
}

#[tokio::test]
async fn a_batch_that_cannot_be_is_refused_at_once() {
    let server = Server::start();
    let broker = broker_with_stream(&server).await;
    let long = "x".repeat(65);
    for (id, len) in [
        ("b", 0),
        ("", 1),
        ("a\nb", 1),
        (long.as_str(), 1),
        ("b", 1_001),
    ] {
        let batch = vec![message("s.a"); len];
        let answer = broker.write_batch(id, batch).await;
        assert!(matches!(answer, Answer::Refused { .. }), "{id} {answer:?}");
    }
    let nowhere = vec![message("t.a"), message("t.b")];
    assert_eq!(broker.write_batch("b", nowhere).await, Answer::NoResponders);
    assert_eq!(broker.state("S").await.unwrap().messages, 0);
}

#[tokio::test]
async fn nothing_is_sent_without_a_connection() {
    let mut server = Server::start();
    let (seen, mut events) = tokio::sync::mpsc::channel(16);
    let client = async_nats::ConnectOptions::new()
        .event_callback(move |event| {
            let seen = seen.clone();
            async move { seen.send(event).await.expect("the test listens") }
        })
        .connect(server.url())
        .await
        .expect("a connection");
    let broker = Broker::new(client, Names::default());
    broker_with_stream(&server).await;
    let mut wait_for = async |wanted: Event| {
        let wait = async { while events.recv().await != Some(wanted.clone()) {} };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("{wanted} within 20 s"));
    };
    wait_for(Event::Connected).await;
    server.stop();
    wait_for(Event::Disconnected).await;
    assert_eq!(write(&broker, "s.late", "").await, Answer::Unanswered);
    let batch = vec![message("s.b1"), message("s.b2")];
    assert_eq!(broker.write_batch("b", batch).await, Answer::Unanswered);
    let error = broker.state("S").await.expect_err("the server is gone");
    assert!(error.is_retryable(), "{error}");

    server.start_again();
    wait_for(Event::Connected).await;
    assert_eq!(
        write(&broker, "s.new", "").await,
        Answer::Stored(Sequence::new(1)),
        "nothing that was refused before came late"
    );
}

#[tokio::test]
async fn a_long_list_of_subjects_is_paged() {
    let server = Server::start();
    let broker = broker_with_stream(&server).await;
    let count = 100_050;
    for n in 0..count {
        broker
            .client()
            .publish(format!("s.n.{n:06}"), "".into())
            .await
            .expect("it is queued");
    }
    let last = write(&broker, "s.last", "").await;
    assert_eq!(last, Answer::Stored(Sequence::new(count + 1)));
    let listed = broker.list_subjects("S", "s.n.*").await.unwrap();
    let expected: Vec<String> = (0..count).map(|n| format!("s.n.{n:06}")).collect();
    assert!(listed == expected, "{} listed", listed.len());
    assert_eq!(broker.list_subjects("S", "s.x.*").await, Ok(vec![]));
}
