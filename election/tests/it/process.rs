//! Candidates that are processes of their own: `child`, driven by its standard input and watched by
//! its standard output.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::child::{ARGUMENTS, MARK, TEST};

const LINE_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Candidate {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

/// A line that a candidate printed.
#[derive(Debug)]
pub(crate) struct Line {
    /// Nanoseconds of the machine's boot clock.
    pub(crate) at: u64,
    pub(crate) text: String,
}

impl Candidate {
    /// Starts one that stands for election.
    pub(crate) async fn start(server: &str, holder: &str, rules: [&str; 2]) -> Self {
        let own = std::env::current_exe().expect("the test's own path");
        let arguments = [server, holder, rules[0], rules[1]].join(" ");
        let mut child = Command::new(own)
            .args(["--exact", TEST, "--nocapture"])
            .env(ARGUMENTS, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("start a candidate");
        let mut candidate = Self {
            input: child.stdin.take().expect("stdin is piped"),
            output: BufReader::new(child.stdout.take().expect("stdout is piped")).lines(),
            child,
            seen: Vec::new(),
        };
        candidate.wait_for("started").await;
        candidate.say("campaign").await;
        candidate
    }

    pub(crate) async fn say(&mut self, wish: &str) {
        let line = format!("{wish}\n");
        self.input
            .write_all(line.as_bytes())
            .await
            .expect("write a wish");
    }

    pub(crate) async fn next(&mut self) -> Line {
        loop {
            let line = tokio::time::timeout(LINE_MAX, self.output.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("no line within 30 s after {:?}", self.seen));
            let line = line.expect("read a line");
            let line = line.unwrap_or_else(|| panic!("the candidate ended after {:?}", self.seen));
            // The rest is the test runner's.
            let Some((_, line)) = line.split_once(MARK) else {
                continue;
            };
            self.seen.push(line.to_owned());
            let (at, text) = line.split_once(' ').expect("a time and a text");
            return Line {
                at: at.parse().expect("nanoseconds"),
                text: text.to_owned(),
            };
        }
    }

    /// Waits for a line that begins so; what comes before is skipped.
    pub(crate) async fn wait_for(&mut self, start: &str) -> Line {
        loop {
            let line = self.next().await;
            if line.text.starts_with(start) {
                return line;
            }
        }
    }

    /// Waits until it has a permit, and says until when: nanoseconds of the machine's boot clock.
    pub(crate) async fn permit(&mut self, epoch: &str) -> u64 {
        self.say("check").await;
        let line = self.wait_for(&format!("permit {epoch} ")).await;
        let until = line.text.rsplit(' ').next().expect("a last word");
        until.parse().expect("nanoseconds")
    }

    /// All lines so far.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("the candidate runs");
        let pid = Pid::from_raw(id.cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("send a signal");
    }
}
