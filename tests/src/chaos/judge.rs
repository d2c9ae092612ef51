//! Whether a run kept the promises: from what the broker stored, what passed on the wire, what the
//! workers ran and what the submitters were told. All judging of a run stands in this file and in
//! [`crate::book`], so that another checker can take their place. It reads nothing by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use checker::Report;
use serde::Serialize;

use crate::book::{Book, Job};
use crate::runs::Run;

use super::load::{Load, Wanted};
use super::members::Pause;
use super::submitter::{Asked, History, Said};
use super::wire::Stands;

/// A process that was woken is let so long to notice: what it runs meanwhile, it ran before.
const NOTICES_WITHIN: Duration = Duration::from_millis(1_000);

/// Most examples of one kind that are shown.
const EXAMPLES: usize = 5;

/// All that is known of a run.
pub struct Evidence {
    /// The jobs that were submitted.
    pub load: Load,
    /// The ledger, read back at the end.
    pub book: Book,
    /// The ledger as it was seen while it grew: the subject of each sequence.
    pub seen: BTreeMap<u64, String>,
    /// The ledger as it is at the end.
    pub stored: BTreeMap<u64, String>,
    /// What stood in the work queue.
    pub work: BTreeMap<u64, Stands>,
    /// The last sequence of the work queue.
    pub work_last: u64,
    /// The sequences of it that nothing explains.
    pub gaps: Vec<u64>,
    /// The work that is left there.
    pub work_left: Vec<String>,
    /// What the workers ran.
    pub runs: Vec<Run>,
    /// When each process ended at the latest.
    pub ended: BTreeMap<u32, Duration>,
    /// When processes stood still.
    pub pauses: Vec<Pause>,
    /// What the submitters asked and were told.
    pub history: History,
    /// How many servers keep the streams.
    pub servers: u8,
    /// What no fault explains.
    pub processes: Vec<String>,
    /// What the checker says of the same streams: it shares no rule with this judge, either.
    pub checker: Report,
    /// The moment of boot, since 1970.
    pub boot: Duration,
}

/// One promise, and what was checked of it.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name in the last line.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// How many things were looked at.
    pub checked: usize,
    /// How many of them broke it.
    pub wrong: usize,
    /// Some of those.
    pub examples: Vec<String>,
}

pub(super) struct Checking {
    check: Check,
}

impl Checking {
    pub(super) fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            check: Check {
                name,
                what,
                checked: 0,
                wrong: 0,
                examples: Vec::new(),
            },
        }
    }

    pub(super) fn look(&mut self, good: bool, text: impl FnOnce() -> String) {
        self.check.checked += 1;
        if !good {
            self.bad(text());
        }
    }

    pub(super) fn done(self) -> Check {
        self.check
    }

    fn bad(&mut self, text: String) {
        self.check.wrong += 1;
        if self.check.examples.len() < EXAMPLES {
            self.check.examples.push(text);
        }
    }
}

/// Checks everything.
#[must_use]
pub fn judge(evidence: &Evidence) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(submissions(evidence));
    checks.extend(ends(evidence));
    checks.push(nothing_vanished(evidence));
    checks.push(fences(evidence));
    checks.push(dispatches(evidence));
    checks.extend(keys(evidence));
    let mut own = Checking::new(
        "processes",
        "processes that ended by themselves or panicked",
    );
    own.check.checked = evidence.ended.len();
    for text in &evidence.processes {
        own.bad(text.clone());
    }
    checks.push(own);
    checks.push(second_opinion(&evidence.checker));
    checks.into_iter().map(Checking::done).collect()
}

/// The checker's rules, all in one.
fn second_opinion(report: &Report) -> Checking {
    let mut check = Checking::new("checker", "violations of the checker's rules");
    for verdict in &report.verdicts {
        check.check.checked += usize::try_from(verdict.checked).unwrap_or(usize::MAX);
        check.check.wrong += usize::try_from(verdict.violations).unwrap_or(usize::MAX);
        let shown = verdict.shown.iter().take(EXAMPLES);
        let texts = shown.map(|one| format!("{} {}: {}", verdict.rule, one.place, one.what));
        check.check.examples.extend(texts);
    }
    check
}

fn number(id: &str) -> Option<u64> {
    id.strip_prefix('j')?.parse().ok()
}

