//! `coordinator status`: one screen of what all coordinators see.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::roll_call::{GATHER, leader, roll_call};
use protocol::message::{CoordinatorStatus, QueueStatus};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output::{printable, table};
use super::{Global, Session};

#[derive(Serialize)]
struct Shown<'a> {
    healthy: bool,
    leader: Option<&'a str>,
    coordinators: &'a [CoordinatorStatus],
}

pub(crate) async fn status(global: Global) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let broker = &session.broker;
    let answers = roll_call(broker.client(), broker.subjects(), GATHER).await?;
    let leader = leader(&answers);
    let shown = Shown {
        healthy: leader.is_some(),
        leader: leader.map(|status| status.coordinator.as_str()),
        coordinators: &answers,
    };
    session.output.data(&shown, || page(&answers))?;
    match leader {
        Some(_) => Ok(Exit::Done),
        None if answers.is_empty() => Err(Failure::new(
            Exit::Unreachable,
            "no coordinator answers: start one with `coordinator run`, or check --namespace and the server",
        )),
        None => Err(Failure::new(
            Exit::Unreachable,
            "no coordinator leads now: jobs are accepted and wait; look at the coordinators' logs if this stays",
        )),
    }
}

/// What is printed of these answers, whatever they hold.
#[must_use]
pub fn page(answers: &[CoordinatorStatus]) -> String {
    printable(&screen(answers, leader(answers)))
}

fn screen(answers: &[CoordinatorStatus], leader: Option<&CoordinatorStatus>) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        writeln!(out, "{text}").expect("a text takes more text");
    };
    line(match leader {
        Some(status) => {
            let epoch = status
                .epoch
                .map_or_else(String::new, |epoch| format!(" in epoch {}", epoch.get()));
            format!(
                "{} leads{epoch}, the door is {}; {} jobs wait, {} are dispatched; {} workers with {} slots",
                status.coordinator,
                status.door,
                sum(status, |queue| queue.waiting),
                sum(status, |queue| queue.dispatched),
                status.workers.len(),
                sum(status, |queue| queue.slots),
            )
        }
        None => "nobody leads".to_owned(),
    });
    if answers.is_empty() {
        return out;
    }
    line(coordinators(answers));
    // The leader knows more than a follower: what is dispatched.
    let best = leader.or_else(|| answers.iter().max_by_key(|status| status.folded));
    if let Some(status) = best {
        line(queues(status));
    }
    for status in answers {
        for (what, counts) in [
            ("ignored", &status.ignored_by),
            ("refused", &status.refused),
        ] {
            if !counts.is_empty() {
                line(format!("{} {what} {}", status.coordinator, list(counts)));
            }
        }
        for alarm in &status.alarms {
            line(format!("ALARM from {}: {alarm}", status.coordinator));
        }
    }
    out
}

/// Such as `2 early-outcome, 1 job`.
fn list(counts: &BTreeMap<String, u64>) -> String {
    let each: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    each.join(", ")
}

fn sum(status: &CoordinatorStatus, count: impl Fn(&QueueStatus) -> u64) -> u64 {
    // The numbers are another's word: no sum of them may end the command.
    let counts = status.queues.values().map(count);
    counts.fold(0, u64::saturating_add)
}

fn coordinators(answers: &[CoordinatorStatus]) -> String {
    let mut rows = table(&[
        "coordinator",
        "role",
        "epoch",
        "folded",
        "workers",
        "ignored",
        "version",
    ]);
    for status in answers {
        rows.add_row([
            status.coordinator.clone(),
            status.role.clone(),
            status
                .epoch
                .map_or_else(String::new, |epoch| epoch.get().to_string()),
            status.folded.get().to_string(),
            status.workers.len().to_string(),
            status.ignored.to_string(),
            status.version.clone(),
        ]);
    }
    rows.to_string()
}

fn queues(status: &CoordinatorStatus) -> String {
    if status.queues.is_empty() {
        return "no queues: `coordinator queue add NAME` makes one".to_owned();
    }
    let mut rows = table(&[
        "queue",
        "waiting",
        "dispatched",
        "completed",
        "discarded",
        "cancelled",
        "expired",
        "slots",
        "needs",
    ]);
    for (name, queue) in &status.queues {
        let mut needs = Vec::new();
        if queue.unconfigured > 0 {
            needs.push(format!(
                "`queue add {name}` for {} jobs",
                queue.unconfigured
            ));
        }
        if queue.parked > 0 {
            needs.push(format!("newer coordinators for {} jobs", queue.parked));
        }
        if !queue.kinds_without_worker.is_empty() {
            let kinds: Vec<&str> = queue
                .kinds_without_worker
                .iter()
                .map(|kind| kind.as_str())
                .collect();
            needs.push(format!("a worker for {}", kinds.join(", ")));
        }
        rows.add_row([
            name.clone(),
            queue.waiting.to_string(),
            queue.dispatched.to_string(),
            queue.completed.to_string(),
            queue.discarded.to_string(),
            queue.cancelled.to_string(),
            queue.expired.to_string(),
            queue.slots.to_string(),
            needs.join("; "),
        ]);
    }
    rows.to_string()
}
