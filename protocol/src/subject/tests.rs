//! What subjects look like, and that no text breaks their parsing.

use proptest::prelude::*;

use super::{AttemptName, JobName, LedgerSubject, Subjects, Verb, WorkSubject};
use crate::id::{JobId, Namespace, QueueName};
use crate::number::{Accepted, Attempt, Epoch, Revision};

fn subjects() -> Subjects {
    Subjects::new(Namespace::default())
}

fn named(id: &str) -> AttemptName {
    AttemptName {
        job: JobName::Named {
            queue: QueueName::new("invoices").unwrap(),
            id: JobId::from_raw(id).unwrap(),
        },
        accepted: Accepted::new(17),
        attempt: Attempt::new(2),
    }
}

/// Found by the fuzzer: two subjects named one place.
#[test]
fn a_place_in_a_fence_has_one_text() {
    let fence = |text| subjects().parse_work(text);
    let (epoch, place) = (Epoch::new(9), 24);
    assert_eq!(
        fence("jobs.fence.9.24"),
        WorkSubject::Fence { epoch, place }
    );
    for text in ["jobs.fence.9.024", "jobs.fence.9.+24", "jobs.fence.09.24"] {
        assert_eq!(fence(text), WorkSubject::Unknown, "{text}");
    }
}

#[test]
fn an_outcome_is_the_works_subject_with_outcome_for_work() {
    let name = named("2026.INV 7");
    assert_eq!(
        subjects().work(&name),
        "jobs.work.invoices.17.2.2026.INV%207"
    );
    assert_eq!(
        subjects().outcome(&name),
        "jobs.outcome.invoices.17.2.2026.INV%207"
    );
    let work = subjects().parse_work("jobs.work.invoices.17.2.2026.INV%207");
    assert_eq!(work, WorkSubject::Work(name));
}

#[test]
fn a_malformed_job_is_named_by_its_number_alone() {
    let name = AttemptName {
        job: JobName::Malformed,
        accepted: Accepted::new(3),
        attempt: Attempt::FIRST,
    };
    assert_eq!(subjects().outcome(&name), "jobs.outcome.%.3.1.%");
    let parsed = subjects().parse_ledger("jobs.outcome.%.3.1.%");
    assert_eq!(parsed, LedgerSubject::Outcome(name));
}

#[test]
fn every_record_of_the_ledger_is_read_back() {
    let s = subjects();
    for verb in Verb::ALL {
        let name = named("a.b");
        let text = s.control(&name, verb);
        assert_eq!(s.parse_ledger(&text), LedgerSubject::Control { name, verb });
    }
    let queue = QueueName::new("q").unwrap();
    let revision = Revision::new(4);
    assert_eq!(
        s.parse_ledger(&s.config(&queue, revision)),
        LedgerSubject::Config { queue, revision }
    );
    assert_eq!(
        s.parse_ledger(&s.epoch(Epoch::new(9))),
        LedgerSubject::Epoch(Epoch::new(9))
    );
    assert_eq!(
        s.parse_work(&s.fence(Epoch::new(9), 512)),
        WorkSubject::Fence {
            epoch: Epoch::new(9),
            place: 512
        }
    );
}

#[test]
fn foreign_subjects_are_unknown() {
    for text in [
        "",
        "jobs",
        "jobs.",
        "jobs.submit",
        "jobs.submit.q",
        "other.submit.q.id",
        "jobsx.submit.q.id",
        "jobs.outcome.q.01.1.id",
        "jobs.outcome.q.1.1",
        "jobs.outcome.q.1.1.%41",
        "jobs.outcome.%.1.1.x",
        "jobs.control.q.1.1.explode.id",
        "jobs.config.a b.1",
        "jobs.epoch.-1",
        "jobs.whatever.x",
    ] {
        assert_eq!(
            subjects().parse_ledger(text),
            LedgerSubject::Unknown,
            "{text:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_subject_panics(text in "(jobs\\.(submit|outcome|control|config|epoch|work|fence))?[.a-z0-9%*> é]{0,30}") {
        let s = subjects();
        prop_assert!(s.parse_ledger(&text) == s.parse_ledger(&text));
        prop_assert!(s.parse_work(&text) == s.parse_work(&text));
        prop_assert!(s.parse_api(&text) == s.parse_api(&text));
    }
}