/// Every answer to a submission fits the ledger, and nothing else is in it.
fn submissions(evidence: &Evidence) -> Vec<Checking> {
    let mut lost = Checking::new("accepted_and_lost", "answers that the ledger contradicts");
    let mut twice = Checking::new("accepted_twice", "ids accepted more than once");
    let mut phantom = Checking::new("phantoms", "jobs that nobody submitted so");
    let mut denied = Checking::new("wrongly_denied", "answered as not stored, and stored by it");
    let mut undecided = Checking::new("undecided", "unknown answers that the ledger leaves open");
    let mut asked: BTreeMap<u64, Vec<&Asked>> = BTreeMap::new();
    for one in &evidence.history.asked {
        asked.entry(one.n).or_default().push(one);
    }
    let mut held: BTreeMap<u64, Vec<(u64, &Job)>> = BTreeMap::new();
    for (accepted, job) in &evidence.book.jobs {
        let own = number(&job.id);
        let submitted = own.and_then(|n| asked.get(&n));
        let payload = String::from_utf8_lossy(&job.payload);
        let ours = own.is_some_and(|n| {
            let wanted = evidence.load.wanted(n);
            let known = submitted.into_iter().flatten();
            known
                .into_iter()
                .any(|one| wanted.payload(one.is_other) == payload)
                && wanted.key == job.key
        });
        phantom.look(ours, || format!("{accepted} {}: {payload}", job.id));
        held.entry(own.unwrap_or(u64::MAX))
            .or_default()
            .push((*accepted, job));
    }
    for (n, all) in &asked {
        let (wanted, none) = (evidence.load.wanted(*n), Vec::new());
        let there = held.get(n).unwrap_or(&none);
        twice.look(there.len() <= 1, || format!("{}: {there:?}", wanted.id));
        let there = there.first().copied();
        for one in all {
            let fits = fits(one, &wanted, there);
            match &one.said {
                Said::NotStored(_) => {
                    // Somebody else's equal submission may have stored it.
                    let alone = all
                        .iter()
                        .all(|other| matches!(other.said, Said::NotStored(_)));
                    denied.look(there.is_none() || !alone, || format!("{one:?}: {there:?}"));
                }
                Said::Unknown(_) => undecided.look(true, String::new),
                // A server that is cut off from others refuses a repeat of what it has not committed,
                // and may never commit it: the refusal alone promises nothing there.
                Said::Taken if there.is_none() && evidence.servers > 1 => {
                    let unknown = |other: &&Asked| matches!(other.said, Said::Unknown(_));
                    lost.look(all.iter().any(unknown), || format!("{one:?}: {all:?}"));
                }
                Said::Accepted(_) | Said::Duplicate(_) | Said::Conflict(_) | Said::Taken => {
                    lost.look(fits, || format!("{one:?}: {there:?}"));
                }
            }
        }
    }
    vec![lost, twice, phantom, denied, undecided]
}

fn fits(one: &Asked, wanted: &Wanted, there: Option<(u64, &Job)>) -> bool {
    let Some((number, job)) = there else {
        return false;
    };
    let same = job.payload == wanted.payload(one.is_other).as_bytes();
    match one.said {
        Said::Accepted(said) | Said::Duplicate(said) => said == number && same,
        Said::Conflict(said) => said == number && !same,
        Said::Taken => true,
        Said::NotStored(_) | Said::Unknown(_) => false,
    }
}

