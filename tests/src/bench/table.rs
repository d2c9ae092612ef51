//! The figures as tables. It never rounds a figure to look better: two digits, nothing dropped.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use hdrhistogram::Histogram;

use super::bare::Figures;

/// A Markdown table, as `docs/performance.md` takes it.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(head.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// A row for one run of a flow.
#[must_use]
pub fn flow_row(name: &str, figures: &Figures) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("{:.0}", figures.submits_per_second),
        format!("{:.0}", figures.jobs_per_second),
        milliseconds(&figures.latency, 0.50),
        milliseconds(&figures.latency, 0.99),
    ]
}

/// A quantile of a histogram of microseconds.
#[must_use]
pub fn milliseconds(histogram: &Histogram<u64>, quantile: f64) -> String {
    let us = u32::try_from(histogram.value_at_quantile(quantile)).unwrap_or(u32::MAX);
    format!("{:.2} ms", f64::from(us) / 1000.0)
}
