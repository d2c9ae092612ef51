//! A wrong environment: a coordinator that cannot run says what, where, why and what to do, and ends
//! with a code that tells a supervisor whether to start it again. What may pass, it waits out.

use std::net::Ipv4Addr;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use tests::port::Port;
use tests::server::JetStream;
use tests::system::coordinator_binary;
use tests::wait::PATIENCE;
use tests::{Process, Server, ServerOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Bad configuration: nobody should start it again before something was changed.
const CONFIG: i32 = 78;
/// The credentials or permissions do not do.
const REFUSED: i32 = 4;

fn run(url: &str, arguments: &[&str]) -> Process {
    let mut command = coordinator_binary().unwrap();
    command.args(["--server", url, "run", "--name", "a"]);
    command
        .args(["--ledger-max-bytes", "256MiB"])
        .args(arguments);
    Process::start("coordinator a", command).unwrap()
}

/// It ends with this code, and its last line holds these words.
async fn ends(mut process: Process, code: i32, words: &[&str]) {
    let status = process.wait_exit(PATIENCE).await.unwrap();
    let text = process.tail();
    assert_eq!(status.code(), Some(code), "{text}");
    let last = text.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "no `{word}` in: {last}");
    }
}

/// A server that greets each client with `greeting`, and answers `PING`.
async fn impostor(greeting: &'static str) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut clients = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            clients.spawn(greet(client, greeting));
        }
    });
    (url, tasks)
}

