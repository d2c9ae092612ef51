//! What is made on an empty broker, and what is said about a broker that is otherwise.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::Request;
use async_nats::jetstream::stream::Config;
use nats_config::{
    Broker, Door, Ensured, Ledger, Mode, Moved, Names, ProvisionError, ReadError, Replicas,
    Settings, streams,
};
use protocol::answer::Answer;
use protocol::config::QueueConfig;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::server::{Server, cluster};

/// Rooms that fit on any disk.
fn small() -> Settings {
    Settings {
        ledger_bytes_max: 64 << 20,
        work_bytes_max: 16 << 20,
        ..Settings::default()
    }
}

async fn broker(server: &Server) -> Broker {
    Broker::new(server.connect().await, Names::default())
}

async fn create(broker: &Broker) -> Result<nats_config::Report, ProvisionError> {
    broker
        .provision(&small(), Mode::Create, Ledger::MayBeNew)
        .await
}

async fn verify(broker: &Broker) -> Result<nats_config::Report, ProvisionError> {
    broker
        .provision(&small(), Mode::Verify, Ledger::MayBeNew)
        .await
}

async fn write(broker: &Broker, subject: &str) -> Answer {
    broker
        .write(subject.into(), HeaderMap::new(), "x".into())
        .await
}

fn says(error: &ProvisionError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
}

#[tokio::test]
async fn what_is_absent_is_made_once() {
    let server = Server::start();
    let broker = broker(&server).await;
    let missing = verify(&broker).await.expect_err("nothing is there");
    says(&missing, &["stream JOBS does not exist", "create"]);
    assert!(!missing.is_retryable());

    let report = create(&broker).await.expect("an empty broker will do");
    let all = [
        "stream JOBS",
        "stream WORK",
        "bucket jobs_leader",
        "bucket jobs_workers",
    ];
    assert_eq!(report.created, all);
    assert_eq!((report.drift, report.warnings), (vec![], vec![]));
    assert!(report.server.is_some());
    for again in [create(&broker).await, verify(&broker).await] {
        let again = again.expect("all is there");
        assert_eq!((again.created, again.drift), (vec![], vec![]));
    }
    let bucket = broker.jetstream().get_key_value("jobs_leader").await;
    assert!(bucket.is_ok(), "{bucket:?}");
}

