//! One thing changed in a valid run: the judge notices nearly all of it.
//!
//! Some changes make another valid run, which no judge of the same evidence could tell. They are not
//! counted, by these rules:
//! 1. A status changed to `cancelled`: a handler may say so by itself. `completed` changed to
//!    `failed`: a result may not fit into an outcome, so that a handler that completed has failed.
//! 2. A fence with neither barrier nor work: only its own record knows its number. A barrier that
//!    got the number of such a fence.
//! 3. The key of a job that never ran: only its submission knows it.
//! 4. The last line of a submitter: it may have been killed before it wrote it. The end of a run
//!    that did not complete: its worker may have been killed.

use std::collections::BTreeMap;

use crate::generate::{Dice, generate};
use crate::script;

const RUNS: u64 = 100;
const CHANGES: usize = 24;

/// Of a hundred changes so many may be missed.
const MISSED_MAX_PERCENT: usize = 1;

/// The words of a line without its place, and that place.
fn words(line: &str) -> (Option<&str>, Vec<&str>) {
    let mut words: Vec<&str> = line.split(' ').collect();
    match words[0].starts_with('@') {
        true => (Some(words.remove(0)), words),
        false => (None, words),
    }
}

fn verb(line: &str) -> &str {
    words(line).1[0]
}

/// The lines that are so.
fn lines_of(lines: &[String], is: impl Fn(&str) -> bool) -> Vec<usize> {
    (0..lines.len()).filter(|at| is(&lines[*at])).collect()
}

fn is_record(line: &str) -> bool {
    line.starts_with('@') && verb(line) != "tap"
}

/// Which job an outcome or a control record is about.
fn job(line: &str) -> Option<(&str, &str)> {
    match words(line).1[..] {
        ["outcome" | "control", queue, accepted, ..] => Some((queue, accepted)),
        _ => None,
    }
}

/// Epochs that have a fence and nothing else.
fn is_bare(lines: &[String], epoch: &str) -> bool {
    !lines.iter().any(|line| {
        let named = format!("epoch={epoch}");
        words(line).1 == ["epoch", epoch] || words(line).1.contains(&named.as_str())
    })
}

/// Puts `word` at `place` of a line.
fn put(lines: &mut [String], line: usize, place: usize, word: &str) {
    let (at, mut all) = words(&lines[line]);
    all[place] = word;
    let text = all.join(" ");
    lines[line] = match at {
        Some(at) => format!("{at} {text}"),
        None => text,
    };
}

type Change = fn(Vec<String>, &mut Dice) -> Option<Vec<String>>;

const KINDS: [(&str, Change); 12] = [
    ("drop", drop_one),
    ("duplicate a record", duplicate_record),
    ("duplicate work", duplicate_work),
    ("swap", swap),
    ("swap work", swap_work),
    ("epoch of a barrier", epoch_of_barrier),
    ("epoch of work or a fence", epoch_of_work),
    ("status", status),
    ("number of a record", number_of_record),
    ("content", content),
    ("answer", answer),
    ("run", run),
];

fn drop_one(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        if let ["ask" | "ok" | "fail" | "info", who, ..] = words(line).1[..] {
            last.insert(who.to_owned(), at);
        }
    }
    let mut all = lines_of(&lines, |line| {
        is_record(line)
            || matches!(verb(line), "tap" | "ask" | "ok" | "fail" | "info" | "start")
            || (verb(line) == "end" && line.ends_with("completed"))
    });
    // A killed worker's start is all that its run left.
    all.retain(|at| {
        let next = lines.get(at + 1).map(|line| verb(line));
        let killed = verb(&lines[*at]) == "start" && next == Some("fault");
        !killed && !last.values().any(|last| last == at)
    });
    lines.remove(*dice.one_of(&all)?);
    Some(lines)
}

/// The number that the line `name` says, and the one after it there.
fn count_up(lines: &mut [String], name: &str) -> usize {
    let line = lines.iter_mut().find(|line| verb(line) == name);
    let line = line.expect("every run says where it ends");
    let next = words(line).1[1].parse::<usize>().expect("a number") + 1;
    *line = format!("{name} {next}");
    next
}

