//! One of a key at a time, and one run for each attempt: from the workers' logs.

use std::collections::{BTreeMap, HashMap};

use super::{Findings, over};
use crate::demo::evidence::Evidence;
use crate::demo::findings::jobs::Faults;
use crate::demo::runs::Run;

pub(super) fn judge(evidence: &Evidence, runs: &[Run], found: &mut Findings) {
    let mut faults = Faults::default();
    let mut by_key: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_key
            .entry(run.key.as_deref().unwrap_or("-"))
            .or_default()
            .push(run);
    }
    for (key, mut runs) in by_key {
        runs.sort_by_key(|run| run.start);
        let market = found.markets.entry(key.to_owned()).or_default();
        market.runs = runs.len();
        market.at_once_max = at_once_max(evidence, &runs);
        if key == "-" {
            // Jobs without a key may run beside each other.
            continue;
        }
        let mut busy: Option<(u64, &Run)> = None;
        for run in runs {
            let end = over(run, evidence).unwrap_or(u64::MAX);
            if let Some((until, other)) = busy
                && run.start < until
            {
                found.summary.key_overlaps += 1;
                let what = format!("{key}: {} beside {}", run.id, other.id);
                faults.add("runs of one key overlap", what);
            }
            if busy.is_none_or(|(until, _)| end > until) {
                busy = Some((end, run));
            }
        }
    }
    repeats(evidence, runs, found, &mut faults);
    found.faults.extend(faults.told());
}

/// Runs beyond one for each attempt; each earlier one must have been cut off by a kill.
fn repeats(evidence: &Evidence, runs: &[Run], found: &mut Findings, faults: &mut Faults) {
    let mut by_attempt: HashMap<(u64, u64), Vec<&Run>> = HashMap::new();
    for run in runs {
        let all = by_attempt.entry((run.accepted, run.attempt)).or_default();
        all.push(run);
        if run.end.is_none() && super::kills::of_process(evidence, run.pid).is_none() {
            faults.add("runs have no end though nobody killed them", run.id.clone());
        }
    }
    for mut runs in by_attempt.into_values() {
        runs.sort_by_key(|run| run.start);
        found.summary.executed_twice += runs.len() - 1;
        for run in &runs[..runs.len() - 1] {
            let killed = super::kills::of_process(evidence, run.pid);
            // One that had ended, but whose outcome was not recorded yet, is explained as well.
            if killed.is_none_or(|at| run.start > at) {
                let what = format!("{} attempt {}", run.id, run.attempt);
                faults.add("attempts ran again without a kill", what);
            }
        }
    }
}

fn at_once_max(evidence: &Evidence, runs: &[&Run]) -> usize {
    let mut edges: Vec<(u64, bool)> = Vec::with_capacity(runs.len() * 2);
    for run in runs {
        edges.push((run.start, true));
        edges.push((over(run, evidence).unwrap_or(u64::MAX), false));
    }
    // At one instant, what ends goes first.
    edges.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, starts) in edges {
        now = match starts {
            true => now + 1,
            false => now.saturating_sub(1),
        };
        most = most.max(now);
    }
    most
}
