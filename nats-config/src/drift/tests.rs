//! Differences and what they mean.

use serde_json::{Map, Value, json};

use super::{Drift, Role, Severity, compare, json};
use crate::names::Names;
use crate::settings::Settings;
use crate::{buckets, consumers, streams};

const DOOR: &str = "jobs.submit.*.>";

fn wanted(role: Role) -> Map<String, Value> {
    let (names, settings) = (Names::default(), Settings::default());
    match role {
        Role::Ledger => json(&streams::ledger(&names, &settings)),
        Role::Work => json(&streams::work(&names, &settings)),
        Role::LeaderBucket => json(&buckets::leader(&names, &settings)),
        Role::WorkersBucket => json(&buckets::workers(&names, &settings)),
        Role::Consumer => json(&consumers::queue(
            &names,
            &"invoices".parse().unwrap(),
            std::time::Duration::from_secs(30),
        )),
    }
}

fn drift(role: Role, field: &str, value: Value) -> Vec<Drift> {
    let wanted = wanted(role);
    let mut found = wanted.clone();
    found.insert(field.to_owned(), value);
    compare(role, "it", &wanted, &found, DOOR)
}

#[test]
fn the_same_in_the_servers_words_is_no_drift() {
    let mut found = wanted(Role::Ledger);
    for (field, value) in [
        ("consumer_limits", json!({})),
        ("compression", json!("none")),
        ("mirror_direct", json!(false)),
        ("persist_mode", json!("default")),
        ("max_msg_size", json!(-1)),
        ("max_age", Value::Null),
    ] {
        found.insert(field.to_owned(), value);
    }
    found["metadata"]["_nats.ver"] = json!("2.15.1");
    found["metadata"]["team"] = json!("billing");
    let all = compare(Role::Ledger, "it", &wanted(Role::Ledger), &found, DOOR);
    assert_eq!(all, []);
}

#[test]
fn what_a_promise_hangs_on_is_unsafe() {
    let hour = json!(3_600_000_000_000_u64);
    for (role, field, value) in [
        (Role::Ledger, "retention", json!("workqueue")),
        (Role::Ledger, "storage", json!("memory")),
        (Role::Ledger, "max_msgs_per_subject", json!(-1)),
        (Role::Ledger, "discard", json!("old")),
        (Role::Ledger, "discard_new_per_subject", json!(false)),
        (Role::Ledger, "allow_rollup_hdrs", json!(true)),
        (Role::Ledger, "allow_msg_ttl", json!(true)),
        (Role::Ledger, "allow_atomic", Value::Null),
        (Role::Ledger, "max_age", hour.clone()),
        (Role::Ledger, "max_msgs", json!(1_000)),
        (Role::Ledger, "num_replicas", json!(0)),
        (Role::Ledger, "persist_mode", json!("async")),
        (Role::Ledger, "sources", json!([{"name": "X"}])),
        (Role::Work, "retention", json!("limits")),
        (Role::Work, "max_age", hour),
        (Role::Work, "allow_atomic", json!(false)),
        (Role::LeaderBucket, "max_age", json!(1_000_000_000)),
        (Role::LeaderBucket, "storage", json!("memory")),
        (Role::Consumer, "filter_subject", json!("jobs.work.other.>")),
        (Role::Consumer, "ack_policy", json!("all")),
        (Role::Consumer, "max_deliver", json!(5)),
        (Role::Consumer, "backoff", json!([1, 2])),
    ] {
        let all = drift(role, field, value);
        let severity: Vec<_> = all.iter().map(|drift| drift.severity).collect();
        assert_eq!(severity, [Severity::Unsafe], "{role:?} {field}");
        assert_eq!(all[0].field, field);
    }
}

#[test]
fn an_operators_choice_is_harmless() {
    for (role, field, value) in [
        (Role::Ledger, "max_bytes", json!(1_000_000_000)),
        (Role::Ledger, "num_replicas", json!(3)),
        (Role::Ledger, "description", json!("ours")),
        (Role::Ledger, "placement", json!({"tags": ["ssd"]})),
        (Role::Ledger, "compression", json!("s2")),
        (Role::Ledger, "duplicate_window", json!(120_000_000_000_u64)),
        (Role::Ledger, "something_new", json!(7)),
        (Role::Ledger, "metadata", json!({})),
        (Role::LeaderBucket, "max_age", json!(0)),
        (Role::LeaderBucket, "max_age", json!(600_000_000_000_u64)),
        (Role::LeaderBucket, "max_msgs_per_subject", json!(5)),
        (Role::WorkersBucket, "max_age", json!(1_000_000_000)),
        (Role::Consumer, "ack_wait", json!(1_000_000_000)),
        (Role::Consumer, "max_ack_pending", json!(10)),
        (Role::Consumer, "num_replicas", json!(3)),
    ] {
        let all = drift(role, field, value);
        assert!(!all.is_empty(), "{role:?} {field} is seen");
        for drift in all {
            assert_eq!(drift.severity, Severity::Harmless, "{drift}");
        }
    }
}

#[test]
fn the_door_is_state_and_other_subjects_are_not() {
    let all = wanted(Role::Ledger)["subjects"].as_array().unwrap().clone();
    let with = |change: fn(&mut Vec<Value>)| {
        let mut subjects = all.clone();
        change(&mut subjects);
        drift(Role::Ledger, "subjects", Value::Array(subjects))
    };
    assert_eq!(with(|subjects| subjects.reverse()), []);
    assert_eq!(with(|subjects| drop(subjects.remove(0))), [], "closed");
    let missing = with(|subjects| subjects.truncate(2));
    assert_eq!(missing[0].severity, Severity::Unsafe);
    let more = with(|subjects| subjects.push(json!("audit.>")));
    assert_eq!(more[0].severity, Severity::Harmless);
    let work = drift(
        Role::Work,
        "subjects",
        json!(["jobs.work.>", "jobs.fence.>", "x"]),
    );
    assert_eq!(work[0].severity, Severity::Unsafe, "a foreign writer");
}

#[test]
fn a_drift_reads_well() {
    let all = drift(Role::Ledger, "max_age", json!(3_600_000_000_000_u64));
    assert_eq!(all[0].to_string(), "it: max_age is 3600s, should be unset");
    let all = drift(Role::Ledger, "discard", json!("old"));
    assert_eq!(all[0].to_string(), "it: discard is `old`, should be `new`");
}
