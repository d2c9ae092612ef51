//! The life of one job, reckoned from its records by the promises alone: it shares no line with the
//! fold that it judges.

use std::collections::BTreeSet;

use protocol::number::Attempt;
use protocol::outcome::{OutcomeHead, Status};
use protocol::subject::Verb;

use crate::digest::Digest;

/// An accepted job as the judge keeps it: small, since a ledger has millions.
#[derive(Debug)]
pub(crate) struct Job {
    /// Of its queue and id.
    pub(crate) name: Digest,
    /// Of its payload.
    pub(crate) payload: Digest,
    /// Of its key; `None` for a job without one, or whose key only its payload knows.
    pub(crate) key: Option<Digest>,
    /// Where it stands.
    pub(crate) stage: Stage,
    /// Its last recorded attempt.
    pub(crate) last: Attempt,
    /// How many attempts may fail.
    pub(crate) attempts_max: u32,
    /// Attempts with an outcome that stands there before its time: nobody else can record one there.
    #[expect(
        clippy::box_collection,
        reason = "every job has this field, and hardly any job an early outcome"
    )]
    early: Option<Box<BTreeSet<Attempt>>>,
    failures: u32,
    asked_to_expire: bool,
    asked_to_discard: bool,
    /// Whether it could run was decided by a payload that was not looked at again.
    is_vague: bool,
}

/// Where a job stands, by the ledger alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its queue has no configuration yet: it can only be cancelled.
    Early,
    /// It can never run: it can only be discarded.
    Malformed,
    /// A newer version wrote it, or its last outcome: not judged.
    Newer,
    /// It has an attempt to come.
    Open,
    /// It has ended; a job that never could run is not replayed.
    Ended {
        /// How.
        status: Status,
        /// Whether it ever could have run.
        could_run: bool,
    },
}

impl Job {
    pub(crate) const fn new(name: Digest, payload: Digest, stage: Stage) -> Self {
        Self {
            name,
            payload,
            key: None,
            stage,
            last: Attempt::NONE,
            attempts_max: 1,
            early: None,
            failures: 0,
            asked_to_expire: false,
            asked_to_discard: false,
            is_vague: false,
        }
    }

    /// It can run, as its submission and its queue's configuration say.
    pub(crate) const fn open(&mut self, key: Option<Digest>, attempts_max: u32) {
        self.stage = Stage::Open;
        self.key = key;
        self.attempts_max = attempts_max;
    }

    /// The same, unless its payload says otherwise, which was not kept.
    pub(crate) const fn open_vaguely(&mut self, key: Option<Digest>, attempts_max: u32) {
        self.open(key, attempts_max);
        self.is_vague = true;
    }

    /// Whether its key is known to be this one.
    pub(crate) fn has_key(&self, key: Option<Digest>) -> bool {
        self.key == key || (self.key.is_none() && (self.is_vague || self.stage == Stage::Newer))
    }

    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended { .. })
    }

    /// Whether this attempt is one that may be under way now; that of a job which a newer version
    /// wrote is not judged.
    pub(crate) fn awaits(&self, attempt: Attempt) -> bool {
        match self.stage {
            Stage::Open => attempt == self.last.next(),
            Stage::Newer => true,
            Stage::Early | Stage::Malformed | Stage::Ended { .. } => false,
        }
    }

    /// Why nobody was entitled to record this status now, if so.
    pub(crate) const fn objection(&self, status: Status) -> Option<&'static str> {
        match (self.stage, status) {
            (Stage::Malformed, Status::Discarded)
            | (Stage::Early, Status::Cancelled)
            | (Stage::Open, Status::Completed | Status::Failed | Status::Cancelled)
            | (Stage::Newer | Stage::Ended { .. }, _) => None,
            (Stage::Malformed, _) => Some("its job can never run: it can only be discarded"),
            (Stage::Early, _) => {
                Some("its queue has no configuration yet: its job can only be cancelled")
            }
            (Stage::Open, Status::Expired) => match self.asked_to_expire {
                true => None,
                false => Some("no record asked to expire its job"),
            },
            (Stage::Open, Status::Discarded) => match self.asked_to_discard || self.is_vague {
                true => None,
                false => Some("no record asked to discard its job"),
            },
        }
    }

    /// Notes an outcome that stands there before its time. Whether it is the first of its attempt.
    pub(crate) fn add_early(&mut self, attempt: Attempt) -> bool {
        self.early.get_or_insert_default().insert(attempt)
    }

    /// No coordinator makes an attempt whose outcome stands there already.
    fn pass_over(&mut self) {
        let early = &mut self.early;
        while early
            .as_mut()
            .is_some_and(|all| all.remove(&self.last.next()))
        {
            self.last = self.last.next();
        }
    }

    /// The outcome of the attempt that came next.
    pub(crate) fn record(&mut self, attempt: Attempt, head: &OutcomeHead) {
        self.last = attempt;
        let could_run = match self.stage {
            Stage::Early | Stage::Malformed => false,
            Stage::Open => true,
            Stage::Newer | Stage::Ended { .. } => return,
        };
        let permanent = head.error.as_ref().is_some_and(|error| error.permanent);
        let status = match head.status {
            Status::Failed => {
                self.failures = self.failures.saturating_add(1);
                if could_run && !permanent && self.failures < self.attempts_max {
                    self.pass_over();
                    return;
                }
                Status::Discarded
            }
            ended @ (Status::Completed
            | Status::Cancelled
            | Status::Expired
            | Status::Discarded) => ended,
        };
        self.stage = Stage::Ended { status, could_run };
    }

    /// An outcome of a newer version.
    pub(crate) const fn record_newer(&mut self, attempt: Attempt) {
        self.last = attempt;
        self.stage = Stage::Newer;
    }

    /// A control record on the attempt `on`. `Err` says why only what has ended may be replayed.
    pub(crate) fn control(&mut self, verb: Verb, on: Attempt) -> Result<(), String> {
        match verb {
            Verb::Cancel | Verb::Retry => {}
            Verb::Expire => self.asked_to_expire |= on == self.last,
            Verb::Discard => self.asked_to_discard |= on == self.last,
            Verb::Replay => return self.replay(on),
        }
        Ok(())
    }

    fn replay(&mut self, on: Attempt) -> Result<(), String> {
        match self.stage {
            Stage::Newer => return Ok(()),
            Stage::Early | Stage::Malformed | Stage::Open => {
                return Err("its job has not ended".to_owned());
            }
            Stage::Ended { .. } if on != self.last => {
                let last = self.last;
                return Err(format!("its job ended with {last}"));
            }
            Stage::Ended { could_run, .. } if !could_run => {
                return Err("its job never could run".to_owned());
            }
            Stage::Ended { .. } => {}
        }
        self.stage = Stage::Open;
        self.failures = 0;
        self.asked_to_expire = false;
        self.asked_to_discard = false;
        self.pass_over();
        Ok(())
    }
}
