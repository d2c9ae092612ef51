//! The page of a proof: each zero beside the number of things checked, what was done, on what machine,
//! and what was not tested. It adds nothing up.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::{Value, json};

use super::arguments::Form;
use super::parts::Part;
use super::tally::{Least, Tally, Verdict, exit_code};

/// What no part of it tests.
const NOT_TESTED: [&str; 6] = [
    "real loss of power: a killed server keeps what the operating system had taken",
    "more than one machine: networks between machines, clocks that differ, discs that rot",
    "other versions of nats-server than the one named above, and rolling upgrades",
    "days instead of hours, and ledgers of more than some hundred thousand jobs under faults",
    "handlers that change the world outside: running is at least once, only recording is once",
    "hosts that are not Linux, and memory that runs out",
];

/// A part that was run.
pub struct Done {
    /// Which.
    pub part: Part,
    /// What became of it.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// All that the page tells.
pub struct Proof {
    /// Which form.
    pub form: Form,
    /// Whether parts were left out on demand.
    pub is_partial: bool,
    /// When it began.
    pub began: String,
    /// The machine, the versions, the commit.
    pub facts: Vec<(&'static str, String)>,
    /// The parts in their order.
    pub done: Vec<Done>,
    /// What they add up to.
    pub tally: Tally,
}

impl Proof {
    /// What had to be reached.
    #[must_use]
    pub fn least(&self) -> Vec<Least> {
        self.tally.least(self.form)
    }

    /// What a shell is told: 0 proved, 1 a promise was broken, 2 it does not count.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let verdicts = self.done.iter().map(|done| done.verdict.clone());
        exit_code(&verdicts.collect::<Vec<_>>(), &self.least())
    }

    fn took(&self) -> Duration {
        self.done.iter().map(|done| done.took).sum()
    }

    /// The page, in Markdown.
    #[must_use]
    pub fn page(&self) -> String {
        let verdict = match self.exit_code() {
            0 => "Every promise was kept, and enough was tried for that to count.",
            1 => "A PROMISE WAS BROKEN.",
            _ => "This proof does not count.",
        };
        let sections = [
            format!(
                "# Proof ({}) of {}\n\n{verdict}",
                self.form.name(),
                self.began
            ),
            self.machine(),
            self.needed(),
            self.promises(),
            self.parts(),
            self.faults(),
            self.simulated(),
            self.not_tested(),
        ];
        sections.join("\n\n") + "\n"
    }

    fn machine(&self) -> String {
        let rows = self.facts.iter();
        let rows = rows.map(|(what, text)| vec![(*what).to_owned(), text.clone()]);
        section("On what", &["", ""], rows)
    }

    fn needed(&self) -> String {
        let rows = self.least().into_iter().map(|least| {
            let reached = match least.is_reached() {
                true => "yes",
                false => "NO",
            };
            let cells = [
                least.what,
                &least.is.to_string(),
                &least.least.to_string(),
                reached,
            ];
            cells.map(str::to_owned).to_vec()
        });
        section(
            "What had to be reached",
            &["", "is", "least", "reached"],
            rows,
        )
    }

    fn promises(&self) -> String {
        let rows = self.tally.zeros.iter().map(|(name, zero)| {
            let cells = [
                name.clone(),
                zero.wrong.to_string(),
                zero.checked.to_string(),
            ];
            cells.to_vec()
        });
        let text =
            "Added up over all runs of chaos; docs/reliability.md says what each name means.";
        section(
            "Promises on real servers and processes",
            &["", "wrong", "of"],
            rows,
        ) + "\n\n"
            + text
    }

    fn parts(&self) -> String {
        let rows = self.done.iter().map(|done| {
            let verdict = match &done.verdict {
                Verdict::Kept => "kept".to_owned(),
                Verdict::Broken(what) => format!("BROKEN: {what}"),
                Verdict::Void(why) => format!("does not count: {why}"),
            };
            let took = format!("{} s", done.took.as_secs());
            let command = done.part.order.words.join(" ");
            vec![
                done.part.order.name.clone(),
                took,
                verdict,
                format!("`{command}`"),
            ]
        });
        section("Parts", &["part", "took", "result", "command"], rows)
            + &format!(
                "\n\nAll together {} min, with building.",
                self.took().as_secs() / 60
            )
    }

