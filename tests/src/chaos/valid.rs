//! Whether so much happened in a run that its verdict counts, and what was seen of each fault. A run
//! in which nothing bit proves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::arguments::Arguments;
use super::faults::{Done, Fault, Planned, Who};
use super::judge::Evidence;
use super::points;
use super::stage::{LEASE, WORK_LEASE};
use super::submitter::Said;

/// A fault shows so long after its end at the latest.
const SHOWS_WITHIN: Duration = Duration::from_secs(4);
/// No outcome for so long is a stall.
const STALL: Duration = Duration::from_millis(400);

/// When things were seen, since boot, in their order.
pub struct Sightings {
    /// New leaders.
    pub leaders: Vec<Duration>,
    /// Deliveries beyond the first.
    pub redeliveries: Vec<Duration>,
    /// Outcomes on the wire.
    pub outcomes: Vec<Duration>,
    /// Submissions whose answer stayed unknown.
    pub unknown: Vec<Duration>,
}

impl Sightings {
    /// From the evidence of a run and what the wire told.
    #[must_use]
    pub fn new(evidence: &Evidence, redeliveries: Vec<Duration>, outcomes: Vec<Duration>) -> Self {
        let leaders = evidence.book.epochs.iter();
        let leaders =
            leaders.map(|led| Duration::from_nanos(led.stored_ns).saturating_sub(evidence.boot));
        let sorted = |mut all: Vec<Duration>| {
            all.sort_unstable();
            all
        };
        Self {
            leaders: sorted(leaders.collect()),
            redeliveries: sorted(redeliveries),
            outcomes: sorted(outcomes),
            unknown: sorted(evidence.history.unknown_at.clone()),
        }
    }

    /// Adds to a fault what was seen of it.
    pub fn add_to(&self, done: &mut Done) {
        if !done.was_done() {
            return;
        }
        let from = Duration::from_nanos(done.start_ns);
        let to = Duration::from_nanos(done.end_ns) + SHOWS_WITHIN;
        let within = |all: &[Duration], to: Duration| seen(all, from, to).len();
        let (leaders, lost) = (within(&self.leaders, to), within(&self.unknown, to));
        let again = within(&self.redeliveries, to + WORK_LEASE);
        let (of_coordinator, of_worker) = match done.fault {
            Fault::Kill { who, .. }
            | Fault::Stop { who, .. }
            | Fault::Term { who, .. }
            | Fault::Armed { who, .. } => {
                let is_worker = matches!(who, Who::Worker(_));
                (!is_worker, is_worker)
            }
            _ => (false, false),
        };
        let of_server =
            done.fault.is_of_a_server() || matches!(done.fault, Fault::Partition { .. });
        let mut say = |count: usize, what: &str| {
            if count > 0 {
                done.bites.push(format!("{count} {what}"));
            }
        };
        if of_coordinator || of_server {
            say(leaders, "new leaders");
        }
        if of_worker || of_server {
            say(again, "redeliveries");
        }
        if of_server {
            say(lost, "unknown answers");
            let stall = self.longest_stall(from, to);
            if stall >= STALL {
                done.bites.push(format!("no outcome for {stall:?}"));
            }
        }
    }

    fn longest_stall(&self, from: Duration, to: Duration) -> Duration {
        let mut last = from;
        let mut longest = Duration::ZERO;
        for at in seen(&self.outcomes, from, to) {
            longest = longest.max(at.saturating_sub(last));
            last = *at;
        }
        longest.max(to.saturating_sub(last))
    }
}

/// Those from `from` to `to`, of times in their order.
fn seen(all: &[Duration], from: Duration, to: Duration) -> &[Duration] {
    let first = all.partition_point(|at| *at < from);
    let past = all.partition_point(|at| *at <= to);
    all.get(first..past).unwrap_or_default()
}

/// What a run must have had.
pub struct Least {
    /// Jobs.
    pub jobs: u64,
    /// Faults.
    pub faults: u64,
    /// Whether each fail point must have been visited.
    every_point: bool,
    /// Of these, those that should depose a leader.
    depose: u64,
    /// Those after which jobs should be handed out again.
    hand_on: u64,
}

impl Least {
    /// What the arguments and this plan promise.
    #[must_use]
    pub fn of(arguments: &Arguments, plan: &[Planned]) -> Self {
        let count = |look: fn(&Fault) -> bool| {
            let all = plan.iter().filter(|planned| look(&planned.fault));
            all.count() as u64
        };
        Self {
            jobs: arguments.jobs,
            every_point: !arguments.some_points,
            faults: plan.len() as u64,
            depose: count(deposes),
            hand_on: count(hands_on),
        }
    }
}

fn deposes(fault: &Fault) -> bool {
    match fault {
        Fault::Kill { who, .. } | Fault::Term { who, .. } | Fault::Armed { who, .. } => {
            !matches!(who, Who::Worker(_))
        }
        Fault::Stop { who, ms } => *who == Who::Leader && u128::from(*ms) > LEASE.as_millis(),
        _ => false,
    }
}

fn hands_on(fault: &Fault) -> bool {
    match fault {
        Fault::Kill { who, .. } | Fault::Term { who, .. } | Fault::Armed { who, .. } => {
            matches!(who, Who::Worker(_))
        }
        Fault::ServerKill { .. } | Fault::ServersKill { .. } => true,
        _ => false,
    }
}

/// Why the run does not count; empty where it does.
#[must_use]
pub fn invalid(
    evidence: &Evidence,
    faults: &[Done],
    visits: &BTreeMap<String, u64>,
    least: &Least,
) -> Vec<String> {
    let mut why = Vec::new();
    let mut ask = |what: &str, is: u64, least: u64| {
        if is < least {
            why.push(format!("{what}: {is}, at least {least} are needed"));
        }
    };
    let done = faults.iter().filter(|fault| fault.was_done()).count() as u64;
    let bit = faults.iter().filter(|fault| fault.bit()).count() as u64;
    let said = |look: fn(&Said) -> bool| {
        let all = evidence.history.asked.iter();
        all.filter(|asked| look(&asked.said)).count() as u64
    };
    ask(
        "jobs accepted",
        evidence.book.jobs.len() as u64,
        least.jobs * 7 / 10,
    );
    ask("faults done", done, least.faults * 7 / 10);
    ask("faults that bit", bit, least.faults * 4 / 10);
    ask(
        "unknown answers",
        said(|said| matches!(said, Said::Unknown(_))),
        least.jobs / 1_000 + 2,
    );
    ask(
        "repeats told",
        said(|said| matches!(said, Said::Duplicate(_))),
        least.jobs / 100,
    );
    ask(
        "conflicts told",
        said(|said| matches!(said, Said::Conflict(_))),
        least.jobs / 200,
    );
    ask(
        "leaders",
        evidence.book.epochs.len() as u64,
        least.depose / 4 + 1,
    );
    let again = evidence.runs.iter().filter(|run| run.delivery > 1).count() as u64;
    ask("jobs run again", again, least.hand_on / 6);
    let asked = least.every_point && points::are_built();
    for point in points::ALL.into_iter().filter(|_| asked) {
        let visited = visits.get(point).copied().unwrap_or_default();
        ask(&format!("visits of {point}"), visited, 1);
    }
    if !evidence.gaps.is_empty() {
        why.push(format!(
            "the wire does not explain {} of {} sequences of the work queue, such as {:?}",
            evidence.gaps.len(),
            evidence.work_last,
            &evidence.gaps[..evidence.gaps.len().min(5)]
        ));
    }
    why
}
