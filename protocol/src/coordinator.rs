//! The coordinator's half: `handle(now, event)` decides, the hands carry out what it says.
//!
//! Every coordinator folds the ledger, keeps the backlog and listens to the workers; only the one
//! that won the lease and finished its takeover writes.

mod audit;
mod dispatch;
mod endings;
mod event;
mod ground;
mod standing;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use self::event::{Event, Ground, LedgerFacts};
use self::standing::Pace;
use crate::answer::Answer;
use crate::backlog::{Backlog, Line, Rank, Waiting};
use crate::door;
use crate::effects::{Effects, Stop};
use crate::job::JobState;
use crate::leader::{Leader, Outstanding};
use crate::ledger::{Folded, Ledger, RecordIdentity};
use crate::message::{Presence, WorkerSays, WorkerTold};
use crate::number::{Accepted, Attempt, Epoch};
use crate::subject::{JobName, Subjects};
use crate::takeover::Takeover;
use crate::time::Timestamp;
use crate::window::WindowWidth;
use crate::workers::Workers;

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
    /// No own or seen epoch is above this one.
    highest: Epoch,
    pace: Pace,
    /// The last record that was folded when the ledger's facts were asked for.
    folded_at_look: Option<RecordIdentity>,
    /// The tags of one leadership are not those of the next: late answers count for nothing.
    next_tag: u64,
    is_door_open: Option<bool>,
    /// Why no promise can be kept with what is there; then nothing is dispatched and no job ended.
    frozen: Option<String>,
    /// Since when the ledger seems to end before what was folded.
    behind_since: Option<Timestamp>,
}

