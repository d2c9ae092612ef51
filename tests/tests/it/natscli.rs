//! The real `nats` command line tool as a submitter, as a worker and as an operator.

use std::path::PathBuf;

use tests::natscli::CliOutput;
use tests::program::repository;
use tests::system::{QUEUE, coordinator_binary};
use tests::wait::PATIENCE;
use tests::{Lease, NatsCli, Process, Server, Size, System};

/// The tool, a system with a leader, and its address. `None`: no tool can be built here.
async fn start() -> Option<(NatsCli, System, Process)> {
    let nats = NatsCli::find_or_build().await.unwrap()?;
    let (system, a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    Some((nats, system, a))
}

fn said(output: &CliOutput) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[tokio::test]
async fn a_line_submits_a_job_and_the_same_line_again_is_refused() {
    let Some((nats, system, _a)) = start().await else {
        return;
    };
    let _worker = system.worker("w1").await.unwrap();
    let line = ["pub", "-J", "jobs.submit.work.INV-1", "{}"];
    let first = nats.run(&system.url(), &line).await.unwrap();
    first.success().unwrap();
    let ended = system.end_of("INV-1").await.unwrap();
    assert_eq!(ended.end(), Some("completed"));

    let accepted = system.tap.look(|book| *book.jobs.keys().next().unwrap());
    let outcome = format!("jobs.outcome.{QUEUE}.{accepted}.1.INV-1");
    let read = ["stream", "get", "JOBS", "--last-for", &outcome];
    let record = nats.run(&system.url(), &read).await.unwrap();
    let record = record.success().unwrap();
    assert!(record.contains("\"status\":\"completed\""), "{record}");
    assert!(record.contains(&format!("{accepted}.1.1")), "{record}");

    for payload in ["{}", "another"] {
        let line = ["pub", "-J", "jobs.submit.work.INV-1", payload];
        let again = nats.run(&system.url(), &line).await.unwrap();
        assert_eq!(again.code, Some(1), "{again:?}");
        let text = said(&again);
        assert!(
            text.contains("maximum messages per subject exceeded"),
            "{text}"
        );
    }
    assert_eq!(system.runs().unwrap().len(), 1);
}

#[tokio::test]
async fn headers_of_a_line_say_what_the_job_is() {
    let Some((nats, system, _a)) = start().await else {
        return;
    };
    let _worker = system.worker("w1").await.unwrap();
    let line = [
        "pub",
        "-J",
        "jobs.submit.work.x",
        r#"{"do":"fail"}"#,
        "-H",
        "Jobs-Key:DE",
        "-H",
        "Jobs-Max-Attempts:2",
    ];
    let first = nats.run(&system.url(), &line).await.unwrap();
    first.success().unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!((ended.end(), ended.outcomes.len()), (Some("discarded"), 2));
    let runs = system.runs().unwrap();
    assert_eq!(runs[0].key.as_deref(), Some("DE"));
}

#[tokio::test]
async fn a_request_at_the_front_door_is_answered_in_json() {
    let Some((nats, system, _a)) = start().await else {
        return;
    };
    let url = system.url();
    let request = async |subject: &str, payload: &str| {
        let line = ["req", "--raw", subject, payload];
        let answer = nats.run(&url, &line).await.unwrap().success().unwrap();
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()
    };
    let subject = "jobs.api.submit.work.x";
    let first = request(subject, "{}").await;
    assert_eq!(first["status"], "accepted", "{first}");
    let again = request(subject, "{}").await;
    assert_eq!(again["status"], "duplicate", "{again}");
    assert_eq!(again["accepted"], first["accepted"]);
    let other = request(subject, "another").await;
    assert_eq!(other["status"], "conflict", "{other}");
    let nowhere = request("jobs.api.submit.nowhere.x", "{}").await;
    assert_eq!(nowhere["code"], "unknown-queue", "{nowhere}");
    let job = request("jobs.api.get.work.x", "").await;
    assert_eq!(job["job"]["id"], "x", "{job}");
}

/// The number after `name:` in what `nats consumer next` prints before the message.
fn number_after(text: &str, name: &str) -> u64 {
    let (_, rest) = text
        .split_once(&format!("{name}: "))
        .unwrap_or_else(|| panic!("no {name} in {text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test]
async fn three_calls_are_a_worker() {
    let Some((nats, system, _a)) = start().await else {
        return;
    };
    let url = system.url();
    let submit = ["pub", "-J", "jobs.submit.work.x", "hello"];
    nats.run(&url, &submit).await.unwrap().success().unwrap();
    // The queue is new: the coordinator makes its consumer about now.
    let next = ["consumer", "next", "WORK", QUEUE, "--no-ack"];
    let taken = tests::wait::eventually("work", PATIENCE, async || {
        nats.run(&url, &next).await?.success()
    });
    let taken = taken.await.unwrap();
    assert!(taken.contains("hello"), "{taken}");
    let accepted = system.tap.look(|book| *book.jobs.keys().next().unwrap());
    assert!(
        taken.contains(&format!("jobs.work.{QUEUE}.{accepted}.1.x")),
        "{taken}"
    );

    let subject = format!("jobs.outcome.{QUEUE}.{accepted}.1.x");
    let body = r#"{"v":1,"status":"completed","result":"by hand"}"#;
    let record = nats.run(&url, &["pub", "-J", &subject, body]).await;
    record.unwrap().success().unwrap();
    let (stream, consumer) = (
        number_after(&taken, "str seq"),
        number_after(&taken, "cons seq"),
    );
    let ack = format!("$JS.ACK.WORK.{QUEUE}.1.{stream}.{consumer}.0.0");
    let acked = nats.run(&url, &["pub", &ack, "+ACK"]).await;
    acked.unwrap().success().unwrap();

    let ended = system.end_of("x").await.unwrap();
    assert_eq!(ended.end(), Some("completed"));
    assert_eq!(ended.outcomes[0].body["result"], "by hand");
    system.work_is_done().await.unwrap();
}

#[tokio::test]
async fn streams_added_from_the_files_are_as_a_coordinator_wants_them() {
    let Some(nats) = NatsCli::find_or_build().await.unwrap() else {
        return;
    };
    let server = Server::start().await.unwrap();
    let files = repository().join("nats-config");
    let add = async |name: &str, file: PathBuf| {
        let file = file.display().to_string();
        let line = ["stream", "add", name, "--config", &file];
        nats.run(&server.url(), &line)
            .await
            .unwrap()
            .success()
            .unwrap();
    };
    for name in ["JOBS", "WORK"] {
        add(name, files.join("streams").join(format!("{name}.json"))).await;
    }
    for name in ["KV_jobs_leader", "KV_jobs_workers"] {
        add(name, files.join("buckets").join(format!("{name}.json"))).await;
    }
    let mut command = coordinator_binary().unwrap();
    command.args(["--server", &server.url(), "run", "--provision", "verify"]);
    let mut coordinator = Process::start("coordinator", command).unwrap();
    coordinator
        .wait_for_line("standing for leadership", PATIENCE)
        .await
        .unwrap();
    let differs = coordinator.lines();
    let differs = differs.iter().find(|line| line.text.contains("differs"));
    assert!(differs.is_none(), "{differs:?}");
}
