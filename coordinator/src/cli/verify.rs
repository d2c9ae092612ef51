//! `coordinator verify`: a table of what is promised, how often it was checked, and what broke it.

use std::fmt::Write;

use crate::verify::{self, Expect};
use checker::{Figures, Report, Rule, Violation};

use super::exit::{Exit, Failure};
use super::output::table;
use super::{Global, Session};

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArguments {
    /// Every job must have ended, and the work queue be empty.
    #[arg(long)]
    drained: bool,
}

pub(crate) async fn verify(global: Global, arguments: VerifyArguments) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let expect = match arguments.drained {
        true => Expect::Drained,
        false => Expect::Anything,
    };
    let report = verify::verify(&session.broker, expect).await?;
    session.output.data(&report, || screen(&report))?;
    if report.good {
        return Ok(Exit::Done);
    }
    let broken: Vec<&str> = report.broken().iter().map(|rule| rule.id()).collect();
    Err(Failure::failed(format!(
        "the ledger breaks {}: see what wrote these records before anything is changed",
        broken.join(", ")
    )))
}

fn screen(report: &Report) -> String {
    let mut rows = table(&["rule", "invariant", "checked", "violations"]);
    let judged = report.verdicts.iter().filter(|verdict| verdict.checked > 0);
    for verdict in judged {
        rows.add_row([
            verdict.rule.id().to_owned(),
            verdict.title.to_owned(),
            verdict.checked.to_string(),
            verdict.violations.to_string(),
        ]);
    }
    let mut out = format!("{rows}\n{}\n", figures(&report.figures));
    let mut line = |text: String| writeln!(out, "{text}").expect("a text takes more text");
    for verdict in &report.verdicts {
        for Violation { place, what } in &verdict.shown {
            line(format!("{} broken: {place}: {what}", verdict.rule));
        }
        let more = verdict.violations - verdict.shown.len() as u64;
        if more > 0 {
            line(format!("{} broken: {more} times more", verdict.rule));
        }
    }
    let absent: Vec<&str> = report
        .verdicts
        .iter()
        .filter(|verdict| verdict.checked == 0)
        .map(|verdict| Rule::id(verdict.rule))
        .collect();
    line(format!(
        "not checked, for want of anything to check: {}",
        absent.join(" ")
    ));
    out
}

fn figures(figures: &Figures) -> String {
    let ended = figures.completed + figures.cancelled + figures.expired + figures.discarded;
    format!(
        "{} records: {} jobs, {ended} ended ({} completed, {} cancelled, {} expired, {} discarded), {} open, {} of a newer version; {} outcomes, {} epochs; {} work messages, {} of them await their ack",
        figures.records,
        figures.jobs,
        figures.completed,
        figures.cancelled,
        figures.expired,
        figures.discarded,
        figures.open,
        figures.newer,
        figures.outcomes,
        figures.epochs,
        figures.work,
        figures.awaiting_ack,
    )
}
