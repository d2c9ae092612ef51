//! A run of a system before the judge: what the broker holds, what the workers logged, and whatever
//! else the test saw.
//!
//! The judge shares no rule with the coordinators, nor with [`crate::book`].

use std::fmt::Write as _;
use std::fs;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use checker::{Digest, Judge, Report, Rule};
use coordinator::verify::read_back;
use futures::{StreamExt, TryStreamExt};
use nats_config::Role;
use serde_json::{Value, json};

use crate::raw::Message;
use crate::runs;
use crate::system::System;
use crate::work_tap::WorkTap;

/// Submissions under way at a time.
const SUBMITTING: usize = 32;

/// Proves a run that is over: every job has ended, and every worker logged what it ran.
///
/// # Errors
/// What cannot be read, or the whole report if a rule is broken or nothing was there to judge.
pub async fn prove(system: &System) -> Result<Report> {
    let report = judge(system).await?.report();
    hold(report, &[Rule::NothingLost, Rule::Earned, Rule::RunOfJob])
}

/// The same with a tap of all work, and with the history of everybody who submitted.
///
/// # Errors
/// As [`prove`].
pub async fn prove_all(system: &System, tap: &WorkTap, history: &History) -> Result<Report> {
    let mut judge = judge(system).await?;
    let (messages, last) = tap.all().await?;
    judge.tap(messages, last);
    judge.history("the test", &history.text());
    judge.knows_all_submits();
    let all: Vec<Rule> = Rule::ALL
        .into_iter()
        // Nothing was refused, asked of a job, or replayed.
        .filter(|rule| !["A5", "C1", "C2", "C3"].contains(&rule.id()))
        .collect();
    hold(judge.report(), &all)
}

async fn judge(system: &System) -> Result<Judge> {
    let broker = system.broker_of(Role::Coordinator);
    let mut judge = Judge::of_run(broker.subjects().clone());
    read_back(&broker, &mut judge).await?;
    judge.drained();
    for entry in fs::read_dir(system.logs()).context("list the logs of the workers")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).context("read the log of a worker")?;
        judge.history(&path.display().to_string(), &text);
    }
    judge.knows_all_runs();
    Ok(judge)
}

/// A zero counts beside the number of things checked.
fn hold(report: Report, rules: &[Rule]) -> Result<Report> {
    ensure!(report.good, "a promise is broken:\n{report}");
    for rule in rules {
        let checked = report.on(*rule).checked;
        ensure!(checked > 0, "{rule} was not checked:\n{report}");
    }
    Ok(report)
}

/// What a test did and was told, in the form that the judge reads.
#[derive(Default)]
pub struct History {
    lines: Mutex<(u64, String)>,
}

impl History {
    fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.1.clone()
    }

    /// Adds a line, with its number and its time.
    fn says(&self, mut line: Value) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.0 += 1;
        line["n"] = json!(lines.0);
        line["t"] = json!(u64::try_from(runs::now().as_nanos()).unwrap_or(u64::MAX));
        writeln!(lines.1, "{line}").expect("a text takes more text");
    }

    /// A fault starts now (`start`), or ends (`end`).
    pub fn fault(&self, phase: &str, fault: &str, target: &str) {
        let value = json!({"fault": fault, "target": target, "phase": phase});
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let t = u64::try_from(runs::now().as_nanos()).unwrap_or(u64::MAX);
        let line = json!({"t": t, "f": "nemesis", "v": value});
        writeln!(lines.1, "{line}").expect("a text takes more text");
    }

    /// Submits many jobs, and notes what was asked and what was answered.
    ///
    /// # Errors
    /// As [`System::submit`].
    pub async fn submit_all(&self, system: &System, jobs: Vec<Message>) -> Result<()> {
        futures::stream::iter(jobs)
            .map(async |job| self.submit(system, job).await)
            .buffered(SUBMITTING)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn submit(&self, system: &System, job: Message) -> Result<()> {
        let mut tokens = job.subject.splitn(4, '.').skip(2);
        let (queue, id) = (tokens.next(), tokens.next());
        let name = format!("{}/{}", queue.context("a queue")?, id.context("an id")?);
        let op = json!({"p": "test", "inc": "1", "op": name});
        let line = |ty: &str, more: Value| {
            let mut line = op.clone();
            line["ty"] = json!(ty);
            line["v"] = more;
            line
        };
        let mut asked = line("invoke", json!({"digest": Digest::of(&job.payload)}));
        asked["f"] = json!("submit");
        asked["k"] = json!(name);
        self.says(asked);
        let accepted = system.submit(job).await?;
        self.says(line("ok", json!({"accepted": accepted})));
        Ok(())
    }
}
