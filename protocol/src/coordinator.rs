//! The coordinator's half: `handle(now, event)` decides, the hands carry out what it says.
//!
//! Every coordinator folds the ledger, keeps the backlog and listens to the workers; only the one
//! that won the lease and finished its takeover writes.

mod audit;
mod dispatch;
mod endings;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::answer::Answer;
use crate::backlog::{Backlog, Line, Rank, Waiting};
use crate::door::{self, Usage};
use crate::effects::{Effects, Stop};
use crate::id::WorkerId;
use crate::job::JobState;
use crate::leader::Leader;
use crate::ledger::{Folded, Ledger, Record, RecordIdentity};
use crate::message::{WorkerSays, WorkerTold};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::subject::{JobName, Subjects};
use crate::takeover::{Next, Step, Takeover, WorkTail};
use crate::time::Timestamp;
use crate::window::WindowWidth;
use crate::workers::{Pong, Workers};

/// What happened, one variant for each source.
pub enum Event<'a> {
    /// The next record of the ledger.
    Record(&'a Record<'a>),
    /// A payload that was read again.
    Reread {
        /// The job.
        accepted: Accepted,
        /// Its payload.
        payload: &'a [u8],
    },
    /// The lease was won, or a new epoch was taken.
    Won(Epoch),
    /// The lease cannot be renewed for now: write nothing.
    Suspended,
    /// The lease is ours again; nobody led in between.
    Resumed,
    /// The lease is lost, or was given back.
    Lost,
    /// The tail of the work queue and the ledger's facts were read.
    Looked {
        /// For which epoch.
        epoch: Epoch,
        /// The work queue.
        tail: WorkTail,
        /// The ledger.
        ledger: LedgerFacts,
    },
    /// The fence was answered.
    Fenced(Epoch, Answer),
    /// The work queue was listed.
    Listed(Epoch, Vec<String>),
    /// The barrier was answered.
    Barred(Epoch, Answer),
    /// An audit's listing, and the ledger's last sequence, read after it.
    Audited(Epoch, Vec<String>, Sequence),
    /// A dispatch was answered.
    Dispatched {
        /// Its tag.
        tag: u64,
        /// The answer.
        answer: Answer,
    },
    /// A record was answered.
    Wrote {
        /// The job that it is about.
        accepted: Accepted,
        /// The answer.
        answer: Answer,
    },
    /// A worker said something.
    Said(WorkerSays),
    /// A ping showed something.
    Ponged(WorkerId, Pong),
    /// How full the ledger and its account are, and whether the door is open.
    Usage(Vec<Usage>, Option<bool>),
    /// Time has passed.
    Tick,
}

/// What is known of the ledger at its stream leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFacts {
    /// When the stream was made.
    pub created: Timestamp,
    /// Its last sequence.
    pub last: Sequence,
    /// The record at the sequence that we folded last, if it is there.
    pub at_folded: Option<RecordIdentity>,
}

/// A coordinator.
#[derive(Debug)]
pub struct Coordinator {
    subjects: Subjects,
    width: WindowWidth,
    ledger: Ledger,
    ledger_created: Option<Timestamp>,
    backlog: Backlog,
    /// Open jobs with a request, and malformed ones: the leader ends them.
    to_end: BTreeSet<Accepted>,
    workers: Workers,
    role: Role,
    is_door_open: Option<bool>,
}

/// What a coordinator is.
#[derive(Debug)]
enum Role {
    /// Folds and listens.
    Follower,
    /// Holds the lease and waits for a new epoch.
    Advancing,
    /// Holds the lease and establishes its epoch.
    TakingOver(Takeover),
    /// Leads.
    Leading(Box<Leader>),
    /// Holds the lease, which it cannot renew for now.
    Suspended,
    /// Neither folds nor stands any more.
    Stopped(Stop),
}

impl Coordinator {
    /// A coordinator that has folded nothing.
    #[must_use]
    pub fn new(subjects: Subjects, width: WindowWidth) -> Self {
        Self {
            subjects,
            width,
            ledger: Ledger::default(),
            ledger_created: None,
            backlog: Backlog::default(),
            to_end: BTreeSet::new(),
            workers: Workers::default(),
            role: Role::Follower,
            is_door_open: None,
        }
    }

