//! What a candidate is told at its start: the rules, and who it is.

use std::time::Duration;

use super::moment::Moment;
use super::record::Incarnation;
use super::timings::LeaseTimings;
use crate::time::Timestamp;

/// How a takeover is made safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What the leader writes is fenced by its epoch: a suspected holder is replaced at once.
    Fenced,
    /// Nothing is fenced: the lease is waited out. A holder that was suspended goes on under a new
    /// epoch.
    Strict,
}

/// How a dead holder is found, and how restless the candidates may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// How often a candidate pings the holder; also the least distance of two silent pings.
    pub every: Duration,
    /// How often the holder beats; the same for all candidates.
    pub beat_every: Duration,
    /// How many beats must be missing in a row before the holder is asked whether it is stopped.
    pub beats_missed: u32,
    /// How long that question waits for an answer. Also: a candidate that was itself away for longer
    /// counts anew.
    pub ping_wait: Duration,
    /// The pause after an early takeover, before the next one.
    pub pause_first: Duration,
    /// The longest such pause; it doubles from takeover to takeover.
    pub pause_max: Duration,
    /// Candidates spread their takeovers over this time, so that they do not all write at once.
    pub spread: Duration,
    /// Who bids first for what nobody holds: 0 before 1 and so on, each later by twice the spread.
    /// Never displaces a holder.
    pub rank: u16,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(25),
            beat_every: Duration::from_millis(100),
            beats_missed: 5,
            ping_wait: Duration::from_millis(200),
            pause_first: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
            spread: Duration::from_millis(10),
            rank: 0,
        }
    }
}

impl Detection {
    /// How much later than the first rank this one bids.
    pub(super) fn rank_wait(&self) -> Duration {
        self.spread
            .saturating_mul(2)
            .saturating_mul(u32::from(self.rank))
    }

    /// How long no beat may be heard.
    pub(super) const fn beats_wait(&self) -> Duration {
        self.beat_every.saturating_mul(self.beats_missed)
    }
}

/// The rules that one candidate plays by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Lease, renewal, request, margin.
    pub timings: LeaseTimings,
    /// Fenced or strict.
    pub mode: Mode,
    /// No lease in the bucket is longer: a quarter of the bucket's age limit. It is how long a
    /// record that nobody can read is waited out.
    pub lease_max: Duration,
    /// Pings, beats and damping.
    pub detection: Detection,
    /// Within this time the program must report progress, or it neither leads on nor takes over.
    /// `None`: it need not.
    pub progress_within: Option<Duration>,
}

/// Who this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name shown to people: 1 to 256 bytes without control characters.
    pub holder: String,
    /// This life of the process.
    pub incarnation: Incarnation,
    /// Where it runs, for people.
    pub host: String,
    /// When this life began: on the local clock and on the wall clock. The wall clock dates records
    /// for people and decides nothing.
    pub started: (Moment, Timestamp),
}
