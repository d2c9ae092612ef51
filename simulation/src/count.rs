//! How much a run did: what was checked, and which faults there were. A zero of broken promises is
//! worth as much as what stands here beside it.

use std::collections::BTreeMap;

/// Sums by name.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// What was done and checked.
    pub done: BTreeMap<&'static str, u64>,
    /// The faults.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// One more of what is done or checked.
    pub fn did(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// One more fault.
    pub fn fault(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.done {
            *self.done.entry(what).or_default() += times;
        }
        for (what, times) in &other.faults {
            *self.faults.entry(what).or_default() += times;
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub rule: &'static str,
    /// How it showed.
    pub what: String,
}

/// Each promise that is checked, with what is counted beside its zero.
pub const PROMISES: &[(&str, &[&str])] = &[
    ("accepted once", &["jobs", "refused repeats"]),
    ("repeats are told apart", &["repeats"]),
    ("all ends", &["jobs"]),
    ("the fold", &["folds compared"]),
    ("recorded once", &["outcomes"]),
    ("recorded in turn", &["outcomes"]),
    ("no ending of what is out", &["outcomes"]),
    ("no ending without a request", &["outcomes"]),
    ("one leader an epoch", &["elections won", "takeovers"]),
    ("fence", &["fences", "dispatches"]),
    ("stops at a newer epoch", &["takeovers"]),
    ("dispatched in turn", &["dispatches"]),
    ("each answer is told apart", &["dispatches"]),
    ("window", &["dispatches"]),
    ("no dispatch after a request", &["dispatches"]),
    ("no start before its time", &["dispatches"]),
    ("no start after its time", &["dispatches"]),
    ("limit", &["dispatches"]),
    ("one of a key", &["dispatches"]),
    ("no runs of one key at once", &["runs"]),
    ("no run of what is recorded", &["runs"]),
    ("no run without its lease", &["runs"]),
    ("five deliveries", &["runs"]),
    ("no ack before the outcome", &["acks"]),
    ("no progress after the lease", &["progress acks"]),
    ("no nak after the lease", &["naks of workers"]),
    ("let go", &["let go"]),
    ("nak", &["rescues"]),
    ("audit", &["audits"]),
    ("spent", &["deletions of spent work"]),
    ("rolled back", &["stops"]),
    ("goes on", &["records"]),
    ("comes to rest", &["jobs"]),
];
