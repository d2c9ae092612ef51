//! The result as tables, sentences and one line of JSON. It rounds nothing to look better.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use invoices::check::Verdict;
use protocol::id::JobId;
use protocol::outcome::Status;

use super::findings::{Findings, JobFacts, Summary};

/// The whole report but the last line.
#[must_use]
pub fn report(found: &Findings, documents_shown: Documents) -> String {
    let mut parts = Vec::new();
    if documents_shown == Documents::Each {
        parts.push(verdicts(found));
    }
    parts.push(markets(found));
    if !found.dead_letters.is_empty() {
        parts.push(dead_letters(found));
    }
    parts.push(figures(&found.summary));
    parts.extend(found.kills.iter().map(|kill| format!("SIGKILL of {kill}")));
    let mut text = parts.join("\n");
    for fault in &found.faults {
        write!(text, "\nFAULT: {fault}").expect("a string takes all");
    }
    text
}

/// Whether each document's verdict is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// A line for each.
    Each,
    /// None of them.
    None,
}

/// The last line.
///
/// # Errors
/// Never: a summary is JSON.
pub fn last_line(summary: &Summary) -> serde_json::Result<String> {
    Ok(format!("SUMMARY {}", serde_json::to_string(summary)?))
}

fn table(head: &[&str], text_columns: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head.to_vec());
    for column in table.column_iter_mut().skip(text_columns) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn verdicts(found: &Findings) -> String {
    let mut table = table(&["document", "market", "verdict", "notes"], 4);
    for (id, job) in &found.jobs {
        let id = JobId::from_encoded(id).map_or_else(|_| id.clone(), |id| id.to_raw());
        let market = job.key.as_deref().unwrap_or("-").to_owned();
        let [verdict, more] = verdict(job);
        table.add_row([id, market, verdict, more]);
    }
    table.to_string()
}

fn verdict(job: &JobFacts) -> [String; 2] {
    let Some(ended) = job.terminal.first() else {
        return ["none".to_owned(), "lost".to_owned()];
    };
    let outcome = &ended.outcome;
    if outcome.status != Status::Completed {
        let error = outcome.error.as_ref();
        return error.map_or_else(
            || [format!("{:?}", outcome.status), String::new()],
            |error| [error.code.clone(), error.message.clone()],
        );
    }
    match serde_json::from_value::<Verdict>(outcome.result.clone()) {
        Ok(verdict) => {
            let notices: Vec<&str> = verdict
                .notices
                .iter()
                .map(|notice| notice.split(':').next().unwrap_or(notice))
                .collect();
            let mut more = format!("{} rules held", verdict.rules);
            if !notices.is_empty() {
                write!(more, "; odd: {}", notices.join(", ")).expect("a string takes all");
            }
            let payable = format!("{:.2} {} payable", verdict.payable, verdict.currency);
            [payable, more]
        }
        Err(error) => ["completed".to_owned(), error.to_string()],
    }
}

fn markets(found: &Findings) -> String {
    let head = [
        "market",
        "accepted",
        "completed",
        "dead letters",
        "runs",
        "most at a time",
    ];
    let mut table = table(&head, 1);
    for (name, market) in &found.markets {
        table.add_row([
            name.clone(),
            market.accepted.to_string(),
            market.completed.to_string(),
            market.discarded.to_string(),
            market.runs.to_string(),
            market.at_once_max.to_string(),
        ]);
    }
    table.to_string()
}

fn dead_letters(found: &Findings) -> String {
    let mut table = table(&["dead letters for", "jobs"], 1);
    for (reason, count) in &found.dead_letters {
        table.add_row([reason.clone(), count.to_string()]);
    }
    table.to_string()
}

fn figures(summary: &Summary) -> String {
    let some = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let rows: [(&str, String); 16] = [
        ("submissions sent", summary.submitted.to_string()),
        ("accepted", summary.accepted.to_string()),
        (
            "refused: the same again",
            summary.duplicates_refused.to_string(),
        ),
        (
            "refused: other content under the same id",
            summary.conflicts_refused.to_string(),
        ),
        ("completed", summary.completed.to_string()),
        ("dead letters", summary.discarded.to_string()),
        ("lost", summary.lost.to_string()),
        ("completed twice", summary.completed_twice.to_string()),
        (
            "handler starts beyond one for each attempt",
            summary.executed_twice.to_string(),
        ),
        (
            "overlapping runs of one market",
            summary.key_overlaps.to_string(),
        ),
        ("leaders killed", summary.leader_kills.to_string()),
        (
            "SIGKILL of the leader to the next one's first work",
            some(summary.failover_ms),
        ),
        (
            "workers killed inside a check",
            summary.worker_kills.to_string(),
        ),
        (
            "SIGKILL of the worker to its job running elsewhere",
            some(summary.rescue_ms),
        ),
        ("jobs a second", format!("{:.1}", summary.jobs_per_second)),
        ("seconds", format!("{:.1}", summary.seconds)),
    ];
    let mut table = table(&["read from the ledger and the workers' logs", ""], 1);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table.to_string()
}
