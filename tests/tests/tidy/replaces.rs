//! The page for who moves here from one of three known systems: no row is missing, each test that it
//! names is there, and its sums are those of its rows.

use std::collections::BTreeMap;

use crate::tree::{File, files, none};

const PAGE: &str = "docs/replaces.md";

/// The tables by the letter of their rows, and how many rows each has.
const TABLES: [(char, usize); 4] = [('A', 28), ('B', 52), ('C', 30), ('H', 40)];

/// What belongs to the life of a job or to operations: only these rows may wait.
const MAY_WAIT: [&str; 11] = [
    "A11", "A22", "A23", "A24", "A26", "B26", "B32", "B33", "B34", "B43", "C29",
];

/// How a row stands, in the order of the columns in which the page counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stand {
    Works,
    InPart,
    NoTest,
    NotBuilt,
    Later,
}

const STANDS: [Stand; 5] = [
    Stand::Works,
    Stand::InPart,
    Stand::NoTest,
    Stand::NotBuilt,
    Stand::Later,
];

/// One row: what it is called, and what shows it.
struct Row<'a> {
    line: usize,
    id: &'a str,
    shown_by: &'a str,
}

impl Row<'_> {
    /// The tests that it names, each as `` `file.rs: name` ``.
    fn tests(&self) -> impl Iterator<Item = (String, &str)> {
        let spans = self.shown_by.split('`').skip(1).step_by(2);
        let parts = spans.filter_map(|span| span.split_once(".rs: "));
        parts.map(|(path, name)| (format!("{path}.rs"), name))
    }

    /// How it stands; none if it says nothing that the page knows.
    fn stand(&self) -> Option<Stand> {
        let is_shown = self.tests().next().is_some();
        if self.shown_by.starts_with("later") {
            return MAY_WAIT.contains(&self.id).then_some(Stand::Later);
        }
        match (is_shown, self.shown_by.contains("not built yet")) {
            (true, true) => Some(Stand::InPart),
            (false, true) => Some(Stand::NotBuilt),
            (_, false) if self.shown_by.contains("no test yet") => Some(Stand::NoTest),
            (true, false) => Some(Stand::Works),
            (false, false) => None,
        }
    }
}

fn page() -> File {
    let mut pages = files(&[".md"]);
    pages.retain(|page| page.path == PAGE);
    pages.pop().expect("docs/replaces.md is there")
}

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<&str> {
    let inner = line
        .strip_prefix('|')
        .and_then(|rest| rest.strip_suffix('|'));
    inner.map_or(Vec::new(), |inner| {
        inner.split('|').map(str::trim).collect()
    })
}

/// Whether a cell holds the letter of a table and a number.
fn is_id(cell: &str) -> bool {
    let of = |(letter, _): &(char, usize)| {
        let number = cell.strip_prefix(*letter).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    TABLES.iter().any(of)
}

fn rows(page: &File) -> Vec<Row<'_>> {
    let lines = page.lines().map(|(line, text)| (line, cells(text)));
    let named = lines.filter(|(_, cells)| cells.first().is_some_and(|first| is_id(first)));
    named
        .map(|(line, cells)| Row {
            line,
            id: cells[0],
            shown_by: cells.get(3).copied().unwrap_or_default(),
        })
        .collect()
}

#[test]
fn every_row_of_the_old_systems_is_there_once() {
    let page = page();
    let ids: Vec<&str> = rows(&page).iter().map(|row| row.id).collect();
    let mut wanted = Vec::new();
    for (letter, count) in TABLES {
        wanted.extend((1..=count).map(|number| format!("{letter}{number}")));
    }
    assert_eq!(ids, wanted, "{PAGE}: all rows, each once, in their order");
}

#[test]
fn every_test_that_shows_a_row_is_there() {
    let page = page();
    let sources: BTreeMap<String, String> = files(&[".rs"])
        .into_iter()
        .map(|file| (file.path, file.text))
        .collect();
    let mut found = Vec::new();
    for row in rows(&page) {
        let id = row.id;
        if row.stand().is_none() {
            found.push(format!("{PAGE}:{}: {id} says nothing", row.line));
        }
        for (path, name) in row.tests() {
            let holds = sources
                .get(&path)
                .is_some_and(|text| holds_test(text, name));
            if !holds {
                found.push(format!("{PAGE}:{}: {id}: {path}: {name}", row.line));
            }
        }
    }
    none(
        &found,
        "name a test that is there as `path/from/the/root.rs: its_name`, or say \"no test yet\" or \"not built yet\"; \"later\" is for few rows",
    );
}

/// Whether a file holds a test of this name: a function under the attribute of a test.
fn holds_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    let is_head = |line: &&str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&head)
    };
    let Some(at) = lines.iter().position(is_head) else {
        return false;
    };
    let above = lines[..at].iter().rev();
    let mut above = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    above.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

#[test]
fn its_sums_are_those_of_its_rows() {
    let page = page();
    let rows = rows(&page);
    let mut found = Vec::new();
    for (letter, _) in TABLES {
        let of_table = rows.iter().filter(|row| row.id.starts_with(letter));
        let stands: Vec<Option<Stand>> = of_table.map(Row::stand).collect();
        let sums = STANDS.map(|wanted| {
            let count = stands
                .iter()
                .filter(|stand| **stand == Some(wanted))
                .count();
            count.to_string()
        });
        let name = letter.to_string();
        let lines = page.text.lines().map(cells);
        let mut said = lines.filter(|cells| cells.first() == Some(&name.as_str()));
        if said.next().is_none_or(|said| said[1..] != sums) {
            found.push(format!("{PAGE}: | {letter} | {} |", sums.join(" | ")));
        }
    }
    none(&found, "correct the sums at the head of the page");
}