/// Every accepted job has ended, once, as it was asked for.
fn ends(evidence: &Evidence) -> Vec<Checking> {
    let mut open = Checking::new("lost", "accepted jobs that did not end");
    let mut twice = Checking::new(
        "recorded_twice",
        "outcomes beside another of the same attempt",
    );
    let mut odd = Checking::new("wrong_end", "jobs that ended as nobody asked for");
    let mut unrun = Checking::new("not_run", "completed attempts that no worker ran");
    let mut rules = Checking::new("ledger_rules", "records that no rule allows");
    let ran: BTreeSet<(u64, u64)> = evidence
        .runs
        .iter()
        .map(|run| (run.accepted, run.attempt))
        .collect();
    for (accepted, job) in &evidence.book.jobs {
        let place = || format!("{accepted} {}: {:?}", job.id, job.outcomes);
        open.look(job.end().is_some(), place);
        let mut attempts = BTreeSet::new();
        for outcome in &job.outcomes {
            twice.look(attempts.insert(outcome.attempt), place);
            if outcome.status == "completed" {
                let known = ran.contains(&(*accepted, outcome.attempt));
                unrun.look(known, || format!("{accepted} {}: {outcome:?}", job.id));
            }
        }
        if let (Some(end), Some(n)) = (job.end(), number(&job.id)) {
            let fits = end_fits(&evidence.load.wanted(n), job, end);
            odd.look(fits, || {
                format!("{}: {}", place(), String::from_utf8_lossy(&job.payload))
            });
        }
    }
    rules.check.checked = usize::try_from(evidence.book.last).unwrap_or(usize::MAX);
    for text in &evidence.book.wrong {
        rules.bad(text.clone());
    }
    let mut left = Checking::new("work_left", "work messages that were left");
    left.check.checked = evidence.work.len();
    for subject in &evidence.work_left {
        left.bad(subject.clone());
    }
    vec![open, twice, odd, unrun, rules, left]
}

