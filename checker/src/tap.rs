//! Every message that the work queue ever stored, against the ledger: who was allowed to write it,
//! and whether its attempt's turn had come. Its times and those of the ledger must be of one clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use protocol::number::{Accepted, Attempt, Epoch, Sequence};
use protocol::outcome::Status;
use protocol::subject::{AttemptName, FENCE_LEN, Subjects, WorkSubject};
use protocol::time::Timestamp;

use crate::digest::Digest;
use crate::present::behind_fence;
use crate::records::Records;
use crate::report::{Docket, Place};
use crate::rule::Rule;

/// A message as the work queue stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    /// Its place.
    pub sequence: Sequence,
    /// When the broker stored it.
    pub time: Timestamp,
    /// Its subject.
    pub subject: String,
    /// The epoch that its header names; none for a fence.
    pub epoch: Option<Epoch>,
    /// The last sequence that its header expected.
    pub expected: Option<Sequence>,
}

/// Goes through the tap in its order.
struct Sweep<'a> {
    records: &'a Records,
    docket: &'a mut Docket,
    /// The newest fence.
    newest: Epoch,
    /// The fence that is coming, and how much of it has come.
    fence: (Epoch, u64),
    fences: BTreeSet<Epoch>,
    handed_out: BTreeSet<(Accepted, Attempt)>,
    keys: BTreeMap<Digest, (Accepted, Attempt)>,
}

/// Judges the tap, and gives what was handed out; `None` for a tap with a hole, which proves
/// nothing. `last` is the last sequence of the work queue.
pub(crate) fn judge(
    tapped: &[Tapped],
    last: Sequence,
    subjects: &Subjects,
    records: &Records,
    docket: &mut Docket,
) -> Option<BTreeSet<(Accepted, Attempt)>> {
    if !is_whole(tapped, last, docket) {
        return None;
    }
    let mut sweep = Sweep {
        records,
        docket,
        newest: Epoch::new(0),
        fence: (Epoch::new(0), FENCE_LEN),
        fences: BTreeSet::new(),
        handed_out: BTreeSet::new(),
        keys: BTreeMap::new(),
    };
    for message in tapped {
        let place = Place {
            of: "tap",
            sequence: message.sequence,
            subject: &message.subject,
        };
        match subjects.parse_work(&message.subject) {
            WorkSubject::Fence { epoch, place: at } => sweep.fence(place, message, epoch, at),
            WorkSubject::Work(name) => sweep.work(place, message, &name),
            WorkSubject::Unknown => {
                sweep.docket.checked(&[Rule::Known]);
                let what = "no rule makes this subject";
                sweep.docket.wrong(Rule::Known, place, what);
            }
        }
    }
    sweep.fence_ends("the end of the tap");
    sweep.barriers();
    sweep.outcomes();
    Some(sweep.handed_out)
}

fn is_whole(tapped: &[Tapped], last: Sequence, docket: &mut Docket) -> bool {
    let mut whole = true;
    let mut before = Sequence::new(0);
    for message in tapped {
        docket.checked(&[Rule::Valid]);
        let next = before.next();
        if message.sequence != next {
            let place = format!("tap {}", message.sequence);
            docket.wrong(Rule::Valid, place, format!("{next} comes next"));
            whole = false;
        }
        before = before.max(message.sequence);
    }
    docket.checked(&[Rule::Valid]);
    if before < last {
        let what = format!("the work queue went on to {last}");
        docket.wrong(Rule::Valid, format!("tap {before}"), what);
        whole = false;
    }
    whole
}

