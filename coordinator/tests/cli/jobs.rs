//! `submit` and `jobs` against a whole system: a coordinator, and a worker of this test.

use std::process::Stdio;

use coordinator::dev::{System, SystemOptions};
use nats_config::connection::Environment;
use tokio::io::AsyncWriteExt;
use worker_sdk::async_nats;
use worker_sdk::{JobContext, JobError, Worker, WorkerOptions};

use crate::program::{Home, Ran};

async fn system() -> (System, Home) {
    let options = SystemOptions {
        coordinators: 1,
        ..SystemOptions::new(env!("CARGO_BIN_EXE_coordinator").into())
    };
    let system = System::start(options, &Environment::of_process()).await;
    let system = system.expect("it starts");
    let home = Home::of(system.address());
    (system, home)
}

/// Completes with the payload's length, unless it says something else.
async fn work(payload: bytes::Bytes, _: JobContext) -> Result<serde_json::Value, JobError> {
    match &payload[..] {
        b"bad" => Err(JobError::permanent("bad-one", "it says so itself")),
        b"cancel" => Err(JobError::cancelled("no longer needed")),
        _ => Ok(payload.len().into()),
    }
}

async fn worker(system: &System) -> Worker {
    let options =
        WorkerOptions::new(system.address(), "w").connect(async_nats::ConnectOptions::new());
    let worker = Worker::builder(options).handle_bytes("default", "default", work);
    worker.start().await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_submitted_once_and_its_outcome_awaited() {
    let (system, home) = system().await;
    let _worker = worker(&system).await;
    let ran = home
        .run(&["submit", "default", "a b", "12345", "--wait=30s"])
        .await;
    let ran = ran.ended(0, "");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines[0].starts_with("accepted default a%20b as number"),
        "{}",
        ran.out
    );
    assert_eq!(lines[1], "completed 5");

    let again = home
        .run(&["submit", "default", "a b", "12345"])
        .await
        .ended(4, "");
    assert!(
        again.out.starts_with("duplicate default a%20b"),
        "{}",
        again.out
    );
    let waits = home
        .run(&["submit", "default", "a b", "12345", "--wait"])
        .await;
    assert!(waits.ended(0, "").out.contains("completed 5"));
    let other = home
        .run(&["-j", "submit", "default", "a b", "other"])
        .await
        .ended(4, "")
        .json();
    assert_eq!(other["status"], "conflict");
    let keyed = ["submit", "default", "a b", "12345", "--key", "DE", "--wait"];
    let keyed = home.run(&keyed).await.ended(4, "").out;
    assert!(keyed.starts_with("conflict default a%20b"), "{keyed}");

    let get = home
        .run(&["jobs", "get", "default", "a b", "-j"])
        .await
        .ended(0, "")
        .json();
    assert_eq!(get["phase"], "completed");
    assert_eq!(get["outcome"]["result"], 5);
    let text = home
        .run(&["jobs", "get", "default", "a b"])
        .await
        .ended(0, "")
        .out;
    assert!(
        text.contains("state     completed") && text.contains("outcome   completed 5"),
        "{text}"
    );
    home.run(&["jobs", "get", "default", "nope"])
        .await
        .ended(3, "no job \"nope\" in queue default");
    home.run(&["jobs", "watch", "default", "nope"])
        .await
        .ended(3, "no job `nope`");
    home.run(&["jobs", "cancel", "default", "nope"])
        .await
        .ended(3, "no job `nope`");
    home.run(&["jobs", "cancel", "default", "a b"])
        .await
        .ended(4, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_how_a_job_ended() {
    let (system, home) = system().await;
    let _worker = worker(&system).await;
    let ran = home
        .run(&["submit", "default", "1", "bad", "--wait"])
        .await
        .ended(10, "");
    assert!(
        ran.out.contains("failed bad-one: it says so itself"),
        "{}",
        ran.out
    );
    home.run(&["submit", "default", "2", "cancel", "--wait"])
        .await
        .ended(11, "");
    let later = [
        "submit",
        "default",
        "3",
        "--run-at",
        "2999-01-01T00:00:00Z",
        "--wait=100ms",
    ];
    home.run(&later).await.ended(12, "it is still scheduled");
    let watched = home
        .run(&["jobs", "watch", "default", "1", "-j"])
        .await
        .ended(10, "")
        .json();
    assert_eq!(watched["phase"], "discarded");
    let cancelled = home
        .run(&["jobs", "cancel", "default", "3", "-j"])
        .await
        .ended(0, "");
    assert_eq!(cancelled.json()["id"], "3");
    let watched = home
        .run(&["jobs", "watch", "default", "3"])
        .await
        .ended(11, "");
    assert!(
        watched.out.contains("default 3 cancelled"),
        "{}",
        watched.out
    );
}

#[tokio::test]
async fn payloads_come_from_files_and_stdin() {
    let (_system, home) = system().await;
    home.file("one.txt", "same");
    home.run(&["submit", "default", "1", "@one.txt"])
        .await
        .ended(0, "");
    let again = home
        .run(&["submit", "default", "1", "same"])
        .await
        .ended(4, "");
    assert!(again.out.starts_with("duplicate"), "{}", again.out);
    let mut command = home.command(&["submit", "default", "1", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"same").await.expect("it reads");
    drop(stdin);
    let again = Ran::of(child.wait_with_output().await.expect("it ends")).ended(4, "");
    assert!(again.out.starts_with("duplicate"), "{}", again.out);
    home.run(&["submit", "default", "2", "@@one.txt"])
        .await
        .ended(0, "");
    let again = home
        .run(&["submit", "default", "2", "@@one.txt"])
        .await
        .ended(4, "");
    assert!(again.out.starts_with("duplicate"), "{}", again.out);
    let large = home.file("large", &"x".repeat(2 << 20));
    let ran = home
        .run(&["submit", "default", "3", &format!("@{large}")])
        .await;
    ran.ended(4, "the server takes 1048576");
}

#[tokio::test]
async fn the_front_door_checks_what_comes_in() {
    let (_system, home) = system().await;
    let front = ["submit", "default", "f-1", "x", "--front-door", "-j"];
    let accepted = home.run(&front).await.ended(0, "").json();
    assert_eq!(accepted["status"], "accepted");
    assert_eq!(
        home.run(&front).await.ended(4, "").json()["status"],
        "duplicate"
    );
    home.run(&["submit", "nope", "1", "--front-door"])
        .await
        .ended(3, "unknown-queue");
    // The direct door keeps it for the day the queue is made.
    home.run(&["submit", "nope", "1"]).await.ended(0, "");
    let status = home.run(&["status"]).await.ended(0, "").out;
    assert!(status.contains("`queue add nope` for 1 jobs"), "{status}");
}
