//! Histories with one thing wrong each, and the figure that must show it.

use protocol::outcome::{Outcome, OutcomeError, Status};
use serde_json::Value;

use super::{Findings, findings};
use crate::demo::clock::Instants;
use crate::demo::evidence::{Evidence, Kill, Sent, Told, Victim};
use crate::demo::observer::FirstWork;
use crate::demo::records::{Record, What};
use crate::demo::runs::{Event, Line};

const MS: u64 = 1_000_000;
/// Both clocks start here, so that a test reads one number.
const ORIGIN_MS: u64 = 1_000;

fn at(ms: u64) -> Instants {
    Instants {
        boot_ns: ms * MS,
        unix_ms: ms,
    }
}

fn record(sequence: u64, at_ms: u64, what: What) -> Record {
    Record {
        sequence,
        at_ms,
        what,
    }
}

fn id(job: u64) -> String {
    format!("INV-{job}")
}

fn key(job: u64) -> Option<String> {
    Some(if job.is_multiple_of(2) { "DE" } else { "FR" }.to_owned())
}

fn submitted(job: u64, at_ms: u64) -> Record {
    let what = What::Submitted {
        id: id(job),
        key: key(job),
        content: job,
    };
    record(job, at_ms, what)
}

fn ended(job: u64, attempt: u64, at_ms: u64, outcome: Outcome) -> Record {
    let what = What::Outcome {
        id: id(job),
        accepted: job,
        attempt,
        outcome: Ok(outcome),
    };
    record(1_000 + job, at_ms, what)
}

fn epoch(epoch: u64, holder: &str, at_ms: u64) -> Record {
    let holder = holder.to_owned();
    record(0, at_ms, What::Epoch { epoch, holder })
}

fn done() -> Outcome {
    Outcome::completed(Value::Null)
}

fn line(job: u64, event: Event, at_ms: u64, pid: u32) -> Line {
    Line {
        t: at_ms * MS,
        event,
        id: id(job),
        key: key(job),
        accepted: job,
        attempt: 1,
        delivery: 1,
        pid,
    }
}

fn sent(job: u64, content: u64, told: Told) -> Sent {
    Sent {
        id: id(job),
        content,
        told,
    }
}

/// Ten jobs in two markets, one after the other, 100 ms each; job 5 is cut off by a kill at 50 ms
/// of it and runs again on the other worker; the leader is killed inside job 4.
fn good() -> Evidence {
    let mut evidence = Evidence {
        records: vec![epoch(1, "c-1", 10)],
        ..Evidence::default()
    };
    for job in 1..=10 {
        let start = ORIGIN_MS + job * 100;
        evidence.sent.push(sent(job, job, Told::Accepted));
        evidence.records.push(submitted(job, ORIGIN_MS));
        let (start, pid) = if job == 5 {
            evidence.lines.push(line(5, Event::Start, start, 21));
            (start + 60, 22)
        } else {
            (start, 22)
        };
        evidence.lines.push(line(job, Event::Start, start, pid));
        evidence.lines.push(line(job, Event::End, start + 30, pid));
    }
    for job in 1..=10 {
        let at = ORIGIN_MS + job * 100 + 95;
        let outcome = match job {
            9 => Outcome::ended(
                Status::Failed,
                OutcomeError::permanent("BR-CO-15", "it does not add up"),
            ),
            _ => done(),
        };
        evidence.records.push(ended(job, 1, at, outcome));
    }
    evidence.records.push(epoch(2, "c-2", ORIGIN_MS + 440));
    evidence.sent.push(sent(3, 3, Told::Duplicate));
    evidence.sent.push(sent(4, 77, Told::Conflict));
    evidence.first_work = vec![
        FirstWork {
            epoch: 1,
            at_ms: ORIGIN_MS,
            fence_ms: None,
        },
        FirstWork {
            epoch: 2,
            at_ms: ORIGIN_MS + 450,
            fence_ms: Some(ORIGIN_MS + 435),
        },
    ];
    evidence.kills = vec![
        Kill {
            victim: Victim::Leader {
                name: "c-1".to_owned(),
            },
            at: at(ORIGIN_MS + 410),
        },
        Kill {
            victim: Victim::Worker {
                name: "w-1".to_owned(),
                pid: 21,
            },
            at: at(ORIGIN_MS + 550),
        },
    ];
    evidence
}

fn judged(change: impl FnOnce(&mut Evidence)) -> Findings {
    let mut evidence = good();
    change(&mut evidence);
    findings(&evidence)
}

#[track_caller]
fn refused(found: &Findings, words: &str) {
    assert!(!found.shown(), "{found:?}");
    let named = found.faults.iter().any(|fault| fault.contains(words));
    assert!(named, "{words:?} is not in {:?}", found.faults);
}

#[test]
fn a_good_history_has_shown_what_it_should() {
    let found = judged(|_| {});
    assert!(found.shown(), "{found:?}");
    let summary = &found.summary;
    assert_eq!((summary.submitted, summary.accepted), (12, 10));
    assert_eq!(
        (summary.duplicates_refused, summary.conflicts_refused),
        (1, 1)
    );
    assert_eq!((summary.completed, summary.discarded), (9, 1));
    assert_eq!(summary.executed_twice, 1);
    assert_eq!(
        (summary.failover_ms, summary.rescue_ms),
        (Some(40), Some(10))
    );
    assert_eq!((summary.leader_kills, summary.worker_kills), (1, 1));
    assert!((summary.seconds - 1.095).abs() < 1e-9, "{summary:?}");
    assert!(found.kills[0].contains("fenced after 25 ms"), "{found:?}");
    assert_eq!(found.dead_letters["BR-CO-15"], 1);
    assert_eq!(found.markets["FR"].runs, 6);
    assert_eq!(found.markets["FR"].at_once_max, 1);
}

