//! Whether the kills met what they should, and how long it took to go on: from the ledger, the
//! workers' logs and the first work of the new leader.

use super::Findings;
use crate::demo::evidence::{Evidence, Kill, Victim};
use crate::demo::records::What;
use crate::demo::runs::Run;

/// The part of the jobs, in percent, that is done at a kill that shows something.
const WINDOW: std::ops::RangeInclusive<usize> = 20..=80;

pub(super) fn judge(evidence: &Evidence, runs: &[Run], found: &mut Findings) {
    for kill in &evidence.kills {
        match &kill.victim {
            Victim::Leader { name } => leader(evidence, runs, found, (kill, name)),
            Victim::Worker { name, pid } => {
                let cut = cut_off(runs, kill, *pid);
                worker(runs, found, (kill, name), &cut);
            }
        }
    }
}

/// When a process was killed, in nanoseconds since boot.
pub(super) fn of_process(evidence: &Evidence, pid: u32) -> Option<u64> {
    evidence.kills.iter().find_map(|kill| match kill.victim {
        Victim::Worker { pid: killed, .. } if killed == pid => Some(kill.at.boot_ns),
        Victim::Worker { .. } | Victim::Leader { .. } => None,
    })
}

fn leader(evidence: &Evidence, runs: &[Run], found: &mut Findings, (kill, name): (&Kill, &str)) {
    let epochs = evidence
        .records
        .iter()
        .filter_map(|record| match &record.what {
            What::Epoch { epoch, holder } => Some((record.at_ms, *epoch, holder)),
            What::Submitted { .. } | What::Outcome { .. } | What::Other => None,
        });
    let (before, after): (Vec<_>, Vec<_>) = epochs.partition(|(at, ..)| *at <= kill.at.unix_ms);
    let Some((_, led, _)) = before
        .last()
        .filter(|(_, _, holder)| holder.as_str() == name)
    else {
        found.faults.push(format!(
            "{name} was killed as the leader, but it did not lead"
        ));
        return;
    };
    let first = evidence
        .first_work
        .iter()
        .filter(|work| work.epoch > *led)
        .min_by_key(|work| work.at_ms);
    let next = after.first().map_or("nobody", |(_, _, holder)| holder);
    let Some(first) = first else {
        found
            .faults
            .push(format!("after {name} was killed nobody handed out work"));
        return;
    };
    let took = first.at_ms.saturating_sub(kill.at.unix_ms);
    let met = Met::at(found, runs, kill);
    // With few jobs there may be nothing to hand out for a while: the fence says when it could.
    let fenced = first.fence_ms.map_or_else(String::new, |at| {
        format!(
            "fenced after {} ms and ",
            at.saturating_sub(kill.at.unix_ms)
        )
    });
    found.kills.push(format!(
        "leader {name} (epoch {led}) at {}; {next} {fenced}handed out its first work in epoch {} after {took} ms",
        met.words(),
        first.epoch
    ));
    found.summary.failover_ms = found.summary.failover_ms.max(Some(took));
    if met.shows() {
        found.summary.leader_kills += 1;
    }
}

fn worker(runs: &[Run], found: &mut Findings, (kill, name): (&Kill, &str), cut: &[&Run]) {
    let met = Met::at(found, runs, kill);
    let mut longest = None;
    let mut ids = Vec::new();
    for run in cut {
        ids.push(run.id.as_str());
        let again = runs
            .iter()
            .filter(|other| (other.accepted, other.attempt) == (run.accepted, run.attempt))
            .filter(|other| other.pid != run.pid && other.start > kill.at.boot_ns)
            .map(|other| other.start)
            .min();
        match again {
            Some(start) => {
                let took = (start - kill.at.boot_ns) / 1_000_000;
                longest = longest.max(Some(took));
            }
            None => found.faults.push(format!(
                "{} was cut off by the kill of {name} and did not start elsewhere",
                run.id
            )),
        }
    }
    let elsewhere = match longest {
        Some(took) => format!(
            "inside {}, started elsewhere after {took} ms",
            ids.join(", ")
        ),
        None => "inside no handler".to_owned(),
    };
    found
        .kills
        .push(format!("worker {name} at {}, {elsewhere}", met.words()));
    found.summary.rescue_ms = found.summary.rescue_ms.max(longest);
    if met.shows() && !cut.is_empty() {
        found.summary.worker_kills += 1;
    }
}

/// The runs that a kill cut off.
fn cut_off<'a>(runs: &'a [Run], kill: &Kill, pid: u32) -> Vec<&'a Run> {
    runs.iter()
        .filter(|run| run.pid == pid && run.end.is_none() && run.start <= kill.at.boot_ns)
        .collect()
}

/// What was going on at a kill.
struct Met {
    done: usize,
    all: usize,
    running: usize,
}

impl Met {
    fn at(found: &Findings, runs: &[Run], kill: &Kill) -> Self {
        let ended = found.jobs.values().filter_map(|job| job.terminal.first());
        let at = kill.at.boot_ns;
        Self {
            done: ended.filter(|end| end.at_ms <= kill.at.unix_ms).count(),
            all: found.jobs.len(),
            running: runs
                .iter()
                .filter(|run| run.start <= at && run.end.is_none_or(|end| end > at))
                .count(),
        }
    }

    fn percent(&self) -> usize {
        self.done * 100 / self.all.max(1)
    }

    fn shows(&self) -> bool {
        let whole = self.done * 100;
        (WINDOW.start() * self.all..=WINDOW.end() * self.all).contains(&whole) && self.running > 0
    }

    fn words(&self) -> String {
        format!(
            "{} % ({} of {} done, {} running)",
            self.percent(),
            self.done,
            self.all,
            self.running
        )
    }
}
