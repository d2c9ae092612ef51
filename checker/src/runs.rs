//! What handlers did, against the ledger and against each other.

use std::collections::{BTreeMap, BTreeSet};

use protocol::id::{JobId, QueueName};
use protocol::number::{Accepted, Attempt};
use protocol::outcome::Status;
use protocol::subject::{AttemptName, JobName};

use crate::digest::Digest;
use crate::history::{Fault, History, Run};
use crate::records::Records;
use crate::report::Docket;
use crate::rule::Rule;

/// The target of faults that everybody feels.
const BROKER: &str = "broker";
/// The fault that ends a process.
const KILL: &str = "kill";

/// Judges each run by itself. `handed_out` is what a tap saw, if there was one.
pub(crate) fn judge(
    history: &History,
    handed_out: Option<&BTreeSet<(Accepted, Attempt)>>,
    records: &Records,
    docket: &mut Docket,
) {
    for run in &history.runs {
        docket.checked(&[Rule::RunOfJob]);
        if let Some(what) = stray(run, handed_out, records) {
            docket.wrong(Rule::RunOfJob, shown(run), what);
        }
    }
}

/// Why a run is none that anybody asked for, if so.
fn stray(
    run: &Run,
    handed_out: Option<&BTreeSet<(Accepted, Attempt)>>,
    records: &Records,
) -> Option<String> {
    let (Ok(queue), Ok(id)) = (QueueName::new(&run.queue), JobId::from_encoded(&run.id)) else {
        return Some("its queue or id is none".to_owned());
    };
    let name = AttemptName {
        job: JobName::Named { queue, id },
        accepted: run.accepted,
        attempt: run.attempt,
    };
    let Some(job) = records.job(&name) else {
        return Some("no such job was accepted".to_owned());
    };
    if run.attempt > job.last && !job.awaits(run.attempt) {
        return Some(format!("its job stands at {}", job.last));
    }
    let key = run.key.as_ref().map(|key| Digest::of(key.as_bytes()));
    if !job.has_key(key) {
        return Some("it ran with another key than was accepted".to_owned());
    }
    let seen = handed_out.is_none_or(|all| all.contains(&(run.accepted, run.attempt)));
    (!seen).then(|| "it was never handed out".to_owned())
}

/// A completed outcome has a run that completed.
pub(crate) fn earned(history: &History, records: &Records, docket: &mut Docket) {
    let completed: BTreeSet<(Accepted, Attempt)> = history
        .runs
        .iter()
        .filter(|run| run.completed)
        .map(|run| (run.accepted, run.attempt))
        .collect();
    for (name, seen) in &records.outcomes {
        if seen.status != Status::Completed {
            continue;
        }
        docket.checked(&[Rule::Earned]);
        if !completed.contains(name) {
            let place = format!("ledger {}", seen.sequence);
            let what = format!("no run of {} {} completed", name.0, name.1);
            docket.wrong(Rule::Earned, place, what);
        }
    }
}

/// No two runs of a key were under way together, unless the one that was there first had a fault
/// before the other came: then it is a straggler, which may still execute and is refused.
pub(crate) fn keys_apart(history: &History, docket: &mut Docket) {
    let mut keys: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &history.runs {
        if let Some(key) = &run.key {
            keys.entry(key).or_default().push(run);
        }
    }
    for runs in keys.values_mut() {
        runs.sort_by_key(|run| run.start);
        let mut under_way: Vec<&Run> = Vec::new();
        for run in runs.iter() {
            docket.checked(&[Rule::KeyRuns]);
            under_way.retain(|before| end(before, history) > run.start);
            for before in &under_way {
                if !was_cut_off(before, run.start, &history.faults) {
                    let what = format!("{} was under way", shown(before));
                    docket.wrong(Rule::KeyRuns, shown(run), what);
                }
            }
            under_way.push(run);
        }
    }
}

/// When a run was over at the latest that can be told: its own line, the kill of its worker, or the
/// last that was heard of its process.
fn end(run: &Run, history: &History) -> u64 {
    let killed = history
        .faults
        .iter()
        .filter(|fault| fault.fault == KILL && fault.target == run.worker)
        .map(|fault| fault.start)
        .find(|at| *at >= run.start);
    let heard = history.alive.get(&(run.worker.clone(), run.pid)).copied();
    run.end.or(killed).or(heard).unwrap_or(run.start)
}

/// Whether a fault other than a kill hit its worker or the broker between its start and `until`.
fn was_cut_off(run: &Run, until: u64, faults: &[Fault]) -> bool {
    faults.iter().any(|fault| {
        let hits = fault.target == run.worker && fault.fault != KILL;
        (hits || fault.target == BROKER) && fault.start <= until && fault.end >= run.start
    })
}

fn shown(run: &Run) -> String {
    format!(
        "run of {}/{} {} {} delivery {} by {}",
        run.queue, run.id, run.accepted, run.attempt, run.delivery, run.worker
    )
}