#[tokio::test]
async fn the_files_for_operators_make_the_same() {
    let server = Server::start();
    let broker = broker(&server).await;
    let jetstream = broker.jetstream();
    let settings = small();
    for file in [
        "streams/JOBS",
        "streams/WORK",
        "buckets/KV_jobs_leader",
        "buckets/KV_jobs_workers",
    ] {
        let path = format!("{}/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read(path).expect("the file is there");
        let mut config: Config = serde_json::from_slice(&text).expect("it is a stream");
        config.max_bytes = match config.name.as_str() {
            "JOBS" => 64 << 20,
            "WORK" => 16 << 20,
            _ => config.max_bytes,
        };
        jetstream.create_stream(config).await.expect(file);
    }
    let report = broker
        .provision(&settings, Mode::Verify, Ledger::MayBeNew)
        .await
        .expect("all is there");
    assert_eq!(report.drift, []);
}

#[tokio::test]
async fn coordinators_that_start_together_do_not_quarrel() {
    let server = Server::start();
    let first = broker(&server).await;
    let second = Broker::new(server.connect().await, Names::default());
    let (a, b) = tokio::join!(create(&first), create(&second));
    a.expect("the first");
    b.expect("the second");
}

#[tokio::test]
async fn two_namespaces_stand_side_by_side() {
    let server = Server::start();
    create(&broker(&server).await).await.expect("jobs");
    let other = Names::new("eu".parse().unwrap());
    let report = create(&Broker::new(server.connect().await, other)).await;
    assert_eq!(report.expect("eu").created[0], "stream EU_JOBS");
}

#[tokio::test]
async fn a_lost_ledger_is_not_made_anew() {
    let server = Server::start();
    let broker = broker(&server).await;
    create(&broker).await.expect("all is made");
    broker.jetstream().delete_stream("JOBS").await.unwrap();
    let error = broker
        .provision(&small(), Mode::Create, Ledger::Known)
        .await
        .expect_err("this process knew it");
    says(&error, &["JOBS", "is gone", "read it before", "restore"]);

    assert!(matches!(
        write(&broker, "jobs.fence.1.1").await,
        Answer::Stored(_)
    ));
    let error = create(&broker).await.expect_err("there was work");
    assert!(
        matches!(error, ProvisionError::LedgerGone { .. }),
        "{error}"
    );
    says(&error, &["stream WORK holds or held work"]);

    broker.jetstream().delete_stream("WORK").await.unwrap();
    create(&broker).await.expect("begun anew on purpose");
}

#[tokio::test]
async fn an_altered_stream_is_named_with_what_to_do() {
    let server = Server::start();
    let broker = broker(&server).await;
    create(&broker).await.expect("all is made");
    let made = streams::ledger(broker.names(), &small());

    let described = Config {
        description: Some("ours".into()),
        max_bytes: 32 << 20,
        ..made.clone()
    };
    broker.jetstream().update_stream(described).await.unwrap();
    let report = verify(&broker)
        .await
        .expect("that is the operator's choice");
    let fields: Vec<_> = report.drift.iter().map(|d| d.field.as_str()).collect();
    assert_eq!(fields, ["description", "max_bytes"]);

    let altered = Config {
        max_age: Duration::from_secs(3_600),
        discard_new_per_subject: false,
        ..made
    };
    broker.jetstream().update_stream(altered).await.unwrap();
    let error = create(&broker).await.expect_err("jobs would vanish");
    assert!(!error.is_retryable());
    says(
        &error,
        &[
            "stream JOBS: max_age is 3600s, should be unset",
            "discard_new_per_subject is unset, should be true",
            "nats stream edit",
        ],
    );
}

#[tokio::test]
async fn too_little_room_is_said_with_the_size() {
    let server = Server::with_config("jetstream { store_dir: \"@STORE@\", max_file_store: 1G }\n");
    let broker = broker(&server).await;
    let settings = Settings::default();
    let error = broker
        .provision(&settings, Mode::Create, Ledger::MayBeNew)
        .await
        .expect_err("8 GiB do not fit");
    assert!(matches!(error, ProvisionError::NoRoom { .. }), "{error}");
    says(
        &error,
        &["stream JOBS of 8589934592 bytes", "max_file_store"],
    );
}

#[tokio::test]
async fn a_foreign_stream_on_our_subjects_is_said() {
    let server = Server::start();
    let broker = broker(&server).await;
    let foreign = Config {
        name: "OTHER".into(),
        subjects: vec!["jobs.work.>".into()],
        ..Config::default()
    };
    broker.jetstream().create_stream(foreign).await.unwrap();
    let error = create(&broker).await.expect_err("the subjects overlap");
    assert!(matches!(error, ProvisionError::Overlap { .. }), "{error}");
    says(&error, &["stream WORK", "overlap", "namespace"]);
}

#[tokio::test]
async fn replicas_need_servers() {
    let server = Server::start();
    let settings = Settings {
        replicas: Replicas::Three,
        ..small()
    };
    let broker = broker(&server).await;
    let error = broker
        .provision(&settings, Mode::Create, Ledger::MayBeNew)
        .await
        .expect_err("there is one server");
    says(
        &error,
        &["stream JOBS cannot have 3 replicas", "fewer replicas"],
    );
    create(&broker).await.expect("one replica");
    let error = broker
        .provision(&settings, Mode::Verify, Ledger::MayBeNew)
        .await
        .expect_err("there is one copy");
    says(&error, &["num_replicas is 1, should be 3"]);
}

#[tokio::test]
async fn three_replicas_are_made_in_a_cluster() {
    let servers = cluster();
    let broker = broker(&servers[0]).await;
    let settings = Settings {
        replicas: Replicas::Three,
        ..small()
    };
    let impatient = broker.clone().with_timeout(Duration::from_secs(1));
    let made = async {
        loop {
            match impatient
                .provision(&settings, Mode::Create, Ledger::MayBeNew)
                .await
            {
                Err(error) if error.is_retryable() => {}
                result => break result,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), made)
        .await
        .expect("a new cluster serves within 30 s")
        .expect("three servers");
    let report = broker
        .ensure_consumer(&"invoices".parse().unwrap(), &QueueConfig::default())
        .await
        .expect("a consumer as replicated as its stream");
    assert_eq!((report.ensured, report.drift), (Ensured::Created, vec![]));
    let report = broker
        .provision(&settings, Mode::Verify, Ledger::Known)
        .await
        .expect("all is there");
    assert_eq!(report.drift, []);
    assert_eq!(broker.close_door().await, Ok(Moved::Changed));
}

#[tokio::test]
async fn jetstream_off_is_said_with_the_setting() {
    let server = Server::with_config("");
    let error = create(&broker(&server).await).await.expect_err("no store");
    says(&error, &["JetStream is off", "store_dir"]);
    let server = Server::with_config(
        "jetstream { store_dir: \"@STORE@\" }\naccounts { A { users: [{user: u, password: p}] } }\nno_auth_user: u\n",
    );
    let error = create(&broker(&server).await).await.expect_err("not in A");
    assert!(
        matches!(error, ProvisionError::JetStreamOff { .. }),
        "{error}"
    );
    says(&error, &["JetStream is off", "account"]);
}

#[tokio::test]
async fn a_missing_permission_is_said_with_its_subject() {
    let server = Server::with_config(
        "jetstream { store_dir: \"@STORE@\" }\nauthorization { users: [{user: u, password: p, permissions: { publish: [\"$JS.API.INFO\"], subscribe: [\"_INBOX.>\"] }}] }\nno_auth_user: u\n",
    );
    let broker = broker(&server)
        .await
        .with_timeout(Duration::from_millis(300));
    let error = create(&broker).await.expect_err("it may not look");
    assert!(
        matches!(&error, ProvisionError::Read(ReadError::Unanswered { .. })),
        "{error}"
    );
    says(&error, &["$JS.API.STREAM.INFO.JOBS", "permissions"]);
    assert!(error.is_retryable(), "an election looks the same");
}

#[tokio::test]
async fn an_old_server_is_refused_by_its_version() {
    let check = async |version: &str, replicas| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        let info = format!(
            "INFO {{\"server_id\":\"s\",\"version\":\"{version}\",\"max_payload\":1048576,\"headers\":true}}\r\n"
        );
        let serve = async move {
            let (mut stream, _peer) = listener.accept().await.unwrap();
            let (read, mut write) = stream.split();
            write.write_all(info.as_bytes()).await.unwrap();
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "PING" {
                    write.write_all(b"PONG\r\n").await.unwrap();
                }
            }
        };
        let ask = async {
            let client = async_nats::connect(url).await.expect("it greets");
            let settings = Settings {
                replicas,
                ..small()
            };
            Broker::new(client, Names::default())
                .provision(&settings, Mode::Off, Ledger::MayBeNew)
                .await
        };
        tokio::select! {
            result = ask => result,
            () = serve => panic!("the connection ended"),
        }
    };
    let error = check("2.10.29", Replicas::One).await.expect_err("too old");
    says(
        &error,
        &["nats-server 2.10.29 is too old", "2.12.0 or newer"],
    );
    let error = check("2.12.1", Replicas::Three).await.expect_err("too old");
    says(&error, &["2.12.1", "2.12.3 or newer"]);
    let report = check("2.12.1", Replicas::One).await.expect("it will do");
    assert!(report.warnings[0].contains("2.14.3"), "{report:?}");
    let report = check("2.15.1", Replicas::One).await.expect("it is fine");
    assert_eq!(report.warnings, [""; 0]);
}

