//! Many contests against a model of the broker that delays, loses and applies late, on clocks that
//! run apart, with pauses, crashes and outages. What must hold is checked at every step.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::actor::{Clock, Dice, Process};
use crate::answer::Answer;
use crate::leadership::{
    Effect, Incarnation, Input, LeaseRecord, Mode, Notice, Observation, PingAnswer, ReadAnswer,
    Standing,
};
use crate::number::{Epoch, Sequence};

const MS: u64 = 1_000_000;
const PROCESSES: usize = 4;
/// Faults come until here; then the world is kind.
const FAULTS_UNTIL: u64 = 30_000 * MS;
const END: u64 = 45_000 * MS;

#[derive(Debug)]
enum Happening {
    /// An input reaches a process, if it is still that life and that connection.
    Input(usize, u64, Input),
    /// A write reaches the broker: it may come from the dead.
    Apply(usize, u64, Sequence, LeaseRecord),
    Read(usize, u64, u64),
    Wake(usize),
    Pause(usize, u64),
    Resume(usize),
    Crash(usize),
    Cut(usize, u64),
    Connect(usize, u64),
    Wish(usize, Input),
    Fault,
}

struct World {
    mode: Mode,
    dice: Dice,
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    order: u64,
    processes: Vec<Process>,
    lives: u64,
    revision: u64,
    record: Option<LeaseRecord>,
    before: Option<(u64, LeaseRecord)>,
    epochs: BTreeMap<Epoch, Incarnation>,
    acquired: u64,
}

impl World {
    fn new(mode: Mode, seed: u64) -> Self {
        let mut world = Self {
            mode,
            dice: Dice::new(seed),
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            processes: Vec::new(),
            lives: 0,
            revision: 0,
            record: None,
            before: None,
            epochs: BTreeMap::new(),
            acquired: 0,
        };
        for place in 0..PROCESSES {
            let process = world.life(0);
            world.processes.push(process);
            world.after(MS * place as u64, Happening::Connect(place, 1));
            world.after(0, Happening::Wish(place, Input::Campaign));
        }
        world.after(200 * MS, Happening::Fault);
        world
    }

    fn life(&mut self, connection: u64) -> Process {
        self.lives += 1;
        let name = format!("p{}", self.lives);
        let offset = self.dice.below(1_000_000) * MS;
        // Two clocks differ by at most 4 in 1000.
        let ppm = i64::try_from(self.dice.below(4_000)).unwrap() - 2_000;
        Process::new(self.mode, &name, Clock { offset, ppm }, connection + 1)
    }

