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
            printable(&text())
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", out.trim_end())?;
        stdout.flush()?;
        Ok(())
    }

    /// Says something for people, beside the data.
    pub(crate) fn note(self, text: &str) {
        let said = writeln!(std::io::stderr(), "{}", printable(text));
        // Nobody listens; the data and the exit code do not depend on it.
        drop(said);
    }
}

/// What a terminal shows and does not obey: names, alarms and reasons come from whoever may write them.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol.is_control() && symbol != '\n' {
            true => out.extend(symbol.escape_default()),
            false => out.push(symbol),
        }
    }
    out
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

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let text = "a\u{1b}[2J\rb\u{9b}1mc\nd\te";
        let shown = "a\\u{1b}[2J\\rb\\u{9b}1mc\nd\\te";
        assert_eq!(printable(text), shown);
    }
}
