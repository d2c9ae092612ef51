//! One contest on a clock of milliseconds; what it does is compared as text.

use std::fmt::Write as _;
use std::time::Duration;

use crate::answer::Answer;
use crate::leadership::{
    Contest, Detection, Effect, Identity, Input, LeaseRecord, LeaseState, LeaseTimings, Mode,
    Moment, Notice, Observation, PingAnswer, ReadAnswer, Rules,
};
use crate::number::{Epoch, Sequence};
use crate::time::Timestamp;

/// Lease 1500, renew 250, request 200, margin 150: a write is trusted for 1350 after its sending.
pub(super) struct Play {
    contest: Contest,
    /// Which leases its writes named, in milliseconds.
    pub(super) leases: Vec<u64>,
    inputs: u32,
}

/// No transcript gives more inputs than this: what is waited for in it does not come.
const INPUTS_MAX: u32 = 5_000;

pub(super) fn moment(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

pub(super) fn rules(mode: Mode) -> Rules {
    Rules {
        timings: LeaseTimings::test(),
        mode,
        lease_max: Duration::from_millis(2_000),
        detection: Detection {
            spread: Duration::ZERO,
            // Beats have transcripts of their own.
            beat_every: Duration::from_secs(3_600),
            ..Detection::default()
        },
        progress_within: None,
    }
}

pub(super) fn identity(name: &str) -> Identity {
    Identity {
        holder: name.to_lowercase(),
        incarnation: name.parse().unwrap(),
        host: String::new(),
        started: (Moment::default(), Timestamp::default()),
    }
}

pub(super) fn record(author: &str, nonce: u64, epoch: u64) -> LeaseRecord {
    LeaseRecord {
        v: 1,
        holder: author.to_lowercase(),
        incarnation: author.parse().unwrap(),
        nonce,
        epoch: Epoch::new(epoch),
        lease_ms: 1_500,
        state: LeaseState::Held,
        acquired: Timestamp::default(),
        host: String::new(),
    }
}

pub(super) fn seen(revision: u64, record: &LeaseRecord) -> Observation {
    Observation::of(Sequence::new(revision), &record.encode())
}

pub(super) fn released(mut record: LeaseRecord) -> LeaseRecord {
    record.state = LeaseState::Released;
    record
}

impl Play {
    /// `ME`, without a connection.
    pub(super) fn new(mode: Mode) -> Self {
        Self::by(rules(mode))
    }

    fn by(rules: Rules) -> Self {
        let contest = Contest::new(rules, identity("ME")).unwrap();
        let leases = Vec::new();
        Self {
            contest,
            leases,
            inputs: 0,
        }
    }

    /// `ME`, standing, connected at 0 and shown this.
    pub(super) fn standing(mode: Mode, observation: Observation) -> (Self, String) {
        Self::standing_by(rules(mode), observation)
    }

    /// As [`standing`](Self::standing), by these rules.
    pub(super) fn standing_by(rules: Rules, observation: Observation) -> (Self, String) {
        let mut play = Self::by(rules);
        assert_eq!(play.at(0, Input::Campaign), "candidate");
        assert_eq!(play.at(0, Input::Connected), "read 1");
        let text = play.read(0, 1, observation);
        (play, text)
    }

    /// `ME`, leading under e1 at revision 1 since 0.
    pub(super) fn leading(mode: Mode) -> Self {
        Self::leading_by(rules(mode))
    }

    /// As [`leading`](Self::leading), by these rules.
    pub(super) fn leading_by(rules: Rules) -> Self {
        let (mut play, text) = Self::standing_by(rules, Observation::ABSENT);
        assert_eq!(text, "write over #0: n1 e1 held");
        let text = play.stored(0, 1, 1);
        assert_eq!(text, "trust e1 until 1350 | acquired e1 | leader me e1");
        play
    }

    pub(super) fn at(&mut self, ms: u64, input: Input) -> String {
        self.inputs += 1;
        assert!(self.inputs <= INPUTS_MAX, "it goes on without end at {ms}");
        let effects = self.contest.handle(moment(ms), input);
        let wake = self.contest.wake_at();
        assert!(wake > moment(ms), "it wakes at {wake} without end");
        self.leases
            .extend(effects.iter().filter_map(|effect| match effect {
                Effect::Write { record, .. } => Some(record.lease_ms),
                _ => None,
            }));
        effects.iter().map(describe).collect::<Vec<_>>().join(" | ")
    }

    pub(super) fn tick(&mut self, ms: u64) -> String {
        self.at(ms, Input::Tick)
    }

    pub(super) fn read(&mut self, ms: u64, id: u64, observation: Observation) -> String {
        self.at(ms, Input::Read(id, ReadAnswer::Seen(observation)))
    }

    pub(super) fn stored(&mut self, ms: u64, nonce: u64, revision: u64) -> String {
        self.wrote(ms, nonce, Answer::Stored(Sequence::new(revision)))
    }

    pub(super) fn wrote(&mut self, ms: u64, nonce: u64, answer: Answer) -> String {
        self.at(ms, Input::Wrote(nonce, answer))
    }

    pub(super) fn pinged(&mut self, ms: u64, number: u64, answer: PingAnswer) -> String {
        self.at(ms, Input::Pinged(number, answer))
    }

    /// When it wants to be woken, in whole milliseconds rounded up.
    pub(super) fn wakes(&self) -> u64 {
        self.contest.wake_at().as_nanos().div_ceil(1_000_000)
    }

    pub(super) const fn contest(&self) -> &Contest {
        &self.contest
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Distrust => "distrust".to_owned(),
        Effect::Trust(epoch, until) => {
            format!("trust {epoch} until {}", until.as_nanos() / 1_000_000)
        }
        Effect::Notify(notice) => describe_notice(notice),
        Effect::Write { expected, record } => {
            let mut text = format!("write over {expected}: n{} {}", record.nonce, record.epoch);
            let state = match record.state {
                LeaseState::Held => "held",
                LeaseState::Released => "released",
            };
            write!(text, " {state}").unwrap();
            text
        }
        Effect::Read(id) => format!("read {id}"),
        Effect::Ping(number, incarnation) => format!("ping {number} {incarnation}"),
        Effect::Beat => "beat".to_owned(),
        Effect::Advanced(Ok(epoch)) => format!("advanced {epoch}"),
        Effect::Advanced(Err(error)) => format!("not advanced: {error}"),
        Effect::Resigned(Ok(())) => "resigned".to_owned(),
        Effect::Resigned(Err(error)) => format!("not resigned: {error}"),
    }
}

fn describe_notice(notice: &Notice) -> String {
    match notice {
        Notice::Candidate => "candidate".to_owned(),
        Notice::Acquired { epoch } => format!("acquired {epoch}"),
        Notice::Suspended { epoch } => format!("suspended {epoch}"),
        Notice::Resumed { epoch } => format!("resumed {epoch}"),
        Notice::Released { epoch } => format!("released {epoch}"),
        Notice::Lost { epoch, reason } => format!("lost {epoch}: {reason}"),
        Notice::StepDownAsked { epoch } => format!("asked to step down {epoch}"),
        Notice::LeaderChanged(Some(leader)) => format!("leader {} {}", leader.holder, leader.epoch),
        Notice::LeaderChanged(None) => "leader none".to_owned(),
    }
}
