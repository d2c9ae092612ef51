//! Accepted once, never lost, one terminal outcome: from the ledger and from what was sent.

use std::collections::{BTreeMap, HashMap};

use invoices::check::Verdict;
use invoices::generate::Expected;
use protocol::config::QueueConfig;
use protocol::outcome::{Outcome, Status};

use super::Findings;
use crate::demo::evidence::{Evidence, Told};
use crate::demo::records::What;

/// Faults of one sort that are told one by one.
const TOLD_MAX: usize = 5;

/// What the ledger says of one job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFacts {
    /// Its key.
    pub key: Option<String>,
    /// How often the ledger accepted it.
    pub submissions: usize,
    content: u64,
    /// Terminal outcomes.
    pub terminal: Vec<Ended>,
}

/// A terminal outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// When the broker stored it, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it says.
    pub outcome: Outcome,
}

pub(super) fn judge(evidence: &Evidence, found: &mut Findings) {
    let mut faults = Faults::default();
    collect(evidence, found, &mut faults);
    count(found, &mut faults);
    span(evidence, found);
    compare_sent(evidence, found, &mut faults);
    compare_expected(evidence, found, &mut faults);
    found.faults.extend(faults.told());
}

fn collect(evidence: &Evidence, found: &mut Findings, faults: &mut Faults) {
    for record in &evidence.records {
        match &record.what {
            What::Submitted { id, key, content } => {
                let job = found.jobs.entry(id.clone()).or_default();
                if job.submissions == 0 {
                    (job.key, job.content) = (key.clone(), *content);
                }
                job.submissions += 1;
                found.summary.accepted += 1;
            }
            What::Outcome {
                id,
                attempt,
                outcome,
                ..
            } => match (outcome, found.jobs.get_mut(id)) {
                (Err(why), _) => faults.add("outcomes cannot be read", format!("{id}: {why}")),
                (Ok(_), None) => faults.add("outcomes without a job", id.clone()),
                (Ok(outcome), Some(job)) if is_terminal(outcome, *attempt) => {
                    job.terminal.push(Ended {
                        at_ms: record.at_ms,
                        outcome: outcome.clone(),
                    });
                }
                (Ok(_), Some(job)) if job.terminal.is_empty() => {}
                (Ok(_), Some(_)) => faults.add("outcomes after the terminal one", id.clone()),
            },
            What::Epoch { .. } | What::Other => {}
        }
    }
}

/// Whether no attempt may follow. The jobs of a demo have the attempts that a queue gives them.
fn is_terminal(outcome: &Outcome, attempt: u64) -> bool {
    match outcome.status {
        Status::Completed | Status::Cancelled | Status::Expired | Status::Discarded => true,
        Status::Failed => {
            let permanent = outcome.error.as_ref().is_some_and(|error| error.permanent);
            permanent || attempt >= u64::from(QueueConfig::default().max_attempts)
        }
    }
}

fn count(found: &mut Findings, faults: &mut Faults) {
    let summary = &mut found.summary;
    for (id, job) in &found.jobs {
        let market = job.key.as_deref().unwrap_or("-").to_owned();
        let market = found.markets.entry(market).or_default();
        market.accepted += 1;
        if job.submissions > 1 {
            faults.add("ids were accepted more than once", id.clone());
        }
        summary.completed_twice += job.terminal.len().saturating_sub(1);
        let Some(ended) = job.terminal.first() else {
            summary.lost += 1;
            faults.add("jobs have no terminal outcome", id.clone());
            continue;
        };
        match (ended.outcome.status, &ended.outcome.error) {
            (Status::Completed, _) => {
                summary.completed += 1;
                market.completed += 1;
            }
            (Status::Failed | Status::Discarded, error) => {
                summary.discarded += 1;
                market.discarded += 1;
                let reason = error.as_ref().map_or("no reason", |error| &error.code);
                *found.dead_letters.entry(reason.to_owned()).or_default() += 1;
            }
            (status @ (Status::Cancelled | Status::Expired), _) => {
                faults.add(
                    "jobs ended though nobody asked",
                    format!("{id}: {status:?}"),
                );
            }
        }
    }
}

