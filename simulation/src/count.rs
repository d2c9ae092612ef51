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
