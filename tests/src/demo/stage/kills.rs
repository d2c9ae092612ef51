//! The moments of the kills: first the leader, then, when another leads, a worker inside a handler.

use std::collections::BTreeMap;

use crate::demo::clock::{self, Instants};
use crate::demo::evidence::{Kill, Victim};
use crate::demo::plan::Pace;
use crate::demo::runs::Line;
use crate::demo::watch::Seen;

/// Where in the jobs the leader is killed, in percent: as soon as it can be from here.
const LEADER_FROM: usize = 30;
/// Where in the jobs the worker is killed, in percent.
const WORKER_FROM: usize = 50;
/// No kill from here on, in percent: what is seen is a little behind.
const NONE_FROM: usize = 76;
/// Workers that may be killed until one was inside a handler.
const WORKERS_MAX: usize = 2;

/// A run of this age has been announced. What a worker took in its last millisecond nobody knows of:
/// it waits for its lease, which is not what a demo is there to show.
const SETTLED_NS: u64 = 3_000_000;

/// What is to be killed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// The coordinator of this name.
    Leader(String),
    /// The worker of this process.
    Worker(u32),
}

/// What was killed, and what is to be.
pub(super) struct Kills {
    jobs: usize,
    /// A run that is younger than this goes on for a good while.
    young_ns: u64,
    all: Vec<Kill>,
    leader_epoch: Option<u64>,
    workers: usize,
    inside: bool,
    /// A worker was killed and is not yet known to be dead.
    waiting: bool,
}

impl Kills {
    pub(super) const fn new(jobs: usize, pace: Pace) -> Self {
        Self {
            jobs,
            young_ns: pace.work_ms_min * 1_000_000 * 3 / 4,
            all: Vec::new(),
            leader_epoch: None,
            workers: 0,
            inside: false,
            waiting: false,
        }
    }

    /// Everything that was killed.
    pub(super) fn all(&self) -> &[Kill] {
        &self.all
    }

    /// Whether the moment for a kill has come. `done`: how many jobs are; `open`: the runs that have
    /// not ended.
    pub(super) fn due<'a>(
        &mut self,
        (seen, done): (&Seen, usize),
        open: impl Iterator<Item = &'a Line>,
    ) -> Option<Due> {
        let reached = |percent| done * 100 >= percent * self.jobs;
        if reached(NONE_FROM) {
            return None;
        }
        let (leader, epoch) = seen.leader.clone()?;
        let victim = self.in_the_middle(open, clock::boot_ns())?;
        match self.leader_epoch {
            None if reached(LEADER_FROM) => {
                self.leader_epoch = Some(epoch);
                Some(Due::Leader(leader))
            }
            Some(killed) if epoch > killed && reached(WORKER_FROM) && self.wants_worker() => {
                Some(Due::Worker(victim))
            }
            Some(_) | None => None,
        }
    }

    /// A worker that is in the middle of what it runs: the kill will find it there.
    fn in_the_middle<'a>(&self, open: impl Iterator<Item = &'a Line>, now: u64) -> Option<u32> {
        let mut youngest: BTreeMap<u32, u64> = BTreeMap::new();
        for line in open {
            let age = now.saturating_sub(line.t);
            let known = youngest.entry(line.pid).or_insert(age);
            *known = age.min(*known);
        }
        let middle = SETTLED_NS..self.young_ns;
        let found = youngest.iter().find(|(_, age)| middle.contains(age));
        found.map(|(pid, _)| *pid)
    }

    const fn wants_worker(&self) -> bool {
        !self.inside && !self.waiting && self.workers < WORKERS_MAX
    }

    pub(super) fn killed(&mut self, victim: Victim, at: Instants) {
        if matches!(victim, Victim::Worker { .. }) {
            self.workers += 1;
            self.waiting = true;
        }
        self.all.push(Kill { victim, at });
    }

    /// How many milliseconds ago the worker of this process was killed.
    pub(super) fn killed_ms_ago(&self, pid: u32) -> Option<u64> {
        let found = self.all.iter().find(
            |kill| matches!(kill.victim, Victim::Worker { pid: killed, .. } if killed == pid),
        );
        found.map(|kill| clock::boot_ns().saturating_sub(kill.at.boot_ns) / 1_000_000)
    }

    /// Whether the leader of this epoch was not killed.
    pub(super) fn lives(&self, epoch: u64) -> bool {
        self.leader_epoch.is_none_or(|killed| epoch > killed)
    }

    /// Whether a process of this name was killed.
    pub(super) fn is_killed(&self, name: &str) -> bool {
        self.all.iter().any(|kill| match &kill.victim {
            Victim::Leader { name: killed } | Victim::Worker { name: killed, .. } => killed == name,
        })
    }

    /// A killed process is dead; `cut` are the jobs whose runs it cut off. `true`: it was a worker.
    pub(super) fn worker_died(&mut self, name: &str, cut: &[String]) -> bool {
        let of_worker = self.all.iter().any(
            |kill| matches!(&kill.victim, Victim::Worker { name: killed, .. } if killed == name),
        );
        if of_worker {
            self.waiting = false;
            self.inside |= !cut.is_empty();
        }
        of_worker
    }
}