    fn after(&mut self, delay: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), happening);
    }

    /// How long a message travels.
    fn travel(&mut self) -> u64 {
        let kind = self.now >= FAULTS_UNTIL || !self.dice.percent(8);
        let most = if kind { 2 } else { 900 };
        self.dice.below(most * MS) + MS / 10
    }

    fn is_lost(&mut self) -> bool {
        self.now < FAULTS_UNTIL && self.dice.percent(4)
    }

    fn run(&mut self) {
        let mut steps = 0_u64;
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            if at > END {
                break;
            }
            steps += 1;
            assert!(steps < 2_000_000, "the world does not come to rest");
            self.now = at;
            self.happen(happening);
            self.check_overlap();
        }
        self.check_healed();
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(place, connection, input) => {
                if self.processes[place].connection == connection {
                    self.give(place, input);
                }
            }
            Happening::Apply(place, connection, expected, record) => {
                self.apply((place, connection), expected, &record);
            }
            Happening::Read(place, connection, id) => self.answer_read(place, connection, id),
            Happening::Wake(place) => {
                if self.processes[place].local(self.now) >= self.processes[place].contest.wake_at()
                {
                    self.give(place, Input::Tick);
                }
            }
            Happening::Pause(place, length) => {
                let until = self.processes[place].paused_until.max(self.now + length);
                self.processes[place].paused_until = until;
                self.after(until - self.now, Happening::Resume(place));
            }
            Happening::Resume(place) => self.resume(place),
            Happening::Crash(place) => {
                let connection = self.processes[place].connection;
                self.processes[place] = self.life(connection);
                let next = self.processes[place].connection;
                let delay = self.dice.below(500) * MS;
                self.after(delay, Happening::Connect(place, next));
                self.after(delay, Happening::Wish(place, Input::Campaign));
            }
            Happening::Cut(place, length) => {
                self.processes[place].connection += 1;
                self.processes[place].connected = false;
                self.give(place, Input::Disconnected);
                let next = self.processes[place].connection;
                self.after(length, Happening::Connect(place, next));
            }
            Happening::Connect(place, connection) => {
                if self.processes[place].connection == connection {
                    self.processes[place].connected = true;
                    self.give(place, Input::Connected);
                }
            }
            Happening::Wish(place, input) => self.give(place, input),
            Happening::Fault => self.fault(),
        }
    }

    fn fault(&mut self) {
        if self.now >= FAULTS_UNTIL {
            for place in 0..PROCESSES {
                self.after(0, Happening::Wish(place, Input::Campaign));
            }
            return;
        }
        let place = usize::try_from(self.dice.below(PROCESSES as u64)).unwrap();
        let length = self.dice.below(4_000) * MS;
        match self.dice.below(8) {
            0 | 1 => self.after(0, Happening::Pause(place, length)),
            2 => self.after(0, Happening::Crash(place)),
            3 => self.after(0, Happening::Cut(place, length / 4)),
            4 => {
                for place in 0..PROCESSES {
                    let come_back = length + self.dice.below(100) * MS;
                    self.after(0, Happening::Cut(place, come_back));
                }
            }
            5 => {
                self.after(0, Happening::Wish(place, Input::Resign));
                self.after(length, Happening::Wish(place, Input::Campaign));
            }
            6 => self.after(0, Happening::Wish(place, Input::Advance(Epoch::default()))),
            _ => self.tamper(),
        }
        let pause = self.dice.below(2_000) * MS;
        self.after(pause, Happening::Fault);
    }

    /// Somebody deletes the key, as an operator or a broker's clock would.
    fn tamper(&mut self) {
        if self.dice.percent(70) {
            return;
        }
        self.revision += 1;
        self.before = None;
        self.record = None;
        // Only records elsewhere can tell a new process which epochs are used up.
        self.epochs.clear();
        for place in 0..PROCESSES {
            self.hint(place, None);
        }
    }

    fn hint(&mut self, place: usize, author: Option<(Incarnation, u64)>) {
        let connection = self.processes[place].connection;
        if self.processes[place].connected && !self.is_lost() {
            let travel = self.travel();
            self.after(
                travel,
                Happening::Input(place, connection, Input::Hint(author)),
            );
        }
    }

    fn apply(
        &mut self,
        (place, connection): (usize, u64),
        expected: Sequence,
        record: &LeaseRecord,
    ) {
        let nonce = record.nonce;
        let answer = if self.now < FAULTS_UNTIL && self.dice.percent(5) {
            Answer::Busy
        } else if expected.get() == self.revision {
            let author = Some((record.incarnation.clone(), nonce));
            self.store(record);
            for place in 0..PROCESSES {
                self.hint(place, author.clone());
            }
            Answer::Stored(Sequence::new(self.revision))
        } else {
            Answer::WrongLast
        };
        if !self.is_lost() {
            let travel = self.travel();
            let input = Input::Wrote(nonce, answer);
            self.after(travel, Happening::Input(place, connection, input));
        }
    }

    /// Epochs grow in the order of the stream, and none has two holders.
    fn store(&mut self, record: &LeaseRecord) {
        self.revision += 1;
        let owner = self
            .epochs
            .entry(record.epoch)
            .or_insert_with(|| record.incarnation.clone());
        assert_eq!(
            *owner, record.incarnation,
            "{} has two holders",
            record.epoch
        );
        if let Some(before) = self.record.replace(record.clone()) {
            assert!(
                before.epoch <= record.epoch,
                "{} after {}",
                record.epoch,
                before.epoch
            );
            self.before = Some((self.revision - 1, before));
        }
    }

    fn answer_read(&mut self, place: usize, connection: u64, id: u64) {
        if self.is_lost() {
            return;
        }
        let stale = self.now < FAULTS_UNTIL && self.dice.percent(3);
        let observation = match (&self.before, &self.record) {
            (Some((revision, before)), _) if stale => {
                Observation::of(Sequence::new(*revision), &before.encode())
            }
            (_, Some(record)) => Observation::of(Sequence::new(self.revision), &record.encode()),
            (_, None) => Observation::deleted(Sequence::new(self.revision)),
        };
        let travel = self.travel();
        let input = Input::Read(id, ReadAnswer::Seen(observation));
        self.after(travel, Happening::Input(place, connection, input));
    }

    fn give(&mut self, place: usize, input: Input) {
        let process = &mut self.processes[place];
        if self.now < process.paused_until {
            process.mail.push_back((process.connection, input));
            return;
        }
        let local = process.local(self.now);
        let effects = process.contest.handle(local, input);
        assert!(process.contest.wake_at() > local, "it wakes without end");
        let wake = process
            .real(process.contest.wake_at(), END)
            .saturating_sub(self.now);
        for effect in effects {
            self.perform(place, effect);
        }
        self.after(wake.max(1), Happening::Wake(place));
    }

    fn resume(&mut self, place: usize) {
        while self.now >= self.processes[place].paused_until
            && let Some((connection, input)) = self.processes[place].mail.pop_front()
        {
            if self.processes[place].connection == connection {
                self.give(place, input);
            }
        }
    }

    fn perform(&mut self, place: usize, effect: Effect) {
        let connection = self.processes[place].connection;
        let (travel, lost) = (self.travel(), self.is_lost());
        match effect {
            Effect::Distrust => self.processes[place].trust = None,
            Effect::Trust(epoch, until) => self.processes[place].trust = Some((epoch, until)),
            Effect::Notify(notice) => self.noted(place, &notice),
            Effect::Write { expected, record } if !lost => {
                self.after(
                    travel,
                    Happening::Apply(place, connection, expected, record),
                );
            }
            Effect::Read(id) if !lost => {
                self.after(travel, Happening::Read(place, connection, id));
            }
            Effect::Ping(number, target) if !lost => {
                let alive = |process: &&Process| process.connected && process.incarnation == target;
                let answer = match self.processes.iter().find(alive) {
                    Some(target) if target.paused_until > self.now => return,
                    Some(_) => PingAnswer::Alive,
                    None => PingAnswer::NoResponders,
                };
                let input = Input::Pinged(number, answer);
                self.after(travel, Happening::Input(place, connection, input));
            }
            Effect::Beat if !lost => self.beat(place),
            Effect::Write { .. } | Effect::Read(_) | Effect::Ping(..) | Effect::Beat => {}
            Effect::Advanced(_) | Effect::Resigned(_) => {}
        }
    }

    fn beat(&mut self, from: usize) {
        let incarnation = self.processes[from].incarnation.clone();
        for place in 0..PROCESSES {
            let connection = self.processes[place].connection;
            if place != from && self.processes[place].connected {
                let travel = self.travel();
                let input = Input::Beat(incarnation.clone());
                self.after(travel, Happening::Input(place, connection, input));
            }
        }
    }

    /// Each acquired leadership ends exactly once, before the next begins.
    fn noted(&mut self, place: usize, notice: &Notice) {
        let process = &mut self.processes[place];
        match notice {
            Notice::Acquired { epoch } => {
                assert!(process.ended, "acquired while leading");
                assert_eq!(process.trust.map(|(trusted, _)| trusted), Some(*epoch));
                process.ended = false;
                self.acquired += 1;
            }
            Notice::Released { .. } | Notice::Lost { .. } => {
                assert!(!process.ended, "ended twice");
                assert_eq!(process.trust, None);
                process.ended = true;
            }
            Notice::Suspended { .. } => {
                assert!(!process.ended && process.trust.is_none());
            }
            Notice::Resumed { epoch } => {
                assert!(!process.ended);
                assert_eq!(process.trust.map(|(trusted, _)| trusted), Some(*epoch));
            }
            Notice::StepDownAsked { .. } | Notice::Candidate | Notice::LeaderChanged(_) => {}
        }
    }

    /// In strict mode at most one permit holds at any time, paused or not.
    fn check_overlap(&self) {
        if self.mode == Mode::Fenced {
            return;
        }
        let holders = self
            .processes
            .iter()
            .filter(|process| process.holds_at(self.now));
        let names: Vec<_> = holders
            .map(|process| process.incarnation.as_str())
            .collect();
        assert!(
            names.len() <= 1,
            "{names:?} hold permits at {} ms",
            self.now / MS
        );
    }

    fn check_healed(&self) {
        let leads =
            |process: &&Process| matches!(process.contest.standing(), Standing::Leading(..));
        let leaders: Vec<_> = self.processes.iter().filter(leads).collect();
        assert_eq!(leaders.len(), 1, "leaders in the end");
        let leader = leaders[0]
            .contest
            .leader()
            .expect("the leader knows itself");
        for process in &self.processes {
            assert_eq!(process.contest.leader(), Some(leader));
        }
        assert!(self.acquired > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn strict_permits_never_overlap_and_someone_leads_in_the_end(seed in any::<u64>()) {
        World::new(Mode::Strict, seed).run();
    }

    #[test]
    fn fenced_epochs_have_one_holder_each_and_someone_leads_in_the_end(seed in any::<u64>()) {
        World::new(Mode::Fenced, seed).run();
    }
}

#[test]
fn without_faults_nobody_is_suspended_and_leadership_stays() {
    for mode in [Mode::Strict, Mode::Fenced] {
        let mut world = World::new(mode, 7);
        world
            .queue
            .retain(|_, happening| !matches!(happening, Happening::Fault));
        world.now = FAULTS_UNTIL;
        let queued = std::mem::take(&mut world.queue);
        for (_, happening) in queued {
            world.after(0, happening);
        }
        world.run();
        assert_eq!(world.acquired, 1);
        let suspended: u64 = world
            .processes
            .iter()
            .map(|process| process.contest.tally().suspended)
            .sum();
        assert_eq!(suspended, 0);
        assert_eq!(Duration::from_nanos(world.now - FAULTS_UNTIL).as_secs(), 15);
    }
}
