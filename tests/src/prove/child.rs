//! Runs a command of this repository as a child, keeps all that it says in a file, and takes from it
//! the last line that is meant for machines. It judges nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::process::Command;

use crate::program::repository;

/// How long a child that was told to end may take to clear up.
const LEAVES_WITHIN: Duration = Duration::from_secs(60);

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// A name for its file.
    pub name: String,
    /// The program and its arguments, in the folder of the repository.
    pub words: Vec<String>,
    /// The word that its last line for machines starts with.
    pub speaks: &'static str,
    /// Longer than it takes on a busy machine.
    pub limit: Duration,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code; none where it was killed or did not end in time.
    pub code: Option<i32>,
    /// How long it took.
    pub took: Duration,
    /// All that it said.
    pub text: String,
    /// What its last line for machines holds.
    pub line: Option<Value>,
    /// Where all that it said is kept.
    pub log: PathBuf,
}

/// Ends the child and all that it started, if it is dropped before it has ended.
struct Group(Option<Pid>);

impl Group {
    fn send(&self, signal: Signal) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, signal)
        {
            tracing::debug!(%error, "the child has just ended");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send(Signal::TERM);
    }
}

/// Runs it to its end.
///
/// # Errors
/// When it cannot be started, or what it said cannot be read.
pub async fn run(order: &Order, folder: &Path) -> Result<Ran> {
    let log = folder.join(format!("{}.log", order.name));
    let file = File::create(&log).context("keep what a part says")?;
    let [program, arguments @ ..] = order.words.as_slice() else {
        anyhow::bail!("{} runs nothing", order.name);
    };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(repository())
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("keep what a part says")?)
        .stderr(file)
        // A group of its own: whatever it starts can be ended with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(pid.and_then(Pid::from_raw));
    let start = Instant::now();
    let code = match tokio::time::timeout(order.limit, child.wait()).await {
        Ok(status) => status.context("wait for the end of a part")?.code(),
        Err(_late) => {
            group.send(Signal::TERM);
            let left = tokio::time::timeout(LEAVES_WITHIN, child.wait()).await;
            if left.is_err() {
                group.send(Signal::KILL);
            }
            None
        }
    };
    group.0 = None;
    let took = start.elapsed();
    let text = fs::read(&log).context("read what a part said")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = spoken(&text, order.speaks);
    Ok(Ran {
        code,
        took,
        text,
        line,
        log,
    })
}

/// What the last line that starts with this word holds.
#[must_use]
pub fn spoken(text: &str, word: &str) -> Option<Value> {
    let mut lines = text.lines().rev();
    let line = lines.find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))?;
    serde_json::from_str(line).ok()
}

/// How many tests passed and failed, by the lines of cargo.
#[must_use]
pub fn counted_tests(text: &str) -> (u64, u64) {
    let counts = |line: &str, what: &str| -> u64 {
        let mut before = "";
        for word in line.split_whitespace() {
            if word == what {
                return before.parse().unwrap_or_default();
            }
            before = word;
        }
        0
    };
    let results = text.lines().filter(|line| line.starts_with("test result:"));
    results.fold((0, 0), |(passed, failed), line| {
        (
            passed + counts(line, "passed;"),
            failed + counts(line, "failed;"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Duration, Order, counted_tests, run, spoken};

    fn order(words: &[&str], limit: Duration) -> Order {
        Order {
            name: "part".to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            speaks: "PART",
            limit,
        }
    }

    #[test]
    fn the_last_line_for_machines_counts() {
        let text = "PART {\"n\":1}\nPART {\"n\":2}\nPARTS {\"n\":3}\n";
        assert_eq!(spoken(text, "PART").unwrap()["n"], 2);
        assert_eq!(spoken("PART\nPART {", "PART"), None);
    }

    #[test]
    fn tests_are_added_up_over_all_binaries() {
        let text = "test result: ok. 12 passed; 0 failed; 0 ignored\n\
                    test result: FAILED. 3 passed; 2 failed; 0 ignored\n";
        assert_eq!(counted_tests(text), (15, 2));
    }

    #[tokio::test]
    async fn a_part_says_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo 'PART {\"n\":7}'; exit 2";
        let limit = Duration::from_secs(60);
        let ran = run(&order(&["sh", "-c", script], limit), folder.path()).await;
        let ran = ran.unwrap();
        assert_eq!(
            (ran.code, ran.line.unwrap()["n"].as_u64()),
            (Some(2), Some(7))
        );
        assert!(ran.log.is_file());
    }

    #[tokio::test]
    async fn a_part_that_does_not_end_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 1000 & echo started; wait";
        let limit = Duration::from_millis(300);
        let ran = run(&order(&["sh", "-c", script], limit), folder.path()).await;
        assert_eq!(ran.unwrap().code, None);
    }
}