fn end_fits(wanted: &Wanted, job: &Job, end: &str) -> bool {
    let payload = String::from_utf8_lossy(&job.payload);
    let does = |what: &str| payload.contains(&format!(r#""do":"{what}""#));
    let cancelled = wanted.cancel_after.is_some() && end == "cancelled";
    let expired = wanted.expires_after.is_some() && end == "expired";
    let gives_up = job.code() == Some("handed-out-too-often");
    let natural = match end {
        "completed" => does("work") || does("fail-once"),
        "discarded" => does("fail") || does("permanent") || does("panic") || gives_up,
        _ => false,
    };
    cancelled || expired || natural
}

/// What was once seen in the ledger is still there.
fn nothing_vanished(evidence: &Evidence) -> Checking {
    let mut check = Checking::new("vanished", "records that were seen and are gone or changed");
    for (sequence, subject) in &evidence.seen {
        let now = evidence.stored.get(sequence);
        check.look(now == Some(subject), || {
            format!("{sequence} {subject}: now {now:?}")
        });
    }
    check
}

/// After a newer leader's fence stands no work of an older one.
fn fences(evidence: &Evidence) -> Checking {
    let mut check = Checking::new("fence_breaches", "work behind the fence of a newer leader");
    let mut newest = 0;
    for (sequence, stands) in &evidence.work {
        match stands {
            Stands::Fence { epoch, .. } => {
                check.look(*epoch > newest, || {
                    format!("fence {epoch} at {sequence} after {newest}")
                });
                newest = newest.max(*epoch);
            }
            Stands::Work { subject, epoch, .. } => {
                check.look(*epoch >= newest, || {
                    format!("{subject} of {epoch} at {sequence} behind the fence of {newest}")
                });
            }
        }
    }
    check
}

/// The parts of a work subject that name an attempt.
fn attempt(subject: &str) -> Option<(u64, u64)> {
    let mut tokens = subject.split('.').skip(3);
    Some((tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?))
}

/// An attempt is not dispatched again after its outcome, and none before the outcome of the one
/// before it.
fn dispatches(evidence: &Evidence) -> Checking {
    let mut check = Checking::new(
        "late_dispatches",
        "attempts dispatched beside their outcomes",
    );
    for (sequence, stands) in &evidence.work {
        let Stands::Work {
            subject, stored_ns, ..
        } = stands
        else {
            continue;
        };
        let Some((accepted, attempt)) = attempt(subject) else {
            check.look(false, || format!("{sequence} {subject}"));
            continue;
        };
        let Some(job) = evidence.book.jobs.get(&accepted) else {
            check.look(false, || format!("{sequence} {subject}: no such job"));
            continue;
        };
        let known = |attempt| job.outcomes.iter().find(move |one| one.attempt == attempt);
        let Some(at) = stored_ns else { continue };
        let own = known(attempt).is_none_or(|outcome| outcome.stored_ns >= *at);
        let before = attempt == 1 || known(attempt - 1).is_some_and(|one| one.stored_ns <= *at);
        check.look(own && before, || {
            format!("{sequence} {subject}: {:?}", job.outcomes)
        });
    }
    check
}

/// One at a time of each key: of what is outstanding, and of what runs.
fn keys(evidence: &Evidence) -> Vec<Checking> {
    let mut outstanding = Checking::new(
        "keys_outstanding",
        "jobs dispatched beside another of their key",
    );
    let mut of_key: BTreeMap<&str, Vec<(u64, u64, &str)>> = BTreeMap::new();
    for stands in evidence.work.values() {
        if let Stands::Work {
            subject,
            stored_ns: Some(stored),
            key: Some(key),
            ..
        } = stands
        {
            let end = attempt(subject).and_then(|(accepted, attempt)| {
                let job = evidence.book.jobs.get(&accepted)?;
                let outcome = job.outcomes.iter().find(|one| one.attempt == attempt)?;
                Some(outcome.stored_ns)
            });
            let all = of_key.entry(key).or_default();
            all.push((*stored, end.unwrap_or(u64::MAX), subject));
        }
    }
    for (key, mut all) in of_key {
        all.sort_unstable();
        for pair in all.windows(2) {
            let apart = pair[0].1 <= pair[1].0 || pair[0].2 == pair[1].2;
            outstanding.look(apart, || format!("{key}: {pair:?}"));
        }
    }
    vec![outstanding, overlaps(evidence)]
}

/// When the outcome of a run's attempt was stored, since boot.
fn recorded(evidence: &Evidence, run: &Run) -> Duration {
    let job = evidence.book.jobs.get(&run.accepted);
    let outcome = job.and_then(|job| {
        let mut outcomes = job.outcomes.iter();
        outcomes.find(|outcome| outcome.attempt == run.attempt)
    });
    outcome.map_or(Duration::MAX, |outcome| {
        Duration::from_nanos(outcome.stored_ns).saturating_sub(evidence.boot)
    })
}

/// Runs that went on after another run of their attempt was recorded.
#[must_use]
pub fn stragglers(evidence: &Evidence) -> u64 {
    let all = evidence.runs.iter();
    let late = all.filter(|run| run.end.is_some_and(|end| end > recorded(evidence, run)));
    late.count() as u64
}

fn overlaps(evidence: &Evidence) -> Checking {
    let mut check = Checking::new("key_overlaps", "runs beside another run of their key");
    let mut of_key: BTreeMap<&str, Vec<(Duration, Duration, &Run)>> = BTreeMap::new();
    for run in &evidence.runs {
        if let Some(key) = run.key.as_deref() {
            let all = of_key.entry(key).or_default();
            all.extend(stretches(evidence, run).map(|(from, to)| (from, to, run)));
        }
    }
    for all in of_key.values_mut() {
        all.sort_by_key(|(from, ..)| *from);
        let mut last: Option<&(Duration, Duration, &Run)> = None;
        for next in all.iter() {
            let clash = last.filter(|last| last.1 > next.0 && !std::ptr::eq(last.2, next.2));
            check.look(clash.is_none(), || {
                format!("{:?}\nbeside {:?}", clash.map(|c| c.2), next.2)
            });
            if last.is_none_or(|last| last.1 < next.1) {
                last = Some(next);
            }
        }
    }
    check
}

/// When a run was under way: not while its process stood still, nor until it could notice, and no
/// longer than until its attempt's outcome was recorded. What runs after that is a straggler, whose
/// token is older than that of whoever comes next.
fn stretches<'a>(
    evidence: &'a Evidence,
    run: &'a Run,
) -> impl Iterator<Item = (Duration, Duration)> + 'a {
    let end = run.end.or_else(|| evidence.ended.get(&run.pid).copied());
    let end = end.unwrap_or(Duration::MAX).min(recorded(evidence, run));
    let mut pauses: Vec<&Pause> = evidence
        .pauses
        .iter()
        .filter(|pause| pause.pid == run.pid && pause.from < end && pause.until > run.start)
        .collect();
    pauses.sort_by_key(|pause| pause.from);
    let mut from = run.start;
    let mut all = Vec::new();
    for pause in pauses {
        all.push((from, pause.from.min(end)));
        from = pause.until + NOTICES_WITHIN;
    }
    all.push((from, end));
    all.into_iter().filter(|(from, to)| from < to)
}
