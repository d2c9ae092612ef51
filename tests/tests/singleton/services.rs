//! The example of cluster services: its programs run, and its parts are killed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use cluster_services::{MANAGER, QUEUE, STATUS, Status};
use protocol::id::Namespace;
use tempfile::TempDir;
use tests::process::Process;
use tests::program::workspace_binary;
use tests::runs::{check_keys_apart, now};
use tests::system::{Lease, Size, System, quick_retries};
use tests::wait::{PATIENCE, eventually};
use tokio::process::Command;
use worker_sdk::{CallRequest, Client, LeaderProxy};

/// A run whose node died before it told of it is left to its lease of 30 s.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
const MARKETS: [&str; 4] = ["DE", "FR", "PL", "SE"];

/// The servers, a coordinator, and what the nodes share.
struct Services {
    system: System,
    folder: TempDir,
    manager: LeaderProxy,
}

impl Services {
    async fn start() -> (Self, Process) {
        let system = System::start(Size::One, Lease::Test).await.unwrap();
        let coordinator = system.coordinator("a").await.unwrap();
        system.queue(QUEUE, &quick_retries()).await.unwrap();
        let manager = LeaderProxy::in_group(MANAGER).group("test");
        let manager = manager.servers(&system.url()).start().await.unwrap();
        let folder = TempDir::new().unwrap();
        let services = Self {
            system,
            folder,
            manager,
        };
        (services, coordinator)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn node(&self, name: &str) -> Process {
        let mut command = Command::new(workspace_binary("market-node").unwrap());
        command.args(["--server", &self.system.url(), "--name", name]);
        command.args(["--group", "test", "--lease", "test"]);
        command.args(["--ask-every-ms", "50", "--work-ms", "20"]);
        command.arg("--source").arg(self.path("source"));
        command.arg("--asked-log").arg(self.path("asked"));
        let log = self.system.logs().join(format!("{name}.jsonl"));
        command.arg("--log").arg(log);
        let mut process = Process::start(name, command).unwrap();
        process.wait_for_line("ready", PATIENCE).await.unwrap();
        process
    }

    /// So many runs of each market become due.
    fn due(&self, name: &str, runs: usize) -> Vec<String> {
        let mut options = std::fs::File::options();
        let file = options.create(true).append(true);
        let mut file = file.open(self.path("source")).unwrap();
        let mut ids = Vec::new();
        for run in 0..runs {
            for market in MARKETS {
                writeln!(file, "{market} {name}-{run}").unwrap();
                ids.push(format!("{market}/{name}-{run}"));
            }
        }
        ids
    }

    async fn have_run(&self, ids: &[String]) {
        let url = self.system.url();
        let options = async_nats::ConnectOptions::new();
        let client = Client::connect(&url, options, Namespace::default());
        let client = client.await.unwrap();
        for id in ids {
            // Who waits for what nobody has handed in yet is told so.
            eventually(&format!("the end of {id}"), ENDS_WITHIN, async || {
                client.wait(QUEUE, id, ENDS_WITHIN).await.map(|_| ())
            })
            .await
            .unwrap();
        }
    }

    async fn status(&self) -> Status {
        let request = CallRequest::new(STATUS).within(PATIENCE);
        let answer = self.manager.call(request).await.unwrap();
        let status: Status = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(status.epoch, answer.epoch.get());
        status
    }

    /// The epochs of the questions to the source never go back, and each is of one node.
    fn one_asked_at_a_time(&self) {
        let text = std::fs::read_to_string(self.path("asked")).unwrap();
        let mut last = 0;
        let mut nodes = BTreeMap::new();
        for line in text.lines() {
            let (epoch, node) = line.split_once(' ').unwrap();
            let epoch: u64 = epoch.parse().unwrap();
            assert!(last <= epoch, "{text}");
            last = epoch;
            let first = nodes.entry(epoch).or_insert(node);
            assert_eq!(*first, node, "{text}");
        }
        assert!(nodes.len() > 1, "{text}");
    }
}

#[tokio::test]
async fn the_manager_the_nodes_and_the_coordinator_are_killed_and_each_market_runs_alone() {
    let (services, mut coordinator) = Services::start().await;
    let mut nodes = BTreeMap::new();
    for name in ["n1", "n2", "n3"] {
        nodes.insert(name.to_owned(), services.node(name).await);
    }
    let first = services.status().await;
    services.have_run(&services.due("one", 3)).await;

    // The manager's process dies with work in hand; another node manages.
    let due = services.due("two", 3);
    let dying = nodes.get_mut(&first.node).unwrap();
    let pid = u32::try_from(dying.pid().as_raw_nonzero().get()).unwrap();
    dying.kill().await.unwrap();
    let killed = BTreeMap::from([(pid, now())]);
    let second = services.status().await;
    assert!(first.epoch < second.epoch, "{first:?} {second:?}");
    assert_ne!(first.node, second.node);
    services.have_run(&due).await;

    // The coordinator dies; another one goes on with what was handed in.
    let _other = services.system.coordinator("b").await.unwrap();
    let due = services.due("three", 3);
    coordinator.kill().await.unwrap();
    services.have_run(&due).await;

    // A restart of the manager in good order: no call is lost.
    let stopped = nodes.get_mut(&second.node).unwrap();
    let (status, third) = tokio::join!(stopped.terminate(PATIENCE), services.status());
    assert!(status.unwrap().success());
    assert!(second.epoch <= third.epoch, "{second:?} {third:?}");
    let due = services.due("four", 3);
    services.have_run(&due).await;
    let last = services.status().await;
    assert!(last.asked > 0 && last.node != second.node, "{last:?}");
    services.one_asked_at_a_time();
    // One market at a time: also where a node died in the middle of one.
    check_keys_apart(&services.system.runs().unwrap(), &killed);
}
