//! The tables of cases, read from the two texts beside this file.

use checker::{Figures, Rule};

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

/// One of each thing that is counted.
const COUNTED: &str = r#"
config q {"max_attempts":1}
submit q a payload=x
submit q b
submit q c
submit q d
submit q e
submit q f Jobs-Version=2
submit p g
submit q h Jobs-Priority=high
outcome q 2 1 a completed
outcome q 3 1 b failed
outcome q 4 1 c cancelled
control q 5 0 expire d
outcome q 5 1 d expired
epoch 2
epoch 1
config r {"v":2}
ask s1 1 q/a x
info s1 1
ask s1 2 q/a y
info s1 2
ask s1 3 q/z z
ask s1 4 q/b {}
has fence 2 512
has work q 2 1 a epoch=2
has work q 6 1 e epoch=2
"#;

#[test]
fn what_was_read_is_counted() {
    let report = script::judge(COUNTED);
    assert!(report.good, "{report}");
    let expected = Figures {
        records: 17,
        jobs: 8,
        open: 3,
        newer: 2,
        completed: 1,
        cancelled: 1,
        expired: 1,
        discarded: 1,
        outcomes: 4,
        epochs: 2,
        late_barriers: 1,
        work: 2,
        awaiting_ack: 1,
        unknown_landed: 2,
        unknown_absent: 2,
    };
    assert_eq!(report.figures, expected);
    let replayed = "config q {}\nsubmit q a\noutcome q 2 1 a completed\n\
        control q 2 0 cancel a\ncontrol q 2 1 cancel a\ncontrol q 2 1 replay a";
    let report = script::judge(replayed);
    let checked = |rule| report.on(rule).checked;
    assert_eq!(
        (checked(Rule::ControlOnce), checked(Rule::ReplayOfEnded)),
        (3, 1)
    );
}

#[test]
fn a_violation_says_where_it_stands_and_what_is_wrong() {
    let check = |case: &str, rule: Rule, place: &str, what: &str| {
        let report = script::judge(case);
        let shown = &report.on(rule).shown;
        let found = shown
            .first()
            .map(|first| (first.place.as_str(), first.what.as_str()));
        assert_eq!(found, Some((place, what)), "{report}");
    };
    check(
        "config q {}\n@5 submit q a",
        Rule::Gapless,
        "ledger #2",
        "3 records are missing before #5",
    );
    let work = "config q {}\nsubmit q a\nsubmit q b\noutcome q 2 1 a completed\nepoch 1\nhas fence 1 512\n";
    check(
        &format!("{work}has work q 2 2 a epoch=1"),
        Rule::WorkOfJob,
        "work #2 jobs.work.q.2.2.a",
        "its job has ended",
    );
    check(
        &format!("{work}has work q 3 3 b epoch=1"),
        Rule::WorkOfJob,
        "work #2 jobs.work.q.3.3.b",
        "its job awaits a1, if any",
    );
    check(
        "config q {}\nstart w1 q 9 1 2 a",
        Rule::RunOfJob,
        "run of q/a n9 a1 delivery 2 by w1",
        "no such job was accepted",
    );
}
