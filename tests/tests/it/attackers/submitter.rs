//! A submitter that floods, drips and asks for what it must not have.

use std::time::Duration;

use nats_config::Role;
use protocol::message::CoordinatorStatus;
use serde_json::Value;
use tests::hand::HandWorker;
use tests::raw::{Answer, Message, publish_window};
use tests::system::{QUEUE, coordinator_binary, job, load, quick_retries};
use tests::wait::{PATIENCE, within};
use tests::{Lease, Process, Size, System, roles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::worker::status;

/// How many ids the flood has.
const FLOOD: usize = 1_000_000;
/// How many of them are under way at once.
const AT_ONCE: usize = 1_000;
/// What the ledger may hold: some 97,000 of them, and the door closes at 80 %.
const ROOM: &str = "6MiB";
/// From here on the flood takes a breath now and then: the leader looks at the room once a second, and
/// so small a ledger would be full in less.
const BREATHES_FROM: usize = 60_000;
/// What a coordinator may need for them, built for tests.
const RESIDENT_KIB_MAX: u64 = 256 << 10;

#[tokio::test]
async fn a_flood_of_ids_ends_at_the_door_and_outcomes_still_land() {
    let system = System::start(Size::One, Lease::Quick).await.unwrap();
    let mut command = coordinator_binary().unwrap();
    command.args(["--server", &system.url(), "run", "--name", "a"]);
    command.args(["--lease", "quick", "--ledger-max-bytes", ROOM]);
    let mut a = Process::start("coordinator a", command).unwrap();
    a.wait_for_line("standing for leadership", PATIENCE)
        .await
        .unwrap();
    system.queue(QUEUE, &quick_retries()).await.unwrap();
    let attacker = system.client_of(Role::TrustedSubmitter);
    let (mut stored, mut refused) = (0, 0);
    for from in (0..FLOOD).step_by(AT_ONCE) {
        if stored > BREATHES_FROM && refused == 0 {
            status(&system, "a leader", |status| status.role == "leader").await;
        }
        let ids = from..from + AT_ONCE;
        let flood = ids.map(|id| Message::new(format!("jobs.submit.{QUEUE}.flood-{id}"), "x"));
        for answer in publish_window(attacker, flood.collect()).await.unwrap() {
            match answer {
                Answer::Stored(_) => stored += 1,
                Answer::NoResponders => refused += 1,
                // Full before the leader looked: the room that outcomes need is not kept then.
                Answer::Refused(refusal) => {
                    assert!(refusal.description.contains("maximum bytes"), "{refusal:?}");
                    refused += 1;
                }
                Answer::Silent => panic!("the ledger is silent after {stored}"),
            }
        }
    }
    assert_eq!(stored + refused, FLOOD);
    assert!((BREATHES_FROM..FLOOD / 2).contains(&stored), "{stored}");

    let submitter = system.client_of(Role::Submitter);
    let asked = submitter.request("jobs.api.submit.work.late", "".into());
    let answer = within("an answer", PATIENCE, asked).await.unwrap().unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    let code = answer["code"].as_str().unwrap().to_owned();
    assert!(["closed", "full"].contains(&code.as_str()), "{answer}");
    let is_closed =
        |status: &CoordinatorStatus| status.door == "closed" && status.refused[&code] == 1;
    let status = status(&system, "a closed door", is_closed).await;
    assert!(status.queues[QUEUE].waiting > 1_000, "{status:?}");
    let worker = HandWorker::here(system.client_of(Role::Worker), "hand", QUEUE, 50).await;
    let worker = worker.unwrap();
    for delivery in worker.pull(50).await.unwrap() {
        worker.complete(&delivery).await.unwrap();
    }
    let pid = a.pid().as_raw_nonzero();
    let memory = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = memory.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = resident
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(kib < RESIDENT_KIB_MAX, "{kib} KiB for {stored} jobs");
}

/// Connections that begin a message and never end it.
#[tokio::test]
async fn half_a_message_is_no_job_and_holds_up_nobody() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let address = system.url().replace("nats://", "");
    let settings = roles::settings(Some(Role::Submitter));
    let login = match (&settings.user, &settings.password) {
        (Some(user), Some(password)) => {
            format!(r#""user":"{user}","pass":"{}","#, password.reveal())
        }
        _ => String::new(),
    };
    let mut dripping = Vec::new();
    for n in 0..50 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let text = format!(
            "CONNECT {{{login}\"verbose\":false}}\r\nPING\r\nPUB jobs.api.submit.work.drip-{n} 100000\r\nhalf"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        let answered = async {
            while !seen.ends_with(b"PONG\r\n") {
                let byte = stream.read_u8().await.unwrap();
                seen.push(byte);
            }
        };
        within("a pong", Duration::from_secs(20), answered)
            .await
            .unwrap();
        dripping.push(stream);
    }
    system.submit_all(load("other", 20, 4, 1)).await.unwrap();
    system.ended(20).await.unwrap();
    for stream in &mut dripping {
        stream.write_all(b"y").await.unwrap();
    }
    system.submit(job("last", "")).await.unwrap();
    system.ended(21).await.unwrap();
    system.tap.look(|book| assert_eq!(book.jobs.len(), 21));
}

#[tokio::test]
async fn what_the_front_door_refuses_is_counted_by_its_code() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let attacker = system.client_of(Role::Submitter);
    let stolen = "jobs.control.work.1.0.cancel.x";
    let asked = attacker.publish_with_reply("jobs.api.submit.work.x", stolen, "".into());
    asked.await.unwrap();
    for subject in [
        "jobs.api.submit.nowhere.x",
        "jobs.api.submit.work.%41",
        "jobs.api.submit.work.50%",
        "jobs.api.get.wo%rk.x",
    ] {
        let answer = attacker.request(subject, "".into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["status"], "error", "{subject}: {answer}");
    }
    // Between accounts the server gives the door another reply subject, which nothing is behind.
    let stolen = u64::from(roles::account() == "$G");
    let count = |status: &CoordinatorStatus, code: &str| {
        status.refused.get(code).copied().unwrap_or_default()
    };
    status(&system, "the counters", |status| {
        count(status, "bad-id") == 2
            && count(status, "bad-queue") == 1
            && count(status, "unknown-queue") == 1
            && count(status, "reply-subject") == stolen
    })
    .await;
    system.tap.look(|book| assert!(book.jobs.len() <= 1));
}
