//! What the evidence says: each promise counted from the records, and every way in which they do not
//! fit together named. Pure: it asks nobody, and believes no counter of the run.

mod jobs;
mod kills;
mod overlaps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence::Evidence;
use super::runs::{Run, runs};
pub use jobs::{Ended, JobFacts};

/// The last line of a demo.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Submissions that were sent, repeats included.
    pub submitted: usize,
    /// Submissions in the ledger.
    pub accepted: usize,
    /// Repeats with the same content, which the ledger does not hold.
    pub duplicates_refused: usize,
    /// Repeats with other content, which the ledger does not hold.
    pub conflicts_refused: usize,
    /// Jobs whose outcome is completed.
    pub completed: usize,
    /// Dead letters.
    pub discarded: usize,
    /// Accepted jobs without a terminal outcome, and acceptances that the ledger does not hold.
    pub lost: usize,
    /// Terminal outcomes beyond one for each id.
    pub completed_twice: usize,
    /// Handler starts beyond one for each attempt.
    pub executed_twice: usize,
    /// Pairs of neighbouring runs of one key that overlap in time.
    pub key_overlaps: usize,
    /// Kills of the leader between 20 % and 80 % of the jobs, with jobs outstanding.
    pub leader_kills: usize,
    /// From SIGKILL of the leader to the new leader's first work; the longest.
    pub failover_ms: Option<u64>,
    /// Kills of a worker inside a handler, between 20 % and 80 % of the jobs.
    pub worker_kills: usize,
    /// From SIGKILL of a worker to the start of its job elsewhere; the longest.
    pub rescue_ms: Option<u64>,
    /// Finished jobs by the seconds.
    pub jobs_per_second: f64,
    /// From the first acceptance to the last terminal outcome.
    pub seconds: f64,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// The figures.
    pub summary: Summary,
    /// Each market, and `-` for jobs without one.
    pub markets: BTreeMap<String, Market>,
    /// How many dead letters there are for each reason.
    pub dead_letters: BTreeMap<String, usize>,
    /// Each job by its id.
    pub jobs: BTreeMap<String, JobFacts>,
    /// What each kill met, in sentences.
    pub kills: Vec<String>,
    /// What does not fit together, in sentences. Empty is well.
    pub faults: Vec<String>,
}

/// One market.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Market {
    /// Jobs accepted.
    pub accepted: usize,
    /// Jobs completed.
    pub completed: usize,
    /// Dead letters.
    pub discarded: usize,
    /// Handler starts.
    pub runs: usize,
    /// Most of its runs at one time.
    pub at_once_max: usize,
}

impl Findings {
    /// Whether the demo has shown what it is for.
    #[must_use]
    pub fn shown(&self) -> bool {
        let Summary {
            lost,
            completed_twice,
            key_overlaps,
            leader_kills,
            worker_kills,
            failover_ms,
            rescue_ms,
            ..
        } = self.summary;
        lost == 0
            && completed_twice == 0
            && key_overlaps == 0
            && leader_kills > 0
            && worker_kills > 0
            && failover_ms.is_some()
            && rescue_ms.is_some()
            && self.faults.is_empty()
    }
}

/// Judges the evidence.
#[must_use]
pub fn findings(evidence: &Evidence) -> Findings {
    let runs = runs(&evidence.lines);
    let mut found = Findings {
        faults: evidence.accidents.clone(),
        ..Findings::default()
    };
    jobs::judge(evidence, &mut found);
    overlaps::judge(evidence, &runs, &mut found);
    kills::judge(evidence, &runs, &mut found);
    if !evidence.work_left.is_empty() {
        found.faults.push(format!(
            "the work queue still holds {} messages, such as {}",
            evidence.work_left.len(),
            evidence.work_left[0]
        ));
    }
    found
}

/// When a run was over: at its end, else at the kill of its worker. `None`: nobody knows.
fn over(run: &Run, evidence: &Evidence) -> Option<u64> {
    run.end.or_else(|| kills::of_process(evidence, run.pid))
}