/// What a coordinator is.
#[derive(Debug)]
enum Role {
    /// Folds and listens.
    Follower,
    /// Holds the lease and waits for a new epoch, which is asked for at this time, or was.
    Advancing(Option<Timestamp>),
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
            highest: Epoch::default(),
            pace: Pace::default(),
            folded_at_look: None,
            next_tag: 1,
            is_door_open: None,
            frozen: None,
            behind_since: None,
        }
    }

    /// Decides what follows from an event. `now` is corrected by the broker's time.
    pub fn handle(&mut self, now: Timestamp, event: Event<'_>) -> Effects {
        let mut effects = Effects::default();
        if !matches!(self.role, Role::Stopped(_)) {
            self.decide(now, event, &mut effects);
            self.advance_if_due(now, &mut effects);
            self.lead_on(now, &mut effects);
        }
        effects
    }

    fn decide(&mut self, now: Timestamp, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Record(record) => {
                let folded = self.ledger.fold(&self.subjects, record);
                self.folded(now, folded, effects);
                self.caught_up(now, effects);
                self.judge_audit(now, effects);
            }
            Event::Reread { accepted, payload } => {
                let folded = self.ledger.resolve(accepted, payload);
                self.folded(now, folded, effects);
                self.caught_up(now, effects);
            }
            Event::Won(epoch) => self.take_over(epoch, effects),
            Event::Suspended => self.stand_back(Role::Suspended, effects),
            Event::Resumed => self.resumed(now, effects),
            Event::Lost => self.stand_back(Role::Follower, effects),
            Event::NotAdvanced if planted!(RefusalIsLoss) => {
                self.stand_back(Role::Follower, effects)
            }
            Event::Looked {
                epoch,
                tail,
                ledger,
            } => self.looked(now, epoch, (tail, &ledger), effects),
            Event::Fenced(epoch, answer) => {
                trouble("fence", &answer, effects);
                self.step_taken(now, epoch, effects, |takeover| takeover.fenced(&answer));
            }
            Event::Listed(epoch, listing) => {
                let subjects = self.subjects.clone();
                self.step_taken(now, epoch, effects, |takeover| {
                    takeover.listed(&subjects, &listing)
                });
            }
            Event::Barred(epoch, answer) => {
                trouble("barrier", &answer, effects);
                self.step_taken(now, epoch, effects, |takeover| takeover.barred(&answer));
            }
            Event::Audited(epoch, listing, last) => {
                self.audited(now, epoch, (&listing, last), effects);
                self.judge_audit(now, effects);
            }
            Event::Dispatched { tag, answer } => self.landed(now, tag, answer, effects),
            Event::Unsendable { tag, why } => self.unsendable(now, tag, why, effects),
            Event::Wrote { accepted, answer } => self.wrote(accepted, &answer, effects),
            Event::Connected => self.workers.connected(now),
            Event::Disconnected => self.workers.blinded(),
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
            Event::LedgerSeen { facts, then } => {
                self.ledger_seen(now, &facts, then.as_ref(), effects);
            }
            Event::Ground(ground) => self.stand_on(now, ground, effects),
            Event::NotAdvanced | Event::Tick => {}
        }
    }

    /// Brings the backlog and the leader's books in line with what a record did.
    fn folded(&mut self, now: Timestamp, folded: Folded, effects: &mut Effects) {
        match folded {
            Folded::Job(accepted) => self.refresh(accepted, effects),
            Folded::Configured { queue, jobs } => {
                self.backlog.stir(&queue);
                self.want_consumer(&queue, effects);
                for accepted in jobs {
                    self.refresh(accepted, effects);
                }
            }
            Folded::Epoch(epoch) => self.epoch_folded(now, epoch, effects),
            Folded::Newer(why) => self.stop(Stop::Newer(why), effects),
            Folded::WentBack(why) => self.stop(Stop::WentBack(why), effects),
            Folded::Ignored => {}
        }
    }

    /// Puts a job where its state says, after a record changed it.
    fn refresh(&mut self, accepted: Accepted, effects: &mut Effects) {
        let Some(job) = self.ledger.job(accepted) else {
            return;
        };
        let last = job.state.last();
        self.workers.ended(accepted, last);
        let is_out = match &mut self.role {
            Role::Leading(leader) => {
                leader.errands.remove(accepted);
                take_in_if_over(leader, &mut self.backlog, accepted, last);
                leader.outstanding.contains_key(&accepted)
            }
            Role::Follower
            | Role::Advancing(_)
            | Role::TakingOver(_)
            | Role::Suspended
            | Role::Stopped(_) => false,
        };
        if let (true, Role::Leading(leader), JobState::Open(open)) =
            (planted!(KeyFreedByCancel), &self.role, &job.state)
            && let (Some(_), Some(out)) = (open.request, leader.outstanding.get(&accepted))
            && let Some(key) = &out.key
        {
            self.backlog.free(key, accepted);
        }
        let is_out = is_out && !planted!(EndsWhatIsOut);
        let (waiting, ends) = match &job.state {
            JobState::Open(open) => {
                if let (true, Some(_)) = (is_out, open.request) {
                    self.tell_cancel(accepted, open.next(), effects);
                }
                let waits = !is_out && (open.request.is_none() || planted!(RequestedIsDispatched));
                let waiting = waits.then(|| waiting(accepted, &job.name, open)).flatten();
                (waiting, open.request.is_some())
            }
            JobState::Unconfigured(early) => (None, early.request.is_some()),
            JobState::Malformed { .. } => (None, true),
            JobState::Unresolved(_) => {
                effects.reread.push(accepted);
                (None, false)
            }
            JobState::Parked { .. } | JobState::Final(_) => (None, false),
        };
        if ends {
            self.to_end.insert(accepted);
        } else {
            self.to_end.remove(&accepted);
        }
        if let (Role::Leading(leader), true, false) = (&mut self.role, ends, is_out) {
            leader.errands.add(accepted);
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
            | Role::Advancing(_)
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
                | JobState::Unresolved(_)
                | JobState::Parked { .. }
                | JobState::Malformed { .. }
                | JobState::Final(_) => false,
            })
        };
        let held: Vec<(Accepted, Attempt)> = match (&says, self.to_end.is_empty()) {
            (WorkerSays::Took { took: held, .. }, false)
            | (WorkerSays::Here(Presence { running: held, .. }), false) => {
                held.iter().map(|t| (t.accepted, t.attempt)).collect()
            }
            (WorkerSays::Took { .. } | WorkerSays::Here(_), _)
            | (WorkerSays::LetGo { .. } | WorkerSays::Gone { .. }, _) => Vec::new(),
        };
        effects.told.extend(self.workers.said(now, says, is_open));
        // A cancel that came before anybody had taken the attempt, or that an older leader did not
        // tell, is told to who holds it now.
        for (accepted, attempt) in held {
            if self.is_outstanding(accepted) && self.to_end.contains(&accepted) {
                self.tell_cancel(accepted, attempt, effects);
            }
        }
    }

    /// Our epoch, as long as we hold the lease and have one.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.role {
            Role::TakingOver(takeover) => Some(takeover.epoch()),
            Role::Leading(leader) => Some(leader.epoch),
            Role::Follower | Role::Advancing(_) | Role::Suspended | Role::Stopped(_) => None,
        }
    }

    /// Why it stopped for good, if it did.
    #[must_use]
    pub const fn stopped(&self) -> Option<&Stop> {
        match &self.role {
            Role::Stopped(stop) => Some(stop),
            Role::Follower
            | Role::Advancing(_)
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
            | Role::Advancing(_)
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
    pub fn wake_at(&self, _now: Timestamp) -> Option<Timestamp> {
        match &self.role {
            // What is due waits for the ground: it is told by an event.
            Role::Leading(_) if self.frozen.is_some() => self.workers.next_time(),
            Role::Leading(leader) => {
                let times = [
                    self.backlog.next_time(),
                    self.workers.next_time(),
                    leader.next_time(),
                ];
                times.into_iter().flatten().min()
            }
            Role::Advancing(at) => *at,
            Role::Follower | Role::TakingOver(_) | Role::Suspended | Role::Stopped(_) => None,
        }
    }

    /// The state that the ledger adds up to.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// An attempt that has its outcome is outstanding no more: its place and its key are free.
fn take_in_if_over(leader: &mut Leader, backlog: &mut Backlog, accepted: Accepted, last: Attempt) {
    let is_over = |out: &Outstanding| out.attempt <= last;
    if leader.outstanding.get(&accepted).is_some_and(is_over)
        && let Some(out) = leader.take_in(accepted)
    {
        backlog.stir(&out.queue);
        if let Some(key) = out.key {
            backlog.free(&key, accepted);
        }
    }
}

/// A fence or a barrier that cannot be written is for an operator.
fn trouble(what: &str, answer: &Answer, effects: &mut Effects) {
    match answer {
        Answer::Full(text) => effects
            .alarms
            .push(format!("the {what} of a new leader has no room: {text}")),
        Answer::Refused { code, text } => effects.alarms.push(format!(
            "the {what} of a new leader was refused with {code}: {text}"
        )),
        Answer::Stored(_)
        | Answer::Duplicate(_)
        | Answer::Occupied
        | Answer::WrongLast
        | Answer::Busy
        | Answer::NoResponders
        | Answer::Unanswered => {}
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
        // Who replays an expired job wants it to run.
        expires_at: open
            .spec
            .expires_at
            .filter(|_| open.replayed == Attempt::NONE),
    })
}