fn duplicate_record(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let at = *dice.one_of(&lines_of(&lines, is_record))?;
    let line = words(&lines[at]).1.join(" ");
    let place = count_up(&mut lines, "ends");
    let end = lines_of(&lines, |line| verb(line) == "ends")[0];
    lines.insert(end, format!("@{place} {line}"));
    Some(lines)
}

fn duplicate_work(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let work = |line: &str| line.contains(" tap work ");
    let at = *dice.one_of(&lines_of(&lines, work))?;
    let place = count_up(&mut lines, "tap-ends");
    let mut line = words(&lines[at]).1;
    let expects = format!("expects={}", place - 1);
    let len = line.len();
    line[len - 1] = &expects;
    let line = format!("@{place} {}", line.join(" "));
    let end = lines_of(&lines, |line| verb(line) == "ends")[0];
    lines.insert(end, line);
    Some(lines)
}

/// Two lines change places; what they say of their own place stays behind.
fn exchange(lines: &mut [String], (one, other): (usize, usize)) -> Option<()> {
    let (one_at, one_words) = words(&lines[one]);
    let (other_at, other_words) = words(&lines[other]);
    let first = format!("{} {}", one_at?, other_words.join(" "));
    let second = format!("{} {}", other_at?, one_words.join(" "));
    lines[one] = first;
    lines[other] = second;
    Some(())
}

/// Of one job: an outcome and another, a request and the outcome that it allows. Or a submission
/// and whatever comes next.
fn swap(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let records = lines_of(&lines, is_record);
    let mut pairs = Vec::new();
    for (at, one) in records.iter().enumerate() {
        let of_one = job(&lines[*one]);
        let next = records[at + 1..].iter();
        let same = next
            .clone()
            .find(|next| of_one.is_some() && job(&lines[**next]) == of_one);
        if let Some(other) = same {
            let (first, second) = (&lines[*one], &lines[*other]);
            let is_request = |line: &str| line.contains(" cancel ");
            if !is_request(first) && !is_request(second) {
                pairs.push((*one, *other));
            }
        }
        if let (true, Some(next)) = (verb(&lines[*one]) == "submit", records.get(at + 1)) {
            pairs.push((*one, *next));
        }
    }
    exchange(&mut lines, *dice.one_of(&pairs)?)?;
    Some(lines)
}

fn swap_work(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let work = lines_of(&lines, |line| verb(line) == "tap");
    let pairs: Vec<(usize, usize)> = work.windows(2).map(|pair| (pair[0], pair[1])).collect();
    exchange(&mut lines, *dice.one_of(&pairs)?)?;
    Some(lines)
}

fn epoch_of_barrier(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let at = *dice.one_of(&lines_of(&lines, |line| verb(line) == "epoch"))?;
    let epoch = (1 + dice.roll(9)).to_string();
    let fenced = lines
        .iter()
        .any(|line| line.ends_with(&format!(" tap fence {epoch}")));
    if words(&lines[at]).1[1] == epoch || (fenced && is_bare(&lines, &epoch)) {
        return None;
    }
    put(&mut lines, at, 1, &epoch);
    Some(lines)
}

fn epoch_of_work(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let at = *dice.one_of(&lines_of(&lines, |line| verb(line) == "tap"))?;
    let all = words(&lines[at]).1;
    let (place, old) = match all[1] {
        "work" => (6, all[6].trim_start_matches("epoch=").to_owned()),
        _ => (2, all[2].to_owned()),
    };
    let epoch = (1 + dice.roll(9)).to_string();
    if epoch == old || (place == 2 && is_bare(&lines, &old)) {
        return None;
    }
    let word = match place {
        6 => format!("epoch={epoch}"),
        _ => epoch,
    };
    put(&mut lines, at, place, &word);
    Some(lines)
}

fn status(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let at = *dice.one_of(&lines_of(&lines, |line| verb(line) == "outcome"))?;
    let old = words(&lines[at]).1[5].to_owned();
    let new = ["completed", "failed", "expired", "discarded"][dice.roll(4)];
    if new == old || (old == "completed" && new == "failed") {
        return None;
    }
    put(&mut lines, at, 5, new);
    Some(lines)
}

