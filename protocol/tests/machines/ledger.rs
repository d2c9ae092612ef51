//! The fold: total, the same for all, and blind to what is shown twice.

use proptest::prelude::*;
use protocol::id::Namespace;
use protocol::ledger::{Folded, Ledger, Record};
use protocol::number::Sequence;
use protocol::subject::Subjects;
use protocol::time::Timestamp;

type Stored = (String, Option<(&'static str, &'static str)>, &'static str);

/// Few subjects and bodies, so that most records mean something to others.
fn record() -> impl Strategy<Value = Stored> {
    let subject = prop_oneof![
        4 => (0_u8..3, 0_u8..3).prop_map(|(q, id)| format!("jobs.submit.q{q}.j{id}")),
        4 => (0_u8..3, 1_u64..8, 0_u64..4, 0_u8..3)
            .prop_map(|(q, n, a, id)| format!("jobs.outcome.q{q}.{n}.{a}.j{id}")),
        2 => (0_u8..3, 1_u64..8, 0_u64..3, 0_u8..3, prop::sample::select(vec!["cancel", "replay", "retry", "expire"]))
            .prop_map(|(q, n, a, id, verb)| format!("jobs.control.q{q}.{n}.{a}.{verb}.j{id}")),
        2 => (0_u8..3, 0_u64..4).prop_map(|(q, n)| format!("jobs.config.q{q}.{n}")),
        1 => (1_u64..5).prop_map(|n| format!("jobs.epoch.{n}")),
        1 => "[a-z.*>% ]{0,12}".prop_map(|text| text),
    ];
    let header = prop::sample::select(vec![
        None,
        Some(("Jobs-Key", "k")),
        Some(("Jobs-Max-Attempts", "1")),
        Some(("Jobs-Priority", "soon")),
        Some(("Jobs-Version", "9")),
    ]);
    let body = prop::sample::select(vec![
        "",
        r#"{"v":1,"status":"completed"}"#,
        r#"{"v":1,"status":"failed"}"#,
        r#"{"v":9}"#,
        r#"{"key_pointer":"/k"}"#,
        r#"{"k":"a"}"#,
        "no json",
    ]);
    (subject, header, body)
}

fn fold(ledger: &mut Ledger, subjects: &Subjects, at: usize, stored: &Stored) -> Folded {
    let sequence = u64::try_from(at + 1).unwrap();
    let header = |name: &str| {
        stored
            .1
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    ledger.fold(
        subjects,
        &Record {
            sequence: Sequence::new(sequence),
            time: Timestamp::from_millis(sequence),
            subject: &stored.0,
            header: &header,
            payload: stored.2.as_bytes(),
        },
    )
}

/// All that a ledger knows.
fn known(ledger: &Ledger) -> String {
    let jobs: Vec<_> = ledger.jobs().collect();
    let queues: Vec<_> = ledger.configured().collect();
    format!(
        "{jobs:?} {queues:?} {:?} {:?}",
        ledger.newest_epoch(),
        ledger.last()
    )
}

proptest! {
    #[test]
    fn what_is_shown_again_changes_nothing(
        records in proptest::collection::vec(record(), 1..40),
        back in proptest::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let subjects = Subjects::new(Namespace::default());
        let (mut once, mut again) = (Ledger::default(), Ledger::default());
        for (at, stored) in records.iter().enumerate() {
            let first = fold(&mut once, &subjects, at, stored);
            prop_assert_eq!(&first, &fold(&mut again, &subjects, at, stored));
            if matches!(first, Folded::Newer(_)) {
                // It stops there.
                return Ok(());
            }
            let place = back[at].index(at + 1);
            let before = known(&again);
            let repeated = fold(&mut again, &subjects, place, &records[place]);
            prop_assert_eq!(repeated, Folded::Ignored);
            prop_assert_eq!(&known(&again), &before);
        }
        prop_assert_eq!(known(&once), known(&again));
        prop_assert_eq!(once.last_sequence().get(), u64::try_from(records.len()).unwrap());
    }

    /// The sums by queue are those of the jobs.
    #[test]
    fn every_job_is_counted_once(records in proptest::collection::vec(record(), 1..40)) {
        let subjects = Subjects::new(Namespace::default());
        let mut ledger = Ledger::default();
        for (at, stored) in records.iter().enumerate() {
            if matches!(fold(&mut ledger, &subjects, at, stored), Folded::Newer(_)) {
                return Ok(());
            }
            let sum: u64 = ledger
                .tallies()
                .map(|(_, t)| t.unconfigured + t.parked + t.waiting + t.completed + t.cancelled + t.expired + t.discarded)
                .sum();
            prop_assert_eq!(sum, u64::try_from(ledger.jobs().count()).unwrap());
        }
    }

    /// Another record in the place of the last that was folded is noticed.
    #[test]
    fn a_store_that_went_back_is_noticed(
        records in proptest::collection::vec(record(), 1..20),
        other in record(),
    ) {
        let subjects = Subjects::new(Namespace::default());
        let mut ledger = Ledger::default();
        for (at, stored) in records.iter().enumerate() {
            if matches!(fold(&mut ledger, &subjects, at, stored), Folded::Newer(_)) {
                return Ok(());
            }
        }
        let last = records.len() - 1;
        prop_assume!(other.0 != records[last].0);
        let before = known(&ledger);
        let folded = fold(&mut ledger, &subjects, last, &other);
        prop_assert!(matches!(folded, Folded::WentBack(_)));
        prop_assert_eq!(known(&ledger), before);
    }
}
