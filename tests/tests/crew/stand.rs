//! Processes that make up one crew, and what they wrote down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tests::cluster::Cluster;
use tests::process::Process;
use tests::program::workspace_binary;
use tests::server::Server;
use tests::wait::eventually;
use tokio::process::Command;

/// How long a crew may take to share out, where leases are waited out and the machine is busy.
pub(crate) const SHARES_WITHIN: Duration = Duration::from_secs(90);

/// One server or three, and the logs of all that joined.
pub(crate) struct Stand<S = Server> {
    pub(crate) server: S,
    url: String,
    replicas: &'static str,
    logs: TempDir,
    rules: Rules,
}

/// How a crew shares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// So many partitions; none: indices.
    pub(crate) partitions: Option<u32>,
    pub(crate) mode: &'static str,
    pub(crate) lease: &'static str,
}

/// One run of the work of a share, by its log: from its begin to the last thing it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) number: u32,
    pub(crate) of: u32,
    pub(crate) token: u64,
    pub(crate) began: u64,
    pub(crate) last: u64,
    pub(crate) ended: bool,
    pub(crate) process: String,
}

impl Stand {
    pub(crate) async fn new(rules: Rules) -> Self {
        let server = Server::start().await.unwrap();
        Self {
            url: server.url(),
            server,
            replicas: "1",
            logs: TempDir::new().unwrap(),
            rules,
        }
    }
}

impl Stand<Cluster> {
    pub(crate) async fn on_three_servers(rules: Rules) -> Self {
        let cluster = Cluster::start().await.unwrap();
        Self {
            url: cluster.url(),
            server: cluster,
            replicas: "3",
            logs: TempDir::new().unwrap(),
            rules,
        }
    }
}

impl<S> Stand<S> {
    fn log(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }

    /// Starts one and waits until it has a connection.
    pub(crate) async fn start(&self, name: &str, more: &[&str]) -> Process {
        let mut command = Command::new(workspace_binary("test-crew").unwrap());
        command.args(["--server", &self.url, "--name", name]);
        command.args(["--replicas", self.replicas]);
        command.arg("--log").arg(self.log(name));
        command.args(["--mode", self.rules.mode, "--lease", self.rules.lease]);
        if let Some(count) = self.rules.partitions {
            command.args(["--partitions", &count.to_string()]);
        }
        command.args(more);
        let mut process = Process::start(name, command).unwrap();
        process.wait_for_line("ready", SHARES_WITHIN).await.unwrap();
        process
    }

    /// What one has done, in the order of the begins.
    pub(crate) fn runs_of(&self, process: &str) -> Vec<Run> {
        let text = std::fs::read_to_string(self.log(process)).unwrap();
        let mut runs: Vec<Run> = Vec::new();
        let mut newest: BTreeMap<u32, usize> = BTreeMap::new();
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [what, number, of, token, at] = words[..] else {
                panic!("{process} wrote {line:?}");
            };
            let (number, token) = (number.parse().unwrap(), token.parse().unwrap());
            let at = at.parse().unwrap();
            if what == "begin" {
                let before = newest.insert(number, runs.len());
                let over = before.is_none_or(|before| runs[before].ended);
                assert!(over, "{process} wrote {line:?} in the middle of a run");
                runs.push(Run {
                    number,
                    of: of.parse().unwrap(),
                    token,
                    began: at,
                    last: at,
                    ended: false,
                    process: process.to_owned(),
                });
                continue;
            }
            let run = &mut runs[newest[&number]];
            assert_eq!(run.token, token, "{process} wrote {line:?}");
            assert!(!run.ended, "{process} wrote {line:?} after the end");
            run.ended = what == "end";
            // A fenced process that stood still says that it ended when another has long begun.
            if !run.ended || self.rules.mode == "strict" {
                run.last = at;
            }
        }
        runs
    }

    /// What all have done, in the order of the begins.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let files = std::fs::read_dir(self.logs.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut runs: Vec<Run> = names.flat_map(|name| self.runs_of(&name)).collect();
        runs.sort_by_key(|run| run.began);
        runs
    }

    /// What is worked on in these processes.
    pub(crate) fn held(&self, processes: &[&str]) -> Vec<Run> {
        let runs = processes.iter().flat_map(|name| self.runs_of(name));
        runs.filter(|run| !run.ended).collect()
    }

    /// Waits until these processes hold all shares, each in one of them, and as many each as the others
    /// or one less.
    pub(crate) async fn shared_by(&self, processes: &[&str]) -> Vec<Run> {
        let what = format!("all shares to be held by {processes:?}");
        let count = self.rules.partitions;
        let count = count.unwrap_or_else(|| u32::try_from(processes.len()).unwrap());
        eventually(&what, SHARES_WITHIN, async || {
            let held = self.held(processes);
            let numbers: BTreeSet<u32> = held.iter().map(|run| run.number).collect();
            let each = |name: &&str| held.iter().filter(|run| run.process == **name).count();
            let (most, least) = (
                processes.iter().map(each).max().unwrap(),
                processes.iter().map(each).min().unwrap(),
            );
            let whole = numbers.len() == held.len() && numbers.iter().copied().eq(0..count);
            let of_all = held.iter().all(|run| run.of == count);
            if whole && of_all && most - least <= 1 {
                Ok(held)
            } else {
                Err(format!("held are {held:?}"))
            }
        })
        .await
        .unwrap()
    }

    /// No two runs of one share overlap, and its tokens grow from holder to holder.
    pub(crate) fn never_two_at_once(&self) -> Vec<Run> {
        let runs = self.runs();
        let mut newest: BTreeMap<u32, &Run> = BTreeMap::new();
        for run in &runs {
            if let Some(before) = newest.insert(run.number, run) {
                assert!(before.last < run.began, "{before:?} overlaps {run:?}");
                // Who was suspended and resumes goes on with what it had.
                let resumes = before.token == run.token && before.process == run.process;
                assert!(before.token < run.token || resumes, "{before:?} {run:?}");
            }
        }
        runs
    }
}

/// Whether a process has written such a line.
pub(crate) fn wrote(process: &Process, pattern: &str) -> bool {
    let lines = process.lines();
    lines.iter().any(|line| line.text.contains(pattern))
}