impl Sweep<'_> {
    fn fence(&mut self, place: Place<'_>, message: &Tapped, epoch: Epoch, at: u64) {
        if at == 1 {
            self.fence_ends(place);
            self.docket
                .checked(&[Rule::EpochsIncrease, Rule::FenceWhole]);
            self.chained(place, message);
            if epoch <= self.newest {
                let what = format!("comes after the fence of {}", self.newest);
                self.docket.wrong(Rule::EpochsIncrease, place, what);
            }
            self.newest = self.newest.max(epoch);
            self.fences.insert(epoch);
        } else if (epoch, at) != (self.fence.0, self.fence.1 + 1) {
            let what = format!("record {} of {} came before", self.fence.1, self.fence.0);
            self.docket.wrong(Rule::FenceWhole, place, what);
        }
        self.fence = (epoch, at);
    }

    /// Something else comes: the fence before it must be whole.
    fn fence_ends(&mut self, place: impl fmt::Display) {
        let (epoch, came) = self.fence;
        if came != FENCE_LEN {
            let what = format!("the fence of {epoch} ends with its record {came}");
            self.docket.wrong(Rule::FenceWhole, place, what);
            self.fence.1 = FENCE_LEN;
        }
    }

    fn work(&mut self, place: Place<'_>, message: &Tapped, name: &AttemptName) {
        self.fence_ends(place);
        self.chained(place, message);
        behind_fence(place, message.epoch, self.newest, self.docket);
        self.docket.checked(&[Rule::FenceWhole]);
        if let Some(what) = self.unready(message) {
            self.docket.wrong(Rule::FenceWhole, place, what);
        }
        self.docket.checked(&[Rule::DispatchedOnce]);
        if !self.handed_out.insert((name.accepted, name.attempt)) {
            let what = "was handed out before";
            return self.docket.wrong(Rule::DispatchedOnce, place, what);
        }
        self.docket.checked(&[Rule::WorkOfJob]);
        match self.untimely(message, name) {
            Some(what) => self.docket.wrong(Rule::WorkOfJob, place, what),
            None => self.key(place, message, name),
        }
    }

    /// Why the leader of this work had not yet the right to write it, if so: first its fence, then
    /// its barrier, then its work.
    fn unready(&self, message: &Tapped) -> Option<String> {
        let epoch = message.epoch?;
        if epoch < self.newest {
            // It stands behind a fence, and is wrong anyway.
            return None;
        }
        if epoch > self.newest {
            return Some(format!("the newest fence is that of {}", self.newest));
        }
        match self.records.epochs.get(&epoch) {
            None => Some(format!("the leader of {epoch} has no barrier")),
            Some((at, time)) if *time > message.time => {
                Some(format!("the barrier of {epoch} came later, as {at}"))
            }
            Some(_) => None,
        }
    }

    fn chained(&mut self, place: Place<'_>, message: &Tapped) {
        self.docket.checked(&[Rule::Chained]);
        let found = message.expected.map(Sequence::next);
        if found != Some(message.sequence) {
            let what = match message.expected {
                Some(expected) => format!("expected {expected} to be the last"),
                None => "expected no sequence".to_owned(),
            };
            self.docket.wrong(Rule::Chained, place, what);
        }
    }

    /// Why it was not this attempt's turn, if so.
    fn untimely(&self, message: &Tapped, name: &AttemptName) -> Option<String> {
        let Some(job) = self.records.job(name) else {
            return Some(format!("no such job was accepted as {}", name.accepted));
        };
        if name.attempt > job.last && !job.awaits(name.attempt) {
            return Some(format!("its job ended with {}, or is before it", job.last));
        }
        // Before the first there is none that could have an outcome.
        if let Some(before) = name.attempt.get().checked_sub(1) {
            let before = (name.accepted, Attempt::new(before));
            if self
                .records
                .outcomes
                .get(&before)
                .is_some_and(|seen| seen.time > message.time)
            {
                return Some(format!("{} had no outcome yet", before.1));
            }
        }
        let own = self.records.outcomes.get(&(name.accepted, name.attempt))?;
        if own.time < message.time {
            return Some(format!("has its outcome at {} already", own.sequence));
        }
        matches!(own.status, Status::Expired | Status::Discarded)
            .then(|| "its outcome says that it was never handed out".to_owned())
    }

    /// The job of the same key that was handed out before must have its outcome.
    fn key(&mut self, place: Place<'_>, message: &Tapped, name: &AttemptName) {
        let Some(key) = self.records.job(name).and_then(|job| job.key) else {
            return;
        };
        self.docket.checked(&[Rule::KeyWork]);
        let Some(before) = self.keys.insert(key, (name.accepted, name.attempt)) else {
            return;
        };
        let over = self.records.outcomes.get(&before);
        if before.0 != name.accepted && over.is_none_or(|seen| seen.time > message.time) {
            let what = format!("{} {} of the same key was outstanding", before.0, before.1);
            self.docket.wrong(Rule::KeyWork, place, what);
        }
    }

    /// Whoever wrote a barrier had fenced.
    fn barriers(&mut self) {
        for (epoch, (at, _)) in &self.records.epochs {
            self.docket.checked(&[Rule::FenceWhole]);
            if !self.fences.contains(epoch) {
                let what = format!("{epoch} has a barrier and no fence");
                let place = format!("ledger {at}");
                self.docket.wrong(Rule::FenceWhole, place, what);
            }
        }
    }

    /// What ran was handed out.
    fn outcomes(&mut self) {
        for (name, seen) in &self.records.outcomes {
            if !matches!(seen.status, Status::Completed | Status::Failed) {
                continue;
            }
            self.docket.checked(&[Rule::OutcomeDispatched]);
            if !self.handed_out.contains(name) {
                let place = format!("ledger {}", seen.sequence);
                let what = format!("{} {} was never handed out", name.0, name.1);
                self.docket.wrong(Rule::OutcomeDispatched, place, what);
            }
        }
    }
}