#[tokio::test]
async fn the_door_closes_for_submissions_alone() {
    let server = Server::start();
    let broker = broker(&server).await;
    create(&broker).await.expect("all is made");
    assert!(matches!(
        write(&broker, "jobs.submit.q.1").await,
        Answer::Stored(_)
    ));
    assert_eq!(broker.open_door().await, Ok(Moved::AsItWas));
    assert_eq!(broker.close_door().await, Ok(Moved::Changed));
    assert_eq!(broker.close_door().await, Ok(Moved::AsItWas));
    assert_eq!(
        write(&broker, "jobs.submit.q.2").await,
        Answer::NoResponders
    );
    assert!(matches!(
        write(&broker, "jobs.outcome.q.1.1.1").await,
        Answer::Stored(_)
    ));
    let state = broker.state("JOBS").await.unwrap();
    assert_eq!(broker.door_in(&state), Door::Closed);
    assert_eq!(state.messages, 2, "what was submitted stays");
    assert_eq!(verify(&broker).await.expect("a closed door").drift, []);
    assert_eq!(create(&broker).await.expect("stays closed").drift, []);

    assert_eq!(broker.open_door().await, Ok(Moved::Changed));
    assert_eq!(write(&broker, "jobs.submit.q.1").await, Answer::Occupied);
    assert!(matches!(
        write(&broker, "jobs.submit.q.2").await,
        Answer::Stored(_)
    ));
    assert_eq!(verify(&broker).await.expect("an open door").drift, []);
}