fn span(evidence: &Evidence, found: &mut Findings) {
    let first = evidence
        .records
        .iter()
        .find(|record| matches!(record.what, What::Submitted { .. }))
        .map_or(0, |record| record.at_ms);
    let ends = found.jobs.values().flat_map(|job| job.terminal.first());
    let last = ends.map(|ended| ended.at_ms).max().unwrap_or(first);
    let finished = found.summary.completed + found.summary.discarded;
    let (ms, finished) = (
        u32::try_from(last.saturating_sub(first)).unwrap_or(u32::MAX),
        u32::try_from(finished).unwrap_or(u32::MAX),
    );
    let seconds = f64::from(ms) / 1_000.0;
    found.summary.seconds = seconds;
    if ms > 0 {
        let per_second = f64::from(finished) / seconds;
        found.summary.jobs_per_second = (per_second * 10.0).round() / 10.0;
    }
}

/// Every submission that is not in the ledger was refused, and its sender was told why.
fn compare_sent(evidence: &Evidence, found: &mut Findings, faults: &mut Faults) {
    found.summary.submitted = evidence.sent.len();
    let mut in_ledger: HashMap<&str, usize> = HashMap::new();
    for sent in &evidence.sent {
        if let Told::Failed(why) = &sent.told {
            faults.add("submissions failed", format!("{}: {why}", sent.id));
        }
        let Some(job) = found.jobs.get(&sent.id) else {
            if !matches!(sent.told, Told::Failed(_)) {
                found.summary.lost += 1;
                faults.add("submissions are not in the ledger", sent.id.clone());
            }
            continue;
        };
        let seen = in_ledger.entry(&sent.id).or_default();
        let same = sent.content == job.content;
        *seen += usize::from(same);
        let fits = match (same, *seen) {
            (true, 1) => matches!(sent.told, Told::Accepted),
            (true, _) => {
                found.summary.duplicates_refused += 1;
                matches!(sent.told, Told::Duplicate)
            }
            (false, _) => {
                found.summary.conflicts_refused += 1;
                matches!(sent.told, Told::Conflict)
            }
        };
        if !fits {
            let told = format!("{}: {:?}", sent.id, sent.told);
            faults.add("submitters were told what the ledger does not say", told);
        }
    }
    let strangers = found
        .jobs
        .keys()
        .filter(|id| !in_ledger.contains_key(id.as_str()));
    for id in strangers {
        faults.add("jobs that nobody submitted are in the ledger", id.clone());
    }
}

fn compare_expected(evidence: &Evidence, found: &Findings, faults: &mut Faults) {
    for (id, expected) in &evidence.expected {
        let ended = found.jobs.get(id).and_then(|job| job.terminal.first());
        let Some(Ended { outcome, .. }) = ended else {
            continue;
        };
        let verdict: Option<Verdict> = serde_json::from_value(outcome.result.clone()).ok();
        let right = match expected {
            Expected::Payable(amount) => {
                verdict.is_some_and(|verdict| verdict.payable == *amount)
                    && outcome.status == Status::Completed
            }
            Expected::Broken(rule) => outcome
                .error
                .as_ref()
                .is_some_and(|error| error.code == *rule && error.permanent),
        };
        if !right {
            let what = format!("{id}: expected {expected:?}, found {outcome:?}");
            faults.add("verdicts are wrong", what);
        }
    }
}

/// What does not fit, by sort, so that a thousand of a sort stay readable.
#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<&'static str, Vec<String>>);

impl Faults {
    pub(super) fn add(&mut self, sort: &'static str, what: String) {
        self.0.entry(sort).or_default().push(what);
    }

    /// A sentence for each sort.
    pub(super) fn told(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(sort, all)| {
            let more = match all.len().saturating_sub(TOLD_MAX) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            let shown: Vec<String> = all.iter().take(TOLD_MAX).cloned().collect();
            format!("{} {sort}: {}{more}", all.len(), shown.join("; "))
        })
    }
}
