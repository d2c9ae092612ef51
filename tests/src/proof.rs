//! A run of a system before the judge: what the broker holds, and what the workers logged.
//!
//! The judge shares no rule with the coordinators, nor with [`crate::book`].

use std::fs;

use anyhow::{Context, Result, ensure};
use checker::{Judge, Report, Rule};
use coordinator::verify::read_back;
use nats_config::Role;

use crate::system::System;

/// Proves a run that is over: every job has ended, and every worker logged what it ran.
///
/// # Errors
/// What cannot be read, or the whole report if a rule is broken or nothing was there to judge.
pub async fn prove(system: &System) -> Result<Report> {
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
    let report = judge.report();
    ensure!(report.good, "a promise is broken:\n{report}");
    for rule in [Rule::NothingLost, Rule::Earned, Rule::RunOfJob] {
        ensure!(
            report.on(rule).checked > 0,
            "{rule} was not checked:\n{report}"
        );
    }
    Ok(report)
}
