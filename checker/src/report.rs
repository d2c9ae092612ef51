//! What the judge found: for each rule how many things were checked and what broke it.

use std::collections::BTreeMap;
use std::fmt;

use protocol::number::Sequence;
use serde::Serialize;

use crate::rule::Rule;

/// Most violations of one rule that are kept with their text; all are counted.
pub const SHOWN_MAX: usize = 20;

/// Something that a rule forbids, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Such as `ledger #17` or a job's name.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The rule.
    pub rule: Rule,
    /// What it says.
    pub title: &'static str,
    /// How many things were held against it; at 0 nothing is proved.
    pub checked: u64,
    /// How many broke it.
    pub violations: u64,
    /// The first of them, at most [`SHOWN_MAX`].
    pub shown: Vec<Violation>,
}

/// What was read, in figures. They prove nothing; they say how much was there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Records of the ledger.
    pub records: u64,
    /// Accepted jobs.
    pub jobs: u64,
    /// Jobs that have not ended.
    pub open: u64,
    /// Jobs, or outcomes, of a version that is newer than this one: not judged.
    pub newer: u64,
    /// Jobs that have ended.
    pub completed: u64,
    /// Jobs that have ended.
    pub cancelled: u64,
    /// Jobs that have ended.
    pub expired: u64,
    /// Jobs that have ended: the dead letters.
    pub discarded: u64,
    /// Outcomes.
    pub outcomes: u64,
    /// Barriers of leaders.
    pub epochs: u64,
    /// Barriers that came after one of a later epoch: their leaders were too late, and wrote no
    /// work.
    pub late_barriers: u64,
    /// Work messages that the work queue holds.
    pub work: u64,
    /// Of these, those whose outcome is recorded: they await their ack.
    pub awaiting_ack: u64,
    /// Submits without an answer whose job is in the ledger.
    pub unknown_landed: u64,
    /// Submits without an answer whose job is not.
    pub unknown_absent: u64,
}

/// The verdicts on all rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing broke a rule.
    pub good: bool,
    /// In the order of [`Rule::ALL`].
    pub verdicts: Vec<Verdict>,
    /// How much was there.
    pub figures: Figures,
}

impl Report {
    /// The rules that were broken.
    #[must_use]
    pub fn broken(&self) -> Vec<Rule> {
        self.verdicts
            .iter()
            .filter(|verdict| verdict.violations > 0)
            .map(|verdict| verdict.rule)
            .collect()
    }

    /// The verdict on one rule.
    ///
    /// # Panics
    /// Never: a report has a verdict on every rule.
    #[must_use]
    pub fn on(&self, rule: Rule) -> &Verdict {
        self.verdicts
            .iter()
            .find(|verdict| verdict.rule == rule)
            .expect("a report has a verdict on every rule")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.verdicts {
            writeln!(
                f,
                "{} {}: {} checked, {} violations",
                verdict.rule, verdict.title, verdict.checked, verdict.violations
            )?;
            for Violation { place, what } in &verdict.shown {
                writeln!(f, "    {place}: {what}")?;
            }
        }
        Ok(())
    }
}

/// Where a message stands, for a person; put into words only where something is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// `ledger`, `work` or `tap`.
    pub(crate) of: &'static str,
    pub(crate) sequence: Sequence,
    pub(crate) subject: &'a str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.of, self.sequence, self.subject)
    }
}

/// Takes down what is checked and what is found.
#[derive(Debug, Default)]
pub(crate) struct Docket {
    entries: BTreeMap<Rule, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    checked: u64,
    violations: u64,
    shown: Vec<Violation>,
}

impl Docket {
    /// One thing is held against each of these rules.
    pub(crate) fn checked(&mut self, rules: &[Rule]) {
        for rule in rules {
            self.entries.entry(*rule).or_default().checked += 1;
        }
    }

    /// Something broke a rule.
    pub(crate) fn wrong(&mut self, rule: Rule, place: impl fmt::Display, what: impl Into<String>) {
        let entry = self.entries.entry(rule).or_default();
        entry.violations += 1;
        if entry.shown.len() < SHOWN_MAX {
            entry.shown.push(Violation {
                place: place.to_string(),
                what: what.into(),
            });
        }
    }

    pub(crate) fn report(mut self, figures: Figures) -> Report {
        let verdicts: Vec<Verdict> = Rule::ALL
            .into_iter()
            .map(|rule| {
                let entry = self.entries.remove(&rule).unwrap_or_default();
                Verdict {
                    rule,
                    title: rule.title(),
                    checked: entry.checked,
                    violations: entry.violations,
                    shown: entry.shown,
                }
            })
            .collect();
        Report {
            good: verdicts.iter().all(|verdict| verdict.violations == 0),
            verdicts,
            figures,
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::number::Sequence;

    use super::{Docket, Figures, Place, SHOWN_MAX};
    use crate::rule::Rule;

    fn place(sequence: u64) -> Place<'static> {
        Place {
            of: "ledger",
            sequence: Sequence::new(sequence),
            subject: "jobs.submit.q.a",
        }
    }

    #[test]
    fn all_violations_are_counted_and_the_first_ones_shown() {
        let mut docket = Docket::default();
        for sequence in 1..=25 {
            docket.checked(&[Rule::Gapless, Rule::Known]);
            docket.wrong(Rule::Known, place(sequence), "no rule makes this subject");
        }
        let report = docket.report(Figures::default());
        assert!(!report.good);
        assert_eq!(report.broken(), [Rule::Known]);
        let known = report.on(Rule::Known);
        assert_eq!((known.checked, known.violations), (25, 25));
        assert_eq!(known.shown.len(), SHOWN_MAX);
        assert_eq!(known.shown[19].place, "ledger #20 jobs.submit.q.a");
        let gapless = report.on(Rule::Gapless);
        assert_eq!((gapless.checked, gapless.violations), (25, 0));
        assert_eq!(report.on(Rule::Valid).checked, 0);
    }

    #[test]
    fn a_report_names_each_rule_and_what_broke_it() {
        let mut docket = Docket::default();
        docket.checked(&[Rule::Gapless]);
        docket.wrong(Rule::Gapless, place(3), "stands behind #7");
        let text = docket.report(Figures::default()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), Rule::ALL.len() + 1);
        assert_eq!(
            lines[..3],
            [
                "G1 no record is missing: 1 checked, 1 violations",
                "    ledger #3 jobs.submit.q.a: stands behind #7",
                "F1 every record is one that a rule makes: 0 checked, 0 violations",
            ]
        );
    }
}
