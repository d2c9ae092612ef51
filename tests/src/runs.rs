//! Who ran what and when, from the logs that the workers of a test write beside their handlers.
//!
//! It never asks the broker: what the ledger says stands in [`crate::book`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;

/// One call of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The job's acceptance number.
    pub accepted: u64,
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: Option<String>,
    /// Which try.
    pub attempt: u64,
    /// Which delivery of it.
    pub delivery: u64,
    /// The worker.
    pub worker: String,
    /// Its process.
    pub pid: u32,
    /// The start, since boot.
    pub start: Duration,
    /// The end, since boot; `None` for a run that was killed or is still under way.
    pub end: Option<Duration>,
}

#[derive(Deserialize)]
struct Line {
    t: u64,
    event: String,
    id: String,
    key: Option<String>,
    accepted: u64,
    attempt: u64,
    delivery: u64,
    worker: String,
    pid: u32,
}

/// The time since boot, as the logs count it.
#[must_use]
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

/// Where in the folder of a history the logs of the workers are.
#[must_use]
pub fn folder(history: &Path) -> PathBuf {
    history.join("runs")
}

/// Reads all logs of a folder (`*.jsonl`), in the order of the starts.
///
/// # Errors
/// When a log cannot be read or holds a line that is none; a torn last line is left out.
pub fn read(folder: &Path) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    // The newest run of each name: a broker that was killed may hand the same delivery out again.
    let mut newest = BTreeMap::new();
    for entry in fs::read_dir(folder).context("list the logs of the workers")? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        let text = fs::read_to_string(&path).context("read the log of a worker")?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines() {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("read `{line}` in {}", path.display()))?;
            let name = (
                line.worker.clone(),
                line.accepted,
                line.attempt,
                line.delivery,
            );
            let at = Duration::from_nanos(line.t);
            if line.event == "start" {
                newest.insert(name, runs.len());
                runs.push(started(line, at));
            } else {
                let run = newest.get(&name).context("an end without a start")?;
                runs[*run].end = Some(at);
            }
        }
    }
    runs.sort_by_key(|run| run.start);
    Ok(runs)
}

fn started(line: Line, start: Duration) -> Run {
    Run {
        accepted: line.accepted,
        id: line.id,
        key: line.key,
        attempt: line.attempt,
        delivery: line.delivery,
        worker: line.worker,
        pid: line.pid,
        start,
        end: None,
    }
}

/// Checks that no two runs of one key were under way together. A run without an end was killed:
/// it ended at the latest at the moment that `killed` gives for its process.
///
/// # Panics
/// When two overlap, with both.
pub fn check_keys_apart(runs: &[Run], killed: &BTreeMap<u32, Duration>) {
    let mut last: BTreeMap<&str, (&Run, Duration)> = BTreeMap::new();
    for run in runs {
        let Some(key) = run.key.as_deref() else {
            continue;
        };
        if let Some((before, end)) = last.get(key) {
            assert!(*end <= run.start, "{before:#?}\noverlaps\n{run:#?}");
        }
        let end = run.end.or_else(|| killed.get(&run.pid).copied());
        let end = end.unwrap_or_else(|| panic!("{run:#?} has no end, and nobody killed it"));
        last.insert(key, (run, end));
    }
}

/// Checks that every attempt was run once.
///
/// # Panics
/// When one was run twice, with its runs.
pub fn check_each_attempt_once(runs: &[Run]) {
    let mut seen: BTreeMap<(u64, u64), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        seen.entry((run.accepted, run.attempt))
            .or_default()
            .push(run);
    }
    let twice: Vec<_> = seen.values().filter(|runs| runs.len() > 1).collect();
    assert!(twice.is_empty(), "ran more than once: {twice:#?}");
}