async fn greet(client: TcpStream, greeting: &'static str) {
    let (read, mut write) = client.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut said = write.write_all(greeting.as_bytes()).await;
    while let (Ok(()), Ok(Some(line))) = (&said, lines.next_line().await) {
        if line == "PING" {
            said = write.write_all(b"PONG\r\n").await;
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_another_language_is_named_and_tried_again() {
    let (url, _tasks) = impostor("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let mut a = run(&url, &[]);
    let line = a.wait_for_line("trying again", PATIENCE).await.unwrap();
    let address = url.trim_start_matches("nats://");
    assert!(line.text.contains(address), "{}", line.text);
    let status = a.terminate(PATIENCE).await.unwrap();
    assert!(status.success(), "told to stop, it stops: {status}");
}

#[tokio::test]
async fn an_old_server_is_refused_with_the_version_it_should_have() {
    let greeting = concat!(
        r#"INFO {"server_id":"X","server_name":"old","version":"2.9.25","go":"go1.20","#,
        r#""host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"jetstream":true,"#,
        r#""proto":1}"#,
        "\r\n"
    );
    let (url, _tasks) = impostor(greeting).await;
    ends(run(&url, &[]), CONFIG, &["2.9.25", "too old", "2.12.0"]).await;
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused_with_what_to_write() {
    let options = ServerOptions {
        jetstream: JetStream::Off,
        ..ServerOptions::default()
    };
    let server = Server::start_with(options).await.unwrap();
    let words = ["JetStream is off", "jetstream {"];
    ends(run(&server.url(), &[]), CONFIG, &words).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let mut server = Server::start().await.unwrap();
    server.stop().await.unwrap();
    let mut a = run(&server.url(), &[]);
    a.wait_for_line("trying again", PATIENCE).await.unwrap();
    server.start_again().await.unwrap();
    a.wait_for_line("standing for leadership", PATIENCE)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_named() {
    let port = Port::take().unwrap();
    let url = format!("nats://127.0.0.1:{}", port.number());
    let mut a = run(&url, &[]);
    let line = a.wait_for_line("trying again", PATIENCE).await.unwrap();
    assert!(line.text.contains("refused"), "{}", line.text);
    assert!(
        line.text.contains(&port.number().to_string()),
        "{}",
        line.text
    );
}

/// Users with more and less rights.
const USERS: &str = r#"
authorization { users: [
  { user: all, password: p }
  { user: core, password: p, permissions: {
      publish: ["jobs.>"], subscribe: ["_INBOX.>", "jobs.>"] } }
] }
"#;

#[tokio::test]
async fn wrong_credentials_and_missing_permissions_are_told_apart() {
    if tests::roles::on() {
        println!("SKIPPED: this server has users of its own, and refuses what it should");
        return;
    }
    let options = ServerOptions {
        snippet: USERS.to_owned(),
        ..ServerOptions::default()
    };
    let server = Server::start_with(options).await.unwrap();
    let user = |user: &str, password: &str| {
        server
            .url()
            .replace("nats://", &format!("nats://{user}:{password}@"))
    };
    ends(run(&user("all", "wrong"), &[]), REFUSED, &["authorization"]).await;
    let mut core = run(&user("core", "p"), &[]);
    let line = core.wait_for_line("permission", PATIENCE).await.unwrap();
    assert!(line.text.contains("$JS.API"), "{}", line.text);
}

#[tokio::test]
async fn an_altered_stream_is_refused_with_what_differs() {
    let server = Server::start().await.unwrap();
    let mut a = run(&server.url(), &[]);
    a.wait_for_line("standing for leadership", PATIENCE)
        .await
        .unwrap();
    a.terminate(PATIENCE).await.unwrap();
    let context = jetstream::new(server.connect().await.unwrap());
    let stream = context.get_stream("JOBS").await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.max_messages_per_subject = 5;
    context.update_stream(config).await.unwrap();
    for provision in ["create", "verify"] {
        let a = run(&server.url(), &["--provision", provision]);
        let words = ["JOBS", "max_msgs_per_subject", "nats stream edit"];
        ends(a, CONFIG, &words).await;
    }
}

#[tokio::test]
async fn a_stream_of_somebody_else_on_our_subjects_is_named() {
    let server = Server::start().await.unwrap();
    let context = jetstream::new(server.connect().await.unwrap());
    let other = Config {
        name: "OTHER".to_owned(),
        subjects: vec!["jobs.outcome.>".to_owned()],
        ..Config::default()
    };
    context.create_stream(other).await.unwrap();
    let words = ["JOBS", "another stream", "namespace"];
    ends(run(&server.url(), &[]), CONFIG, &words).await;
}

#[tokio::test]
async fn streams_that_are_not_there_are_not_made_where_they_are_only_verified() {
    let server = Server::start().await.unwrap();
    let a = run(&server.url(), &["--provision", "verify"]);
    ends(a, CONFIG, &["JOBS does not exist", "nats stream add"]).await;
}

#[tokio::test]
async fn a_server_without_room_and_one_that_is_alone_are_told_so() {
    let options = ServerOptions {
        max_store: Some(1_000_000),
        ..ServerOptions::default()
    };
    let server = Server::start_with(options).await.unwrap();
    ends(
        run(&server.url(), &[]),
        CONFIG,
        &["no room", "max_file_store"],
    )
    .await;
    let server = Server::start().await.unwrap();
    let a = run(&server.url(), &["--replicas", "3"]);
    ends(a, CONFIG, &["3 replicas", "fewer replicas"]).await;
}

#[tokio::test]
async fn a_configuration_with_an_unknown_key_or_an_impossible_relation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("nmae = \"a\"\n", ["nmae", "line 1"]),
        ("name = \"a\"\nreplicas = 2\n", ["replicas", "line 2"]),
        (
            "provision = \"off\"\nreplicas = 3\n",
            ["provision is off", "replicas"],
        ),
        ("window = 513\n", ["window", "512"]),
        ("name = [\n", ["line 1", "coordinator.toml"]),
    ] {
        let file = folder.path().join("coordinator.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = coordinator_binary().unwrap();
        command.args(["run", "--config"]).arg(&file);
        let mut process = Process::start("coordinator", command).unwrap();
        let status = process.wait_exit(PATIENCE).await.unwrap();
        let said = process.tail();
        assert_eq!(status.code(), Some(CONFIG), "{text}: {said}");
        for word in words {
            assert!(said.contains(word), "no `{word}` in: {said}");
        }
    }
}
