//! What a broker answers or forgets in a way that nobody would expect, a file each, and that users of the
//! product do not meet it. The table in docs/reliability.md says where each trap is tested.

mod batch;
mod bucket;
mod full;
mod headers;
mod message_id;
mod progress;
mod reconnects;
mod redelivered;

use nats_config::Role;
use tests::program::workspace_binary;
use tests::runs::Run;
use tests::system::QUEUE;
use tests::wait::{PATIENCE, eventually};
use tests::{Process, System, roles};
use tokio::process::Command;

/// A worker of [`QUEUE`] with one slot that reaches the broker at this address alone.
async fn worker_at(system: &System, name: &str, url: &str) -> Process {
    let mut command = Command::new(workspace_binary("test-worker").unwrap());
    let log = system.logs().join(format!("{name}.jsonl"));
    command.args(["--server", url, "--name", name, "--queue", QUEUE, "--log"]);
    command.arg(log).args(["--slots", "1"]);
    command.args(roles::arguments(Some(Role::Worker)));
    let mut worker = Process::start(&format!("worker {name}"), command).unwrap();
    worker.wait_for_line("ready", PATIENCE).await.unwrap();
    worker
}

/// Waits until the runs are as `wanted` says.
async fn runs_until(system: &System, what: &str, wanted: impl Fn(&[Run]) -> bool) -> Vec<Run> {
    let runs = eventually(what, PATIENCE, async || {
        let runs = system.runs().map_err(|error| error.to_string())?;
        match wanted(&runs) {
            true => Ok(runs),
            false => Err(format!("{runs:#?}")),
        }
    });
    runs.await.unwrap()
}
