//! The page of a run: each zero beside the number of things checked, what was done to whom, and one
//! last line for machines.

use std::collections::BTreeMap;

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::json;

use super::arguments::Arguments;
use super::faults::Done;
use super::judge::{Check, Evidence, stragglers};
use super::submitter::Said;

/// What a run came to.
pub struct Verdict {
    /// The promises.
    pub checks: Vec<Check>,
    /// What was done.
    pub faults: Vec<Done>,
    /// How often each fail point was visited.
    pub visits: BTreeMap<String, u64>,
    /// Why it does not count.
    pub invalid: Vec<String>,
    /// Counts for the page.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.checks.iter().all(|check| check.wrong == 0)
    }

    /// What a shell is told: 0 kept, 1 broken, 2 does not count.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.is_kept(), self.invalid.is_empty()) {
            (false, _) => 1,
            (true, false) => 2,
            (true, true) => 0,
        }
    }
}

/// Counts that stand beside the verdict.
#[must_use]
pub fn counts(evidence: &Evidence) -> BTreeMap<&'static str, u64> {
    let said = |look: fn(&Said) -> bool| {
        let all = evidence.history.asked.iter();
        all.filter(|asked| look(&asked.said)).count() as u64
    };
    let again = evidence.runs.iter().filter(|run| run.delivery > 1).count();
    let cancels = evidence.history.cancels.iter().filter(|(_, told)| *told);
    BTreeMap::from([
        ("jobs_accepted", evidence.book.jobs.len() as u64),
        ("submissions", evidence.history.asked.len() as u64),
        (
            "told_accepted",
            said(|said| matches!(said, Said::Accepted(_))),
        ),
        (
            "told_duplicate",
            said(|said| matches!(said, Said::Duplicate(_))),
        ),
        (
            "told_conflict",
            said(|said| matches!(said, Said::Conflict(_))),
        ),
        ("told_taken", said(|said| matches!(said, Said::Taken))),
        (
            "told_not_stored",
            said(|said| matches!(said, Said::NotStored(_))),
        ),
        (
            "told_nothing",
            said(|said| matches!(said, Said::Unknown(_))),
        ),
        ("cancels", cancels.count() as u64),
        ("runs", evidence.runs.len() as u64),
        ("runs_of_redeliveries", again as u64),
        ("stragglers", stragglers(evidence)),
        ("leaders", evidence.book.epochs.len() as u64),
        ("work_sequences", evidence.work_last),
        ("pauses", evidence.pauses.len() as u64),
        ("processes_ended", evidence.ended.len() as u64),
    ])
}

/// Each kind of fault: planned, done, seen to bite.
fn kinds(faults: &[Done]) -> BTreeMap<&'static str, [usize; 3]> {
    let mut kinds: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for fault in faults {
        let counts = kinds.entry(fault.fault.kind()).or_default();
        counts[0] += 1;
        counts[1] += usize::from(fault.was_done());
        counts[2] += usize::from(fault.bit());
    }
    kinds
}

/// The page.
#[must_use]
pub fn report(verdict: &Verdict) -> String {
    let mut promises = Table::new();
    promises.load_style(ASCII_MARKDOWN);
    promises.set_header(["wrong", "of", "what"]);
    for check in &verdict.checks {
        let cells = [
            check.wrong.to_string(),
            check.checked.to_string(),
            check.what.to_owned(),
        ];
        promises.add_row(cells);
    }
    let mut faults = Table::new();
    faults.load_style(ASCII_MARKDOWN);
    faults.set_header(["fault", "planned", "done", "bit"]);
    for (kind, [planned, done, bit]) in kinds(&verdict.faults) {
        let cells = [
            kind.to_owned(),
            planned.to_string(),
            done.to_string(),
            bit.to_string(),
        ];
        faults.add_row(cells);
    }
    let mut page = format!("{promises}\n\n{faults}\n\n");
    for (name, count) in &verdict.counts {
        page += &format!("{name}: {count}\n");
    }
    let visited = verdict.visits.values().filter(|count| **count > 0).count();
    page += &format!("fail points visited: {visited}\n");
    for check in verdict.checks.iter().filter(|check| check.wrong > 0) {
        page += &format!("\nWRONG, {} times: {}\n", check.wrong, check.what);
        for example in &check.examples {
            page += &format!("  {example}\n");
        }
    }
    for why in &verdict.invalid {
        page += &format!("\nThis run does not count. {why}\n");
    }
    page
}

/// One line for machines.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn last_line(arguments: &Arguments, verdict: &Verdict) -> Result<String> {
    let checks: BTreeMap<&str, [usize; 2]> = verdict
        .checks
        .iter()
        .map(|check| (check.name, [check.wrong, check.checked]))
        .collect();
    let done = verdict.faults.iter().filter(|fault| fault.was_done());
    let servers = verdict
        .faults
        .iter()
        .filter(|fault| fault.was_done() && fault.fault.is_of_a_server());
    let bit = verdict.faults.iter().filter(|fault| fault.bit());
    let line = json!({
        "kinds": kinds(&verdict.faults),
        "visits": verdict.visits,
        "invalid": verdict.invalid,
        "steady": arguments.steady,
        "seed": arguments.seed,
        "replicas": arguments.replicas,
        "jobs": arguments.jobs,
        "minutes": arguments.minutes,
        "kept": verdict.is_kept(),
        "valid": verdict.invalid.is_empty(),
        "faults": done.count(),
        "faults_bit": bit.count(),
        "faults_of_servers": servers.count(),
        "fail_points": verdict.visits.len(),
        "checks": checks,
        "counts": verdict.counts,
    });
    Ok(format!("CHAOS {}", serde_json::to_string(&line)?))
}
