//! The tables of cases, read from the two texts beside this file.

use checker::Rule;

use crate::script;

const BAD: &str = include_str!("bad.txt");
const GOOD: &str = include_str!("good.txt");

/// Splits a table into the words behind `==` and the lines below them.
fn cases(table: &str) -> Vec<(&str, &str)> {
    table
        .split("\n== ")
        .skip(1)
        .map(|case| case.split_once('\n').expect("a line below the title"))
        .collect()
}

#[test]
fn a_bad_history_is_flagged_with_exactly_its_rule() {
    let cases = cases(BAD);
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = String::new();
    for (title, case) in &cases {
        let rule = title.split(' ').next().unwrap_or_default();
        let report = script::judge(case);
        let broken: Vec<&str> = report.broken().iter().map(|rule| rule.id()).collect();
        if broken != [rule] {
            wrong.push_str(&format!("{title}: {broken:?}\n{report}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn each_rule_has_a_case_that_breaks_it() {
    let cases = cases(BAD);
    for rule in Rule::ALL {
        let count = cases
            .iter()
            .filter(|(title, _)| title.split(' ').next() == Some(rule.id()))
            .count();
        assert!(count >= 1, "no case breaks {rule}");
    }
}

#[test]
fn a_nasty_good_history_passes() {
    let cases = cases(GOOD);
    assert!(cases.len() >= 20, "{} cases", cases.len());
    for (title, case) in &cases {
        let report = script::judge(case);
        assert!(report.good, "{title}\n{report}");
        let checked: u64 = report.verdicts.iter().map(|verdict| verdict.checked).sum();
        assert!(checked > 0, "{title}: nothing was checked");
    }
}