    /// Decides what follows from an event. `now` is corrected by the broker's time.
    pub fn handle(&mut self, now: Timestamp, event: Event<'_>) -> Effects {
        let mut effects = Effects::default();
        if !matches!(self.role, Role::Stopped(_)) {
            let upkeep = matches!(event, Event::Tick | Event::Said(_) | Event::Ponged(..));
            self.decide(now, event, &mut effects);
            self.lead_on(now, &mut effects);
            if upkeep {
                self.keep_up(now, &mut effects);
            }
        }
        effects
    }

    fn decide(&mut self, now: Timestamp, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Record(record) => {
                let folded = self.ledger.fold(&self.subjects, record);
                self.folded(folded, effects);
                self.caught_up(now, effects);
            }
            Event::Reread { accepted, payload } => {
                let folded = self.ledger.resolve(accepted, payload);
                self.folded(folded, effects);
            }
            Event::Won(epoch) => self.take_over(epoch, effects),
            Event::Suspended => self.stand_back(Role::Suspended, effects),
            Event::Resumed => self.in_doubt("the lease was suspended", effects),
            Event::Lost => self.stand_back(Role::Follower, effects),
            Event::Looked {
                epoch,
                tail,
                ledger,
            } => self.looked(epoch, tail, &ledger, effects),
            Event::Fenced(epoch, answer) => {
                self.step_taken(now, epoch, effects, |takeover, _| takeover.fenced(&answer));
            }
            Event::Listed(epoch, listing) => {
                let subjects = self.subjects.clone();
                self.step_taken(now, epoch, effects, |takeover, _| {
                    takeover.listed(&subjects, &listing)
                });
            }
            Event::Barred(epoch, answer) => {
                self.step_taken(now, epoch, effects, |takeover, folded| {
                    takeover.barred(&answer, folded)
                });
            }
            Event::Audited(epoch, listing, last) => self.audited(epoch, &listing, last, effects),
            Event::Dispatched { tag, answer } => self.landed(now, tag, answer, effects),
            Event::Wrote { accepted, answer } => self.wrote(now, accepted, &answer, effects),
            Event::Said(says) => self.said(now, says, effects),
            Event::Ponged(worker, pong) => {
                effects.told.extend(self.workers.ponged(now, &worker, pong));
            }
            Event::Usage(usages, is_open) => {
                self.is_door_open = is_open;
                if matches!(self.role, Role::Leading(_)) {
                    effects.door = door::decide(&usages, is_open);
                }
            }
            Event::Tick => {}
        }
    }

    /// Brings the backlog and the leader's books in line with what a record did.
    fn folded(&mut self, folded: Folded, effects: &mut Effects) {
        match folded {
            Folded::Job(accepted) => self.refresh(accepted, effects),
            Folded::Configured { queue, jobs } => {
                if let (Role::Leading(_), Some(config)) =
                    (&self.role, self.ledger.queue_config(&queue))
                {
                    effects.consumers.push((queue, Arc::clone(config)));
                }
                for accepted in jobs {
                    self.refresh(accepted, effects);
                }
            }
            Folded::Epoch(epoch) => self.epoch_folded(epoch, effects),
            Folded::Newer(why) => self.stop(Stop::Newer(why), effects),
            Folded::Ignored => {}
        }
    }

    /// A barrier above our own epoch: stop writing before the next record is folded.
    fn epoch_folded(&mut self, epoch: Epoch, effects: &mut Effects) {
        if self.epoch().is_some_and(|own| epoch > own) {
            self.stand_back(Role::Advancing, effects);
            effects.advance = Some(epoch);
        }
    }

    /// Puts a job where its state says, after a record changed it.
    fn refresh(&mut self, accepted: Accepted, effects: &mut Effects) {
        let Some(job) = self.ledger.job(accepted) else {
            return;
        };
        let last = job.state.last();
        self.workers.ended(accepted, last);
        if let Role::Leading(leader) = &mut self.role {
            leader.writing.remove(&accepted);
            let over = leader
                .outstanding
                .get(&accepted)
                .is_some_and(|out| out.attempt <= last);
            let out = if over { leader.take_in(accepted) } else { None };
            if let Some(key) = out.and_then(|out| out.key) {
                self.backlog.free(&key, accepted);
            }
        }
        let is_out = self.is_outstanding(accepted);
        let (waiting, ends) = match &job.state {
            JobState::Open(open) => {
                if let (true, Some(_)) = (is_out, open.request) {
                    self.tell_cancel(accepted, open.next(), effects);
                }
                let waits = !is_out && open.request.is_none();
                let waiting = waits.then(|| waiting(accepted, &job.name, open)).flatten();
                (waiting, open.request.is_some())
            }
            JobState::Malformed { .. } => (None, true),
            JobState::Unresolved(..) => {
                effects.reread.push(accepted);
                (None, false)
            }
            JobState::Unconfigured(_) | JobState::Parked { .. } | JobState::Final(_) => {
                (None, false)
            }
        };
        if ends {
            self.to_end.insert(accepted);
        } else {
            self.to_end.remove(&accepted);
        }
        match waiting {
            Some(waiting) => {
                let at = self
                    .ledger
                    .last()
                    .map_or(waiting.rank.due, |last| last.time);
                self.backlog.insert(waiting, at);
            }
            None => {
                self.backlog.remove(accepted);
            }
        }
    }

    fn tell_cancel(&self, accepted: Accepted, attempt: Attempt, effects: &mut Effects) {
        if let Some(worker) = self.workers.holder(accepted, attempt) {
            let told = WorkerTold::Cancel { accepted, attempt };
            effects.told.push((worker.clone(), told));
        }
    }

    fn is_outstanding(&self, accepted: Accepted) -> bool {
        match &self.role {
            Role::Leading(leader) => leader.outstanding.contains_key(&accepted),
            Role::Follower
            | Role::Advancing
            | Role::TakingOver(_)
            | Role::Suspended
            | Role::Stopped(_) => false,
        }
    }

    fn said(&mut self, now: Timestamp, says: WorkerSays, effects: &mut Effects) {
        let ledger = &self.ledger;
        let is_open = |accepted, attempt| {
            ledger.job(accepted).is_some_and(|job| match &job.state {
                JobState::Open(open) => open.next() == attempt,
                JobState::Unconfigured(_)
                | JobState::Unresolved(..)
                | JobState::Parked { .. }
                | JobState::Malformed { .. }
                | JobState::Final(_) => false,
            })
        };
        let took = match &says {
            WorkerSays::Took { took, .. } => took.iter().map(|t| (t.accepted, t.attempt)).collect(),
            WorkerSays::Here(_) | WorkerSays::Gone { .. } => Vec::new(),
        };
        effects.told.extend(self.workers.said(now, says, is_open));
        // A cancel that came before anybody had taken the attempt is told to who took it now.
        for (accepted, attempt) in took {
            if self.to_end.contains(&accepted) {
                self.tell_cancel(accepted, attempt, effects);
            }
        }
    }

    /// Leaves a role in which it wrote: what was outstanding waits, for all that a follower knows.
    fn stand_back(&mut self, to: Role, effects: &mut Effects) {
        let before = std::mem::replace(&mut self.role, to);
        match before {
            Role::Leading(leader) => {
                effects.drop_writes = true;
                for (accepted, out) in &leader.outstanding {
                    if let Some(key) = &out.key {
                        self.backlog.free(key, *accepted);
                    }
                    self.refresh(*accepted, effects);
                }
                // Told by a leader only; nothing is decided by it.
                effects.told.clear();
                self.workers.reset_pings();
            }
            Role::TakingOver(_) => effects.drop_writes = true,
            Role::Follower | Role::Advancing | Role::Suspended | Role::Stopped(_) => {}
        }
    }

    /// Only a takeover with a new epoch settles what is in doubt.
    fn in_doubt(&mut self, why: &str, effects: &mut Effects) {
        let floor = self.epoch().unwrap_or(self.ledger.newest_epoch());
        self.stand_back(Role::Advancing, effects);
        effects.advance = Some(floor);
        effects.alarms.push(format!("takeover again: {why}"));
    }

    fn stop(&mut self, stop: Stop, effects: &mut Effects) {
        self.stand_back(Role::Stopped(stop.clone()), effects);
        effects.stop = Some(stop);
    }

    fn take_over(&mut self, epoch: Epoch, effects: &mut Effects) {
        self.stand_back(Role::TakingOver(Takeover::new(epoch)), effects);
        effects.step = Some((epoch, Step::Look));
    }

    fn looked(&mut self, epoch: Epoch, tail: WorkTail, facts: &LedgerFacts, effects: &mut Effects) {
        if self.epoch() != Some(epoch) {
            return;
        }
        if let Some(why) = self.went_back(facts) {
            self.stop(Stop::WentBack(why), effects);
            return;
        }
        self.ledger_created = Some(facts.created);
        // The epoch of a barrier that we folded is used up, whatever the lease says.
        if self.ledger.newest_epoch() >= epoch {
            self.role = Role::Advancing;
            effects.advance = Some(self.ledger.newest_epoch());
            return;
        }
        if let Role::TakingOver(takeover) = &mut self.role {
            let next = takeover.looked(tail);
            self.go(epoch, next, effects);
        }
    }

    /// Why the ledger is not the one that was folded.
    fn went_back(&self, facts: &LedgerFacts) -> Option<String> {
        if self
            .ledger_created
            .is_some_and(|created| created != facts.created)
        {
            return Some(format!("the ledger was made anew at {}", facts.created));
        }
        let folded = self.ledger.last()?;
        if facts.last < folded.sequence {
            return Some(format!(
                "the ledger ends at {}, but {} was folded",
                facts.last, folded.sequence
            ));
        }
        (facts.at_folded.as_ref() != Some(folded)).then(|| {
            format!(
                "the ledger's record {} is not the one that was folded",
                folded.sequence
            )
        })
    }

    fn step_taken(
        &mut self,
        now: Timestamp,
        epoch: Epoch,
        effects: &mut Effects,
        take: impl FnOnce(&mut Takeover, Sequence) -> Next,
    ) {
        let folded = self.ledger.last_sequence();
        if let Role::TakingOver(takeover) = &mut self.role
            && takeover.epoch() == epoch
        {
            let next = take(takeover, folded);
            self.go_on(now, epoch, next, effects);
        }
    }

    fn caught_up(&mut self, now: Timestamp, effects: &mut Effects) {
        let folded = self.ledger.last_sequence();
        if let Role::TakingOver(takeover) = &mut self.role {
            let (epoch, next) = (takeover.epoch(), takeover.caught_up(folded));
            self.go_on(now, epoch, next, effects);
        }
        self.judge_audit(now, folded, effects);
    }

    fn go_on(&mut self, now: Timestamp, epoch: Epoch, next: Next, effects: &mut Effects) {
        match next {
            Next::Lead(listed) => self.lead(now, epoch, listed, effects),
            Next::Step(_) | Next::Advance(_) | Next::Wait => self.go(epoch, next, effects),
        }
    }

    fn go(&mut self, epoch: Epoch, next: Next, effects: &mut Effects) {
        match next {
            Next::Step(step) => effects.step = Some((epoch, step)),
            Next::Advance(floor) => {
                self.role = Role::Advancing;
                effects.advance = Some(floor);
            }
            Next::Wait | Next::Lead(_) => {}
        }
    }

    /// Our epoch, as long as we hold the lease and have one.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.role {
            Role::TakingOver(takeover) => Some(takeover.epoch()),
            Role::Leading(leader) => Some(leader.epoch),
            Role::Follower | Role::Advancing | Role::Suspended | Role::Stopped(_) => None,
        }
    }

    /// Why it stopped for good, if it did.
    #[must_use]
    pub const fn stopped(&self) -> Option<&Stop> {
        match &self.role {
            Role::Stopped(stop) => Some(stop),
            Role::Follower
            | Role::Advancing
            | Role::TakingOver(_)
            | Role::Leading(_)
            | Role::Suspended => None,
        }
    }

    /// Whether a takeover waits for the ledger to be folded up to its barrier.
    #[must_use]
    pub const fn is_catching_up(&self) -> bool {
        match &self.role {
            Role::TakingOver(takeover) => takeover.is_catching_up(),
            Role::Follower
            | Role::Advancing
            | Role::Leading(_)
            | Role::Suspended
            | Role::Stopped(_) => false,
        }
    }

    /// Whether it leads: its takeover is finished.
    #[must_use]
    pub const fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// When it wants to be asked again although nothing happened.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let Role::Leading(leader) = &self.role else {
            return None;
        };
        let times = [
            self.backlog.next_time(),
            self.workers.next_time(now),
            leader.next_time(),
        ];
        times.into_iter().flatten().min()
    }

    /// The state that the ledger adds up to.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

fn waiting(accepted: Accepted, name: &JobName, open: &crate::job::Open) -> Option<Waiting> {
    let JobName::Named { queue, .. } = name else {
        return None;
    };
    Some(Waiting {
        line: Line {
            queue: queue.clone(),
            kind: open.spec.kind.clone(),
        },
        key: open.spec.key.clone(),
        rank: Rank {
            priority: open.spec.priority,
            due: open.due,
            accepted,
        },
        expires_at: open.spec.expires_at,
    })
}