#[tokio::test]
async fn a_consumer_keeps_what_it_has_handed_out() {
    let server = Server::start();
    let broker = broker(&server).await;
    create(&broker).await.expect("all is made");
    let queue = "invoices".parse().unwrap();
    let mut config = QueueConfig::default();
    let ensure = async |config: &QueueConfig| {
        let report = broker.ensure_consumer(&queue, config).await.expect("it is");
        assert_eq!(report.drift, []);
        report.ensured
    };
    assert_eq!(ensure(&config).await, Ensured::Created);
    assert_eq!(ensure(&config).await, Ensured::Unchanged);
    assert!(matches!(
        write(&broker, "jobs.work.invoices.1.1.a").await,
        Answer::Stored(_)
    ));
    let next = "$JS.API.CONSUMER.MSG.NEXT.WORK.invoices";
    let pull = async |how: &'static str| {
        // A delivery carries the stream's subject, so it needs an inbox of its own.
        let request = Request::new()
            .payload(how.into())
            .inbox(broker.client().new_inbox());
        broker.client().send_request(next, request).await.unwrap()
    };
    // The consumer hears of what was stored a moment later: a pull that does not wait may be too early.
    let waiting = pull(r#"{"batch":1,"expires":5000000000}"#).await;
    assert_eq!(waiting.payload, "x");
    config.work_lease_ms = 5_000;
    assert_eq!(ensure(&config).await, Ensured::Updated);
    let info = broker.jetstream().get_stream("WORK").await.unwrap();
    let info = info.consumer_info("invoices").await.unwrap();
    assert_eq!(info.config.ack_wait, Duration::from_secs(5));
    assert_eq!((info.num_ack_pending, info.num_redelivered), (1, 0));
    let again = pull(r#"{"batch":1,"no_wait":true}"#).await;
    assert_eq!(again.payload, "", "it is not handed out again");
}

#[tokio::test]
async fn a_foreign_consumer_on_our_work_is_said() {
    let server = Server::start();
    let broker = broker(&server).await;
    create(&broker).await.expect("all is made");
    let foreign = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("greedy".into()),
        filter_subject: "jobs.work.>".into(),
        ..Default::default()
    };
    let work = broker.jetstream().get_stream("WORK").await.unwrap();
    work.create_consumer(foreign).await.unwrap();
    let error = broker
        .ensure_consumer(&"invoices".parse().unwrap(), &QueueConfig::default())
        .await
        .expect_err("it takes all work");
    assert!(matches!(error, ProvisionError::Overlap { .. }), "{error}");
    says(&error, &["WORK > invoices", "nats consumer ls"]);
}
