//! Subjects, headers and payloads of calls are fixed.

use super::tenure;
use crate::id::{CallId, GroupName, Namespace, SingletonKey, SingletonName};
use crate::leadership::{LeaseRecord, LeaseState};
use crate::number::Epoch;
use crate::proxy::{Refusal, Said, TenureName, Verdict};
use crate::subject::Subjects;
use crate::time::Timestamp;

#[test]
fn a_subject_names_singleton_incarnation_and_epoch() {
    let subjects = Subjects::new(Namespace::default());
    let name = SingletonName::new("report").unwrap();
    let group = SingletonKey::Group(GroupName::new("eu").unwrap(), name.clone());
    let call = subjects.call(&group, &tenure("Kq3", 5));
    assert_eq!(call, "jobs.call.group.eu.report.Kq3.e5");
    assert_eq!(subjects.call_all(&group), "jobs.call.group.eu.report.>");
    let global = subjects.call(&SingletonKey::Global(name), &tenure("Kq3", 5));
    assert_eq!(global, "jobs.call.global.report.Kq3.e5");
}

#[test]
fn only_a_record_that_is_held_names_somebody() {
    let mut record = LeaseRecord {
        v: 1,
        holder: "node-a".to_owned(),
        incarnation: "Kq3".parse().unwrap(),
        nonce: 7,
        epoch: Epoch::new(5),
        lease_ms: 15_000,
        state: LeaseState::Held,
        acquired: Timestamp::from_millis(0),
        host: String::new(),
    };
    let named = TenureName::of_record(&record.encode());
    assert_eq!(named, Some(tenure("Kq3", 5)));
    record.state = LeaseState::Released;
    assert_eq!(TenureName::of_record(&record.encode()), None);
    for garbage in ["", "{}", "null"] {
        assert_eq!(TenureName::of_record(garbage.as_bytes()), None);
    }
}

#[test]
fn each_verdict_is_read_as_it_was_written() {
    let refused = Said::Refused(Refusal::new("closed", "nobody works on Sundays"));
    for (verdict, name, payload) in [
        (Verdict::Said(Said::Done((*b"\0x").into())), "done", "\0x"),
        (
            Verdict::Said(refused),
            "refused",
            r#"{"code":"closed","message":"nobody works on Sundays"}"#,
        ),
        (
            Verdict::Said(Said::TooLong { len: 9, len_max: 8 }),
            "too-long",
            r#"{"len":9,"len_max":8}"#,
        ),
        (Verdict::NotLeading, "not-leading", ""),
        (Verdict::Busy, "busy", ""),
        (Verdict::Conflict, "conflict", ""),
    ] {
        let wire = verdict.to_wire();
        assert_eq!((wire.verdict, &*wire.payload), (name, payload.as_bytes()));
        assert_eq!(Verdict::parse(name, payload.as_bytes()), Ok(verdict));
    }
    for (name, payload) in [
        ("", ""),
        ("Done", ""),
        ("refused", "no"),
        ("too-long", "{}"),
    ] {
        assert!(Verdict::parse(name, payload.as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn a_refusal_is_cut_between_characters() {
    let refusal = Refusal::new(&"ä".repeat(40), &"€".repeat(2_000));
    assert_eq!(refusal.code(), "ä".repeat(32));
    assert_eq!(refusal.message(), "€".repeat(1_365));
}

#[test]
fn a_call_id_is_one_visible_word() {
    let longest = "i".repeat(128);
    for id in ["a", "~!.*>", &longest] {
        assert_eq!(CallId::new(id).unwrap().as_str(), id);
    }
    for id in ["", "a b", "ä", "a\r\nNats-X: 1", &"i".repeat(129)] {
        assert!(CallId::new(id).is_err(), "{id}");
    }
}