#[test]
fn a_job_without_an_outcome_is_lost() {
    let found = judged(|evidence| {
        let of_seven = |record: &Record| matches!(&record.what, What::Outcome { accepted: 7, .. });
        evidence.records.retain(|record| !of_seven(record));
    });
    assert_eq!(found.summary.lost, 1);
    refused(&found, "no terminal outcome: INV-7");
}

#[test]
fn a_failed_attempt_with_attempts_left_is_no_end() {
    let found = judged(|evidence| {
        let error = OutcomeError::new("error", "try again");
        for record in &mut evidence.records {
            if let What::Outcome {
                accepted: 7,
                outcome,
                ..
            } = &mut record.what
            {
                *outcome = Ok(Outcome::ended(Status::Failed, error.clone()));
            }
        }
    });
    assert_eq!(found.summary.lost, 1);
}

#[test]
fn an_acceptance_that_the_ledger_does_not_hold_is_a_loss() {
    let found = judged(|evidence| evidence.sent.push(sent(11, 11, Told::Accepted)));
    assert_eq!(found.summary.lost, 1);
    refused(&found, "not in the ledger: INV-11");
}

#[test]
fn a_second_terminal_outcome_is_completed_twice() {
    for attempt in [1, 2] {
        let found = judged(|evidence| {
            evidence
                .records
                .push(ended(3, attempt, ORIGIN_MS + 1_500, done()));
        });
        assert_eq!(found.summary.completed_twice, 1);
        assert!(!found.shown());
    }
}

#[test]
fn an_id_that_is_accepted_twice_is_named() {
    let found = judged(|evidence| evidence.records.push(submitted(3, ORIGIN_MS)));
    refused(&found, "accepted more than once: INV-3");
}

#[test]
fn runs_of_one_key_that_overlap_are_counted() {
    let found = judged(|evidence| {
        for other in &mut evidence.lines {
            if other.accepted == 6 && other.event == Event::End {
                other.t += 180 * MS;
            }
        }
    });
    assert_eq!(found.summary.key_overlaps, 1);
    assert_eq!(found.markets["DE"].at_once_max, 2);
    refused(&found, "DE: INV-8 beside INV-6");
}

#[test]
fn a_killed_run_ends_at_its_kill_and_not_before() {
    let found = judged(|evidence| evidence.kills[1].at = at(ORIGIN_MS + 565));
    assert_eq!(found.summary.key_overlaps, 1);
}

#[test]
fn a_run_that_goes_on_for_ever_overlaps_with_all_that_follow() {
    let found = judged(|evidence| {
        let of_six = |line: &Line| line.accepted == 6 && line.event == Event::End;
        evidence.lines.retain(|line| !of_six(line));
    });
    assert_eq!(found.summary.key_overlaps, 2);
    refused(&found, "no end though nobody killed them: INV-6");
}

#[test]
fn a_second_run_that_no_kill_explains_is_named() {
    let found = judged(|evidence| {
        evidence
            .lines
            .push(line(3, Event::Start, ORIGIN_MS + 340, 22));
        evidence
            .lines
            .push(line(3, Event::End, ORIGIN_MS + 350, 22));
    });
    assert_eq!(found.summary.executed_twice, 2);
    refused(&found, "ran again without a kill: INV-3");
}

#[test]
fn a_kill_outside_its_window_has_shown_nothing() {
    for ms in [150, 1_150] {
        let found = judged(|evidence| {
            evidence.kills[1].at = at(ORIGIN_MS + ms);
        });
        assert!(!found.shown(), "at {ms} ms: {found:?}");
        assert_eq!(found.summary.worker_kills, 0);
    }
}

#[test]
fn a_leader_killed_with_nothing_running_has_shown_nothing() {
    let found = judged(|evidence| evidence.kills[0].at = at(ORIGIN_MS + 435));
    assert_eq!(found.summary.leader_kills, 0);
    assert!(!found.shown());
}

#[test]
fn a_coordinator_that_did_not_lead_is_no_leader() {
    let found = judged(|evidence| {
        evidence.kills[0].victim = Victim::Leader {
            name: "c-3".to_owned(),
        };
    });
    refused(&found, "it did not lead");
}

#[test]
fn a_cut_off_job_that_never_starts_again_is_named() {
    let found = judged(|evidence| {
        let second = |line: &Line| line.accepted == 5 && line.pid == 22;
        evidence.lines.retain(|line| !second(line));
    });
    refused(&found, "INV-5 was cut off");
    assert_eq!(found.summary.rescue_ms, None);
}

#[test]
fn a_submitter_that_was_told_something_else_is_named() {
    let found = judged(|evidence| evidence.sent[11].told = Told::Accepted);
    refused(&found, "told what the ledger does not say: INV-4");
    let found = judged(|evidence| evidence.sent[2].told = Told::Failed("oops".to_owned()));
    refused(&found, "submissions failed: INV-3: oops");
}

#[test]
fn work_that_stays_is_named() {
    let found = judged(|evidence| evidence.work_left.push("left.over".to_owned()));
    refused(&found, "left.over");
}

#[test]
fn a_wrong_verdict_is_named() {
    use invoices::generate::Expected;

    let right = judged(|evidence| {
        let expected = (id(9), Expected::Broken("BR-CO-15"));
        evidence.expected.push(expected);
    });
    assert!(right.shown());
    let wrong = judged(|evidence| {
        let expected = (id(9), Expected::Broken("BR-CO-10"));
        evidence.expected.push(expected);
    });
    refused(&wrong, "verdicts are wrong: INV-9");
}
