//! One process of the small world, in one life.

use std::time::Duration;

use crate::answer::Answer;
use crate::crew::rules::{Omission, Omitted};
use crate::crew::{CrewRules, Grant, Identity, Member, Sharing};
use crate::leadership::{Incarnation, LeaseTimings, Moment};
use crate::time::Timestamp;

/// The world's time: always now. As it goes on, everything else moves into the past.
pub(super) const NOW: Moment = Moment::from_nanos(1_000_000_000_000);
/// What happens between two steps happens at one moment.
pub(super) const STEP: Duration = Duration::from_millis(100);

/// Who renewed at a step may run at the next, is told to end at the second, and is killed before the
/// third; who first saw a record at a step takes it for silent at the third. No tighter world is
/// there in whole steps.
const TIMINGS: LeaseTimings = LeaseTimings {
    lease: Duration::from_millis(297),
    renew: Duration::from_millis(99),
    request: Duration::from_millis(5),
    margin: Duration::from_millis(47),
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Life {
    pub(super) process: usize,
    pub(super) number: u32,
    pub(super) member: Member,
    /// Whether it has begun.
    pub(super) here: bool,
    pub(super) paused: bool,
    /// Whether it hears nothing in this step.
    pub(super) deaf: bool,
    /// Whether another was made the planner while this one stood still.
    pub(super) deposed: bool,
    /// The timer that kills it.
    pub(super) guard: Option<Moment>,
    /// What it was told to end and has not ended.
    pub(super) ending: Vec<u32>,
    /// The answer to its last write that is on its way.
    pub(super) slow: Option<(u64, Answer)>,
}

pub(super) fn rules(sharing: Sharing, omitted: Option<Omission>) -> CrewRules {
    let mut rules = CrewRules::new(sharing, TIMINGS);
    rules.wind_up = Duration::from_millis(100);
    // A plan that is written anew says nothing new.
    rules.refresh = Duration::from_secs(3_600);
    rules.omitted = Omitted { rule: omitted };
    rules
}

fn incarnation(process: usize, number: u32) -> Incarnation {
    format!("p{process}-{number}").parse().unwrap()
}

impl Life {
    pub(super) fn new(rules: CrewRules, process: usize, number: u32) -> Self {
        let me = Identity {
            name: format!("p{process}"),
            incarnation: incarnation(process, number),
            host: String::new(),
            started: (NOW, Timestamp::default()),
        };
        Self {
            process,
            number,
            member: Member::new(rules, me).unwrap(),
            here: false,
            paused: false,
            deaf: false,
            deposed: false,
            guard: None,
            ending: Vec::new(),
            slow: None,
        }
    }

    pub(super) const fn me(&self) -> &Incarnation {
        &self.member.me.incarnation
    }

    pub(super) const fn acts(&self) -> bool {
        self.here && !self.paused
    }

    /// What it executes, or may at any moment.
    pub(super) fn executes(&self) -> Vec<Grant> {
        self.member.runs().collect()
    }
}
