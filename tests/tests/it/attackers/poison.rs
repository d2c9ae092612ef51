//! One message of who may write into a replicated ledger stops it, on nats-server 2.14.6 to 2.15.1: what
//! the coordinators say then, and how an operator gets the ledger back with all that was accepted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use nats_config::Role;
use serde_json::Value;
use tests::process::Process;
use tests::raw::{Message, publish_raw};
use tests::roles;
use tests::system::{job, load};
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Server, Size, System};

/// Where a server keeps the Raft logs of its streams.
const RAFT_LOGS: &str = "jetstream/$SYS/_js_";

fn text_of(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// A system whose ledger was stopped.
struct Poisoned {
    system: System,
    /// The acceptance number of a job that had ended before.
    before: u64,
    _members: [Process; 2],
}

/// Three servers with a job that has ended, after the one message to this subject.
async fn poisoned(by: Role, subject: &str) -> Poisoned {
    let (system, leader) = System::with_leader(Size::Three, Lease::Quick)
        .await
        .unwrap();
    let worker = system.worker("w1").await.unwrap();
    let before = system.submit(job("before", "")).await.unwrap();
    system.ended(1).await.unwrap();
    let poisoned = Message::new(subject, "").header("Nats-Expected-Last-Msg-Id", &"no such id");
    let refused = publish_raw(system.client_of(by), poisoned).await.unwrap();
    assert_eq!(refused.code(), 10_070);
    Poisoned {
        system,
        before,
        _members: [leader, worker],
    }
}

#[tokio::test]
async fn a_poisoned_header_stops_a_replicated_ledger_and_the_status_says_so() {
    let Poisoned {
        system, _members, ..
    } = poisoned(Role::TrustedSubmitter, "jobs.submit.work.poisoned").await;
    let output = system.command(&["submit", "work", "after"]).await.unwrap();
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(
        text.contains("not known whether the job was accepted"),
        "{text}"
    );

    let alarm = eventually("an alarm about the ledger", PATIENCE, async || {
        let output = system.command(&["status"]).await;
        let text = text_of(&output.map_err(|error| error.to_string())?);
        let alarm = text.lines().find(|line| line.starts_with("ALARM"));
        alarm.map(str::to_owned).ok_or(text)
    });
    let alarm = alarm.await.unwrap();
    assert!(alarm.contains("the ledger has not answered for"), "{alarm}");
    assert!(alarm.contains("A ledger that does not answer"), "{alarm}");

    // What was accepted can still be read out, by direct get.
    let request = r#"{"seq":3}"#.into();
    let stored = system.client.request("$JS.API.DIRECT.GET.JOBS", request);
    let stored = stored.await.unwrap();
    let subject = stored
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Subject"));
    assert_eq!(subject.unwrap().as_str(), "jobs.submit.work.before");
}

/// The procedure of docs/operating.md, step by step.
#[tokio::test]
async fn an_operator_gets_a_poisoned_ledger_back_with_every_record() {
    let Poisoned {
        mut system,
        before,
        _members,
    } = poisoned(Role::Worker, "jobs.outcome.work.3.7.before").await;

    // 1. The name of the log that holds the message.
    let group = raft_group(&system).await;
    // 2. All servers are stopped.
    let mut stores = Vec::new();
    for server in system.cluster().servers() {
        server.stop().await.unwrap();
        stores.push(server.folder().to_owned());
    }
    // 3. One of them may have been behind when the message came. Each says how many records it has
    // when it starts; the tests' servers do so one by one, which elects nobody.
    let most = most_records(&mut system).await;
    let records = format!("jetstream/{}/streams/JOBS", roles::account());
    // 4. Its records go to the others, and the log goes everywhere.
    for (place, store) in stores.iter().enumerate() {
        fs::remove_dir_all(store.join(RAFT_LOGS).join(&group)).unwrap();
        if place != most {
            fs::remove_dir_all(store.join(&records)).unwrap();
            copy(&stores[most].join(&records), &store.join(&records));
        }
    }
    // 5. All servers are started. Coordinators and workers come back by themselves.
    for server in system.cluster().servers() {
        server.start_again().await.unwrap();
    }

    let accepted = system.submit_all(load("after", 20, 4, 1)).await.unwrap();
    system.ended(21).await.unwrap();
    let repeat = publish_raw(&system.client, job("before", ""))
        .await
        .unwrap();
    assert_eq!(repeat.code(), 10_077, "it was accepted before");
    assert!(
        accepted.iter().all(|number| *number > before),
        "acceptance numbers go on: {accepted:?} after {before}"
    );
    system.work_is_done().await.unwrap();
    let verified = system.command(&["verify", "--drained"]).await.unwrap();
    assert!(verified.status.success(), "{}", text_of(&verified));
    // The three are alike, also for the next leader of the stream.
    for round in 0..3 {
        step_down(&system).await;
        system
            .submit(job(&format!("led-{round}"), ""))
            .await
            .unwrap();
    }
    system.ended(24).await.unwrap();
}

/// What `nats stream info JOBS --json` shows as `cluster.raft_group`.
async fn raft_group(system: &System) -> String {
    eventually("the ledger's Raft group", PATIENCE, async || {
        let asked = system.client.request("$JS.API.STREAM.INFO.JOBS", "".into());
        let info = asked.await.map_err(|error| error.to_string())?;
        let info: Value = serde_json::from_slice(&info.payload).map_err(|e| e.to_string())?;
        let group = info["cluster"]["raft_group"].as_str();
        group.map(str::to_owned).ok_or_else(|| info.to_string())
    })
    .await
    .unwrap()
}

/// The place of the server with the most records, by their words at a start of each alone.
async fn most_records(system: &mut System) -> usize {
    let mut counts = Vec::new();
    for server in system.cluster().servers() {
        server.start_again().await.unwrap();
        counts.push(restored(server).await);
        server.stop().await.unwrap();
    }
    let most = counts.iter().max().expect("there are three");
    counts
        .iter()
        .position(|count| count == most)
        .expect("it is one of them")
}

async fn restored(server: &mut Server) -> u64 {
    let process = server.process().expect("it runs");
    let line = process
        .wait_for_line(
            &format!("messages for stream '{} > JOBS'", roles::account()),
            PATIENCE,
        )
        .await
        .unwrap();
    let (_, tail) = line.text.split_once("Restored ").expect("so it says");
    let count = tail.split_whitespace().next().expect("a number follows");
    count.replace(',', "").parse().expect("it is a number")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

async fn step_down(system: &System) {
    eventually("a leader that steps down", PATIENCE, async || {
        let subject = "$JS.API.STREAM.LEADER.STEPDOWN.JOBS";
        let asked = system.client.request(subject, "".into()).await;
        let answer = asked.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(|e| e.to_string())?;
        match answer["success"].as_bool() {
            Some(true) => Ok(()),
            _ => Err(answer.to_string()),
        }
    })
    .await
    .unwrap();
}
