//! Real servers, coordinators, front ends and workers of this example, and clients that repeat what
//! was not answered. It judges nothing.

use anyhow::{Result, bail};
use distributed_workers::QUEUE;
use protocol::config::QueueConfig;
use tests::process::Process;
use tests::program::workspace_binary;
use tests::system::{Lease, Size, System, quick_retries};
use tests::wait::{PATIENCE, eventually};
use tokio::process::Command;

use crate::http::{self, Answer};

/// Stands before the address in the log of a front end.
const LISTENING: &str = "listening on ";

/// A front end and where it listens.
pub(crate) struct FrontEnd {
    /// The process.
    pub(crate) process: Process,
    /// Its address.
    pub(crate) address: String,
}

/// Starts a server, two coordinators of which `a` leads, and the queue.
pub(crate) async fn system() -> (System, Process, Process) {
    let system = System::start(Size::One, Lease::Test).await.unwrap();
    let first = system.coordinator("a").await.unwrap();
    system.leader_after(0).await.unwrap();
    let second = system.coordinator("b").await.unwrap();
    // So many that an executor which fails now and then uses them up in no run of this test.
    let config = QueueConfig {
        max_attempts: 1_000,
        // What a worker leaves that was killed between an outcome and its ack stays for a lease.
        work_lease_ms: 5_000,
        ..quick_retries()
    };
    system.queue(QUEUE, &config).await.unwrap();
    (system, first, second)
}

/// Starts a front end and waits until it listens.
pub(crate) async fn front_end(name: &str, url: &str) -> FrontEnd {
    let mut command = Command::new(workspace_binary("front-end").unwrap());
    command.args(["--server", url, "--listen", "127.0.0.1:0"]);
    let mut process = Process::start(name, command).unwrap();
    let line = process.wait_for_line(LISTENING, PATIENCE).await.unwrap();
    let (_, address) = line.text.rsplit_once(LISTENING).unwrap();
    let address = address.to_owned();
    FrontEnd { process, address }
}

/// Starts a process with 8 workers and waits until it is connected.
pub(crate) async fn workers(name: &str, system: &System, arguments: &[&str]) -> Process {
    let mut command = Command::new(workspace_binary("worker").unwrap());
    command.args(["--server", &system.url(), "--name", name]);
    command.args(["--workers", "8", "--work-ms", "20"]);
    let log = system.logs().join(format!("{name}.jsonl"));
    command.arg("--log").arg(log).args(arguments);
    let mut process = Process::start(name, command).unwrap();
    process.wait_for_line("ready", PATIENCE).await.unwrap();
    process
}

/// Puts a job until a front end says what became of it: one after the other is asked, as a client
/// does that got no answer.
pub(crate) async fn put(addresses: &[&str], id: &str, body: &str) -> Result<Answer> {
    let mut next = addresses.iter().cycle();
    let what = format!("an answer to PUT of {id}");
    eventually(&what, PATIENCE, async || {
        let Some(address) = next.next() else {
            bail!("no front end is named");
        };
        let answer = http::put(address, &path(id), body).await?;
        match answer.status {
            503 => bail!("not now: {answer:?}"),
            _ => Ok(answer),
        }
    })
    .await
}

/// The path of a job; the ids of these tests need no encoding.
pub(crate) fn path(id: &str) -> String {
    format!("/jobs/{id}")
}
