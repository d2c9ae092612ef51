//! What commands print: data on stdout as text, table or JSON; all else on stderr.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::exit::Failure;

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(global: &super::Global) -> Self {
        Self { json: global.json }
    }

    /// Prints `value` as JSON if that was asked for, else the lines of `text`.
    pub(crate) fn data(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let out = if self.json {
            serde_json::to_string(value)
                .map_err(|error| Failure::failed(format!("write JSON: {error}")))?
        } else {
            text()
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", out.trim_end())?;
        stdout.flush()?;
        Ok(())
    }

    /// Says something for people, beside the data.
    pub(crate) fn note(self, text: &str) {
        let said = writeln!(std::io::stderr(), "{text}");
        // Nobody listens; the data and the exit code do not depend on it.
        drop(said);
    }
}

/// A table with these headings, as wide as its content: lines are never broken, so that a pipe
/// sees what a terminal shows.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings.iter().copied());
    table
}