    fn faults(&self) -> String {
        let rows = self
            .tally
            .faults
            .iter()
            .map(|(kind, [planned, done, bit])| {
                let counts = [planned, done, bit].map(ToString::to_string);
                [vec![kind.clone()], counts.to_vec()].concat()
            });
        let heads = ["fault", "planned", "done", "seen to bite"];
        section("Faults on real processes", &heads, rows)
    }

    fn simulated(&self) -> String {
        let rows = self.tally.simulated.iter().map(|(name, zero)| {
            let counts = [zero.wrong, zero.checked].map(|count| count.to_string());
            [vec![name.clone()], counts.to_vec()].concat()
        });
        section("Promises in the simulation", &["", "wrong", "of"], rows)
    }

    fn not_tested(&self) -> String {
        let mut all: Vec<String> = NOT_TESTED.into_iter().map(str::to_owned).collect();
        match self.form {
            Form::Full => {}
            Form::Short => all.push("planted bugs: the full form does".to_owned()),
            Form::Soak { .. } => all.push("all but one long run of chaos".to_owned()),
        }
        if self.is_partial {
            all.push("parts that were left out by --only".to_owned());
        }
        all.extend(self.tally.missed.iter().map(|bug| {
            format!("the planted bug {bug} was not noticed: what it takes out is not watched")
        }));
        format!("## Not tested\n\n* {}", all.join("\n* "))
    }

    /// The last line, for machines, without its word.
    #[must_use]
    pub fn line(&self) -> Value {
        let parts = self.done.iter().map(|done| {
            json!({
                "name": done.part.order.name,
                "seconds": done.took.as_secs(),
                "verdict": done.verdict,
            })
        });
        let facts = self.facts.iter();
        let facts: serde_json::Map<String, Value> = facts
            .map(|(what, text)| ((*what).to_owned(), json!(text)))
            .collect();
        json!({
            "form": self.form.name(),
            "code": self.exit_code(),
            "began": self.began,
            "seconds": self.took().as_secs(),
            "facts": facts,
            "least": self.least(),
            "zeros": self.tally.zeros,
            "figures": self.tally.figures,
            "missed": self.tally.missed,
            "parts": parts.collect::<Vec<_>>(),
        })
    }
}

fn section(title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(heads.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    format!("## {title}\n\n{table}")
}

#[cfg(test)]
mod tests {
    use super::super::parts::parts;
    use super::{Done, Duration, Form, Proof, Tally, Verdict};

    fn proof(verdict: &Verdict) -> Proof {
        let all = parts(Form::Short, 1, "somewhere".as_ref());
        Proof {
            form: Form::Short,
            is_partial: false,
            began: "2026-01-01".to_owned(),
            facts: vec![("commit", "abc".to_owned())],
            done: all
                .into_iter()
                .map(|part| Done {
                    part,
                    verdict: verdict.clone(),
                    took: Duration::from_secs(60),
                })
                .collect(),
            tally: Tally::default(),
        }
    }

    #[test]
    fn a_page_without_enough_behind_it_says_so() {
        let proof = proof(&Verdict::Kept);
        assert_eq!(proof.exit_code(), 2);
        let page = proof.page();
        assert!(page.contains("does not count"), "{page}");
        assert!(page.contains("| 5000"), "{page}");
        assert_eq!(proof.line()["code"], 2);
    }

    #[test]
    fn a_broken_promise_stands_at_the_top() {
        let page = proof(&Verdict::Broken("lost 1".to_owned())).page();
        let head: Vec<&str> = page.lines().take(3).collect();
        assert_eq!(head[2], "A PROMISE WAS BROKEN.");
        assert!(page.contains("BROKEN: lost 1"), "{page}");
    }
}
