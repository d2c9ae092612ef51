//! What the simulation plays with: processes, each with a clock of its own, and choices that a seed
//! repeats.

use std::collections::VecDeque;

use super::play::{identity, rules};
use crate::leadership::{Contest, Detection, Incarnation, Input, Mode, Moment};
use crate::number::Epoch;

/// A source of choices.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit.max(1)
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// Shows `offset + t + t * ppm / 1e6` at real time `t`.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) offset: u64,
    pub(super) ppm: i64,
}

pub(super) struct Process {
    pub(super) contest: Contest,
    pub(super) incarnation: Incarnation,
    /// Counts lives and connections: what belongs to an older one is not delivered.
    pub(super) connection: u64,
    pub(super) connected: bool,
    pub(super) paused_until: u64,
    /// What came while it was paused, with the connection it belongs to.
    pub(super) mail: VecDeque<(u64, Input)>,
    pub(super) trust: Option<(Epoch, Moment)>,
    /// Whether it has been told of the end of each leadership that it was told of.
    pub(super) ended: bool,
    clock: Clock,
}

impl Process {
    pub(super) fn new(mode: Mode, name: &str, clock: Clock, connection: u64) -> Self {
        let mut me = identity(name);
        let incarnation = me.incarnation.clone();
        me.started.0 = Moment::from_nanos(clock.offset);
        let mut rules = rules(mode);
        rules.detection.beat_every = Detection::default().beat_every;
        Self {
            contest: Contest::new(rules, me).unwrap(),
            incarnation,
            connection,
            connected: false,
            paused_until: 0,
            mail: VecDeque::new(),
            trust: None,
            ended: true,
            clock,
        }
    }

    /// What its clock shows.
    pub(super) fn local(&self, real: u64) -> Moment {
        let Clock { offset, ppm } = self.clock;
        let drift = i128::from(real) * i128::from(ppm) / 1_000_000;
        let local = i128::from(offset) + i128::from(real) + drift;
        Moment::from_nanos(u64::try_from(local).unwrap())
    }

    /// The real time at which its clock shows `local`, or a little after, and not after `end`.
    pub(super) fn real(&self, local: Moment, end: u64) -> u64 {
        let Clock { offset, ppm } = self.clock;
        let since = i128::from(local.as_nanos()) - i128::from(offset);
        let real = since * 1_000_000 / (1_000_000 + i128::from(ppm)) + 2;
        u64::try_from(real.clamp(0, i128::from(end))).unwrap()
    }

    /// Whether its permit holds, paused or not.
    pub(super) fn holds_at(&self, real: u64) -> bool {
        let holds = |(_, until): (Epoch, Moment)| self.local(real) < until;
        self.trust.is_some_and(holds)
    }
}