/// Another job, attempt, id or verb.
fn number_of_record(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let at = *dice.one_of(&lines_of(&lines, |line| job(line).is_some()))?;
    let all = words(&lines[at]).1;
    let is_outcome = all[0] == "outcome";
    let near = |text: &str, by: usize| (text.parse::<usize>().expect("a number") + by).to_string();
    let (place, word) = match dice.roll(4) {
        0 => (1, if all[1] == "q" { "p" } else { "q" }.to_owned()),
        1 => (2, near(all[2], 1 + dice.roll(5))),
        2 => (3, near(all[3], 1 + dice.roll(2))),
        _ if is_outcome => (4, "other".to_owned()),
        _ => (5, "other".to_owned()),
    };
    put(&mut lines, at, place, &word);
    Some(lines)
}

/// Another payload or key of a submission, another expected sequence of work.
fn content(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let is = |line: &str| verb(line) == "submit" || line.contains(" tap work ");
    let at = *dice.one_of(&lines_of(&lines, is))?;
    let all = words(&lines[at]).1;
    let last = all.len() - 1;
    if all[0] == "tap" {
        let word = format!("expects={}", dice.roll(500));
        put(&mut lines, at, last, &word);
        return Some(lines);
    }
    if dice.roll(2) == 0 {
        put(&mut lines, at, last, "payload=forged");
        return Some(lines);
    }
    let id = all[2].to_owned();
    let ran = lines
        .iter()
        .any(|line| words(line).1.get(5) == Some(&id.as_str()) && verb(line) == "start");
    if !ran || last != 4 {
        return None;
    }
    let word = ["Jobs-Key=ES", "Jobs-Other=1"][dice.roll(2)];
    put(&mut lines, at, 3, word);
    Some(lines)
}

/// Another acceptance number, another answer.
fn answer(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let at = *dice.one_of(&lines_of(&lines, |line| {
        matches!(verb(line), "ok" | "fail")
    }))?;
    let all = words(&lines[at]).1;
    let line = match (all[0], dice.roll(2)) {
        ("ok", 0) => format!("ok {} {} 9999 {}", all[1], all[2], all[4]),
        ("ok", _) => format!("fail {} {} {}", all[1], all[2], all[4]),
        _ => format!("ok {} {} 1 {}", all[1], all[2], all[3]),
    };
    lines[at] = line;
    Some(lines)
}

/// A run of another job, or one that began before that of its key was over.
fn run(mut lines: Vec<String>, dice: &mut Dice) -> Option<Vec<String>> {
    let runs = lines_of(&lines, |line| verb(line) == "start");
    let at = *dice.one_of(&runs)?;
    let (_, all) = words(&lines[at]);
    let key = all.get(7).copied();
    let before = lines[..at].iter().rposition(|line| {
        verb(line) == "end" && key.is_some() && words(line).1.get(7).copied() == key
    });
    match (before, dice.roll(2)) {
        (Some(before), 0) => {
            let line = lines.remove(at);
            lines.insert(before, line);
        }
        (_, 1) => put(&mut lines, at, 6, "other"),
        _ => put(&mut lines, at, 3, "9999"),
    }
    Some(lines)
}

#[test]
fn a_generated_run_is_valid() {
    for seed in 0..RUNS {
        let lines = generate(seed).join("\n");
        let report = script::judge(&lines);
        assert!(report.good, "seed {seed}\n{lines}\n{report}");
    }
}

#[test]
fn one_change_is_noticed() {
    let (mut made, mut missed) = (BTreeMap::new(), Vec::new());
    for seed in 0..RUNS {
        let lines = generate(seed);
        let mut dice = Dice(seed.wrapping_mul(77) + 1);
        for turn in 0..CHANGES {
            let (kind, change) = KINDS[turn % KINDS.len()];
            let Some(changed) = change(lines.clone(), &mut dice) else {
                continue;
            };
            *made.entry(kind).or_insert(0) += 1;
            let text = changed.join("\n");
            if script::judge(&text).good {
                let other = changed.iter().find(|line| !lines.contains(line));
                missed.push(format!("seed {seed} turn {turn} {kind}: {other:?}"));
            }
        }
    }
    let all: usize = made.values().sum();
    assert!(made.len() == KINDS.len() && all >= 2_000, "{made:?}");
    let figure = serde_json::json!({"made": all, "missed": missed.len()});
    println!("MUTATIONS {figure}");
    let allowed = all * MISSED_MAX_PERCENT / 100;
    assert!(
        missed.len() <= allowed,
        "{} of {all} were missed: {missed:#?}\nof {made:?}",
        missed.len()
    );
}
