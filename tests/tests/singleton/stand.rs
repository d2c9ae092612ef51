//! Processes that stand for one singleton, and what they wrote down.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tests::process::{Line, Mark, Process};
use tests::program::workspace_binary;
use tests::server::Server;
use tokio::process::Command;

/// How long a process may take to begin, where a lease is waited out and the machine is busy.
pub(crate) const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// What a process writes when its work has begun, and when it has ended: after its log.
pub(crate) const BEGIN: &str = "test_singleton: begin";
pub(crate) const END: &str = "test_singleton: end";

/// A server, and the logs of all that stood.
pub(crate) struct Stand {
    pub(crate) server: Server,
    logs: TempDir,
    pub(crate) mode: &'static str,
    pub(crate) lease: &'static str,
}

/// One run of the work, by its log: from its begin to the last thing it did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) token: u64,
    pub(crate) began: u64,
    pub(crate) last: u64,
    pub(crate) process: String,
}

impl Stand {
    pub(crate) async fn new(mode: &'static str, lease: &'static str) -> Self {
        Self {
            server: Server::start().await.unwrap(),
            logs: TempDir::new().unwrap(),
            mode,
            lease,
        }
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }

    /// The command of one that stands under this name, with further arguments.
    pub(crate) fn command(&self, name: &str, more: &[&str]) -> Command {
        let program = workspace_binary("test-singleton").unwrap();
        let mut command = Command::new(program);
        command.args(self.arguments(name, more));
        command
    }

    pub(crate) fn arguments(&self, name: &str, more: &[&str]) -> Vec<String> {
        let log = self.log(name).display().to_string();
        let url = self.server.url();
        let own = [
            "--server", &url, "--log", &log, "--mode", self.mode, "--lease", self.lease,
        ];
        let named: &[&str] = if more.contains(&"--name") {
            &[]
        } else {
            &["--name", name]
        };
        own.iter()
            .chain(named)
            .chain(more)
            .map(|&text| text.to_owned())
            .collect()
    }

    /// Starts one and waits until it stands.
    pub(crate) async fn start(&self, name: &str, more: &[&str]) -> Process {
        let mut process = Process::start(name, self.command(name, more)).unwrap();
        process.wait_for_line("ready", BEGINS_WITHIN).await.unwrap();
        process
    }

    /// What all have done, in the order of their begins.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for file in std::fs::read_dir(self.logs.path()).unwrap() {
            let file = file.unwrap();
            let process = file.file_name().into_string().unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            let mut own: Vec<Run> = Vec::new();
            for line in text.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let [what, token, at] = words[..] else {
                    panic!("{process} wrote {line:?}");
                };
                let (token, at) = (token.parse().unwrap(), at.parse().unwrap());
                if what == "begin" {
                    let process = process.clone();
                    own.push(Run {
                        token,
                        began: at,
                        last: at,
                        process,
                    });
                }
                let run = own.last_mut().unwrap();
                assert_eq!(run.token, token, "{process} wrote {line:?}");
                run.last = at;
            }
            runs.extend(own);
        }
        runs.sort_by_key(|run| run.began);
        runs
    }

    /// Tokens grow, and no two runs overlap.
    pub(crate) fn never_two_at_once(&self) -> Vec<Run> {
        let runs = self.tokens_grow();
        for pair in runs.windows(2) {
            assert!(pair[0].last < pair[1].began, "{pair:?}");
        }
        runs
    }

    pub(crate) fn tokens_grow(&self) -> Vec<Run> {
        let runs = self.runs();
        for pair in runs.windows(2) {
            assert!(pair[0].token < pair[1].token, "{pair:?}");
        }
        runs
    }
}

/// Waits until one of them begins after its mark, and says which.
pub(crate) async fn first_to_begin(processes: &mut [(Process, Mark)]) -> (usize, Line) {
    let waits = processes
        .iter_mut()
        .map(|(process, mark)| Box::pin(process.wait_for_line_after(*mark, BEGIN, BEGINS_WITHIN)));
    let (line, place, _) = futures::future::select_all(waits).await;
    (place, line.unwrap())
}

/// Waits until this one begins.
pub(crate) async fn begins(process: &mut Process) -> Line {
    process.wait_for_line(BEGIN, BEGINS_WITHIN).await.unwrap()
}
