//! The world of one run: coordinators, workers, people and the broker, in whatever order the
//! schedule gives; then without faults, until all has come to its end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use protocol::coordinator::{Coordinator, Event};
use protocol::id::Namespace;
use protocol::number::Epoch;
use protocol::subject::Subjects;
use protocol::time::Timestamp;
use protocol::window::WindowWidth;

use crate::broker::{Broker, Content};
use crate::consumer::Acked;
use crate::count::{Broken, Counts};
use crate::election::Election;
use crate::fleet::Worker;
use crate::hands::{Hands, Owner, Pipe};
use crate::packet::Packet;
use crate::rng::Rng;
use crate::schedule::Schedule;

/// The queues: one plain, one that takes its key from the payload, one with a limit.
pub(crate) const QUEUES: [&str; 3] = ["q0", "q1", "q2"];
const COORDINATORS: usize = 3;
const WORKERS: usize = 4;
/// Rounds without faults in which all must end, and how far the clock moves in each.
const ROUNDS: usize = 1_200;
const ROUND: Duration = Duration::from_millis(200);
/// How often a worker looks at its clock.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Steps after a store went back.
const AFTERMATH: usize = 400;

/// The world of one run.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: Timestamp,
    pub(crate) width: usize,
    pub(crate) broker: Broker,
    pub(crate) hands: Vec<Hands>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) packets: VecDeque<Packet>,
    pub(crate) pipes: Vec<Pipe>,
    pub(crate) election: Election,
    /// Whose each epoch is.
    pub(crate) granted: BTreeMap<Epoch, Owner>,
    /// Until when what a worker says reaches a coordinator late.
    pub(crate) lags: BTreeMap<(usize, usize), Timestamp>,
    /// Until when deliveries to a worker are held up.
    pub(crate) routes: BTreeMap<usize, Timestamp>,
    /// Which worker got which delivery.
    pub(crate) holders: BTreeMap<u64, usize>,
    pub(crate) submitted: Vec<(String, Content)>,
    /// No more faults.
    pub(crate) is_calm: bool,
    looked: Timestamp,
}

/// What a run did, and the first promise that it broke.
#[derive(Debug)]
pub struct Report {
    /// What was checked, and the faults.
    pub counts: Counts,
    /// What broke.
    pub broken: Option<Broken>,
    /// What happened, if it was to be noted.
    pub story: Vec<String>,
}

/// Runs a schedule to its end, or to the first broken promise.
#[must_use]
pub fn run(schedule: &Schedule) -> Report {
    play(schedule, false)
}

/// Runs a schedule and notes what happens.
#[must_use]
pub fn tell(schedule: &Schedule) -> Report {
    play(schedule, true)
}

fn play(schedule: &Schedule, is_told: bool) -> Report {
    let mut world = World::new(schedule.world);
    world.broker.book.story = is_told.then(Vec::new);
    let ends_in_ruins = schedule.world.is_multiple_of(16);
    for word in &schedule.steps {
        world.rng = Rng::new(*word);
        world.step();
        if world.is_broken() {
            break;
        }
    }
    world.rng = Rng::new(schedule.world ^ 1);
    if !world.is_broken() {
        if ends_in_ruins {
            world.roll_back();
        } else {
            world.drain();
            world.compare();
        }
    }
    let book = world.broker.book;
    Report {
        counts: book.counts,
        broken: book.broken,
        story: book.story.unwrap_or_default(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let subjects = Subjects::new(Namespace::default());
        let now = Timestamp::from_millis(1_000_000);
        let mut world = Self {
            width: 1 + rng.index(6),
            rng,
            now,
            broker: Broker::new(subjects),
            hands: Vec::new(),
            workers: (0..WORKERS).map(|n| Worker::new(n, now)).collect(),
            packets: VecDeque::new(),
            pipes: Vec::new(),
            election: Election::new(),
            granted: BTreeMap::new(),
            lags: BTreeMap::new(),
            routes: BTreeMap::new(),
            holders: BTreeMap::new(),
            submitted: Vec::new(),
            is_calm: false,
            looked: now,
        };
        for who in 0..COORDINATORS {
            let rules = world.coordinator();
            let candidate = world.candidate(Owner { who, start: 0 });
            world.hands.push(Hands::new(now, rules, candidate, 0));
        }
        for n in 0..QUEUES.len() {
            if world.rng.below(3) > 0 {
                world.configure(n);
            }
        }
        for n in 0..WORKERS {
            world.here(n);
        }
        world
    }

    pub(crate) fn coordinator(&self) -> Coordinator {
        let width = WindowWidth::new(self.width).expect("1 to 6");
        let mut rules = Coordinator::new(self.broker.subjects.clone(), width);
        drop(rules.handle(self.now, Event::Connected));
        rules
    }

    pub(crate) fn fault(&mut self, what: &'static str) {
        let now = self.now;
        self.broker.book.tell(|| format!("{now} fault: {what}"));
        self.broker.book.counts.fault(what);
    }

    const fn is_broken(&self) -> bool {
        self.broker.book.broken.is_some()
    }

    /// Time passes, a little at a time.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now.after(span);
        while self.now < until {
            let mail = self.election.next_time().unwrap_or(until);
            let next = self.looked.after(LOOK_EVERY).min(until).min(mail);
            self.now = self.now.max(next);
            self.broker.look(self.now);
            self.elect();
            self.hear_again();
            for who in 0..self.hands.len() {
                let rules = &self.hands[who].rules;
                if rules.wake_at(self.now).is_some_and(|at| at <= self.now) {
                    self.event(who, Event::Tick);
                }
            }
            if self.now >= self.looked.after(LOOK_EVERY) {
                self.looked = self.now;
                for n in 0..self.workers.len() {
                    self.look_at_worker(n);
                }
            }
        }
    }

    /// One step, whatever comes.
    fn step(&mut self) {
        let who = self.rng.index(COORDINATORS);
        let n = self.rng.index(WORKERS);
        match self.rng.below(100) {
            0..14 => {
                self.fold(who, 6);
            }
            14..55 => self.some_packets(),
            55..66 if !self.pipes.is_empty() => {
                let burst = 1 + self.rng.below(3);
                for _ in 0..burst {
                    if self.pipes.is_empty() {
                        break;
                    }
                    let at = self.rng.index(self.pipes.len());
                    let is_late = self.rng.once_in(150);
                    self.pipe(at, is_late);
                }
            }
            66..76 => {
                let most = 1 + self.rng.below(4);
                for _ in 0..most {
                    self.pull(n);
                }
            }
            76..87 => {
                for n in 0..WORKERS {
                    self.finish(n);
                }
            }
            87..91 => {
                self.news(who);
            }
            91..94 => self.submit(),
            94 => self.people(who),
            95..97 => self.trouble(who, n),
            _ => {}
        }
        let millis = self.rng.below(12);
        self.pass(Duration::from_millis(millis));
    }

    fn some_packets(&mut self) {
        let burst = 1 + self.rng.below(8);
        for _ in 0..burst {
            if self.packets.is_empty() {
                return;
            }
            // Mostly in their order, but not always.
            let at = match self.rng.below(4) {
                0 => self.rng.index(self.packets.len()),
                _ => 0,
            };
            let is_late = self.rng.once_in(100);
            self.packet(at, is_late);
        }
    }

    fn people(&mut self, who: usize) {
        match self.rng.below(10) {
            0..2 => {
                let n = self.rng.index(QUEUES.len());
                self.configure(n);
            }
            2..4 => self.repeat(),
            4 => self.forge(),
            _ => self.ask_for(who),
        }
    }

    fn trouble(&mut self, who: usize, n: usize) {
        match self.rng.below(100) {
            0..9 => self.depose(),
            9..14 => {
                self.fault("coordinators killed");
                self.crash(who);
            }
            14..20 => self.silence(),
            20..26 => {
                self.fault("workers killed");
                self.kill(n);
            }
            26..30 => {
                self.fault("workers stopped");
                self.workers[n].is_stopping = true;
                self.tell_all(n, &protocol::worker::Event::Stop);
            }
            30..33 => self.tell_all(n, &protocol::worker::Event::StopNow),
            33..45 => {
                self.fault("workers cut off");
                self.workers[n].is_connected = false;
                self.workers[n].is_half_open = self.rng.once_in(3);
                if self.rng.once_in(4) {
                    self.pause(n);
                }
            }
            45..51 => self.pause(n),
            51..80 => self.heal(n),
            80..84 => {
                self.fault("elections of the broker");
                let span = Duration::from_millis(self.rng.below(300));
                self.broker.silent_until = self.now.after(span);
            }
            84..87 => self.kill_broker(),
            87..90 => self.broker.stale = self.broker.list(),
            90..92 => self.freeze(),
            92..94 => self.intrude(),
            94 => self.rob(),
            95 => {
                let other = self.rng.index(WORKERS);
                self.relay(n, other);
            }
            96 => {
                self.lag(n);
                if self.rng.once_in(2) {
                    let span = Duration::from_millis(self.rng.below(3_000));
                    self.deafen(who, span);
                }
            }
            97 => {
                self.fault("slow networks");
                let millis = self.rng.below(5_000);
                self.pass(Duration::from_millis(millis));
            }
            98 => self.hold_up(n),
            _ => {
                self.fault("records shown again");
                let back = self.rng.below(6);
                let hands = &mut self.hands[who];
                hands.folded = hands.folded.saturating_sub(back);
            }
        }
    }

    fn pause(&mut self, n: usize) {
        self.fault("workers paused");
        self.workers[n].is_paused = true;
        let runs = self.workers[n].runs.values_mut();
        runs.for_each(|run| run.is_tainted = true);
    }

    /// A single server is killed and comes back: connections are gone, and who held what.
    fn kill_broker(&mut self) {
        self.fault("brokers killed");
        let acked = match self.rng.below(4) {
            0 | 1 => Acked::ComesBack,
            2 => Acked::IsStranded,
            _ => Acked::StaysAway,
        };
        self.broker.forget_deliveries(acked);
        for n in 0..WORKERS {
            let runs = self.workers[n].runs.values_mut();
            runs.for_each(|run| run.is_tainted = true);
            if self.workers[n].is_alive && self.workers[n].is_connected {
                self.reconnect(n);
            }
        }
        self.hands.iter_mut().for_each(|hands| hands.heard.clear());
        for who in 0..COORDINATORS {
            self.cut(who, 300);
        }
        // Who is connected to another server of a cluster goes on hearing.
        for who in 0..COORDINATORS {
            if self.rng.once_in(2) {
                let span = Duration::from_millis(self.rng.below(1_500));
                self.deafen(who, span);
            }
        }
    }

    /// The whole world stands still for a minute.
    fn freeze(&mut self) {
        self.fault("minutes frozen");
        self.now = self.now.after(Duration::from_secs(61));
        for worker in &mut self.workers {
            worker
                .runs
                .values_mut()
                .for_each(|run| run.is_tainted = true);
        }
        self.pass(Duration::from_millis(1));
    }

    /// Everything that is on its way arrives, and everybody does what there is to do.
    fn settle(&mut self) {
        for _ in 0..20_000 {
            let mut has_moved = false;
            for who in 0..COORDINATORS {
                has_moved |= self.fold(who, u64::MAX) | self.news(who);
            }
            for n in 0..WORKERS {
                has_moved |= self.pull(n) | self.finish(n);
            }
            if !self.packets.is_empty() {
                self.packet(0, false);
                has_moved = true;
            }
            if !self.pipes.is_empty() {
                self.pipe(0, false);
                has_moved = true;
            }
            if !has_moved || self.is_broken() {
                return;
            }
        }
        self.broker
            .book
            .breaks("comes to rest", "it goes on and on".to_owned());
    }

    /// Without further faults everything comes to its end.
    fn drain(&mut self) {
        self.is_calm = true;
        self.broker.silent_until = Timestamp::default();
        for (n, queue) in QUEUES.iter().enumerate() {
            while !self.broker.book.queues.contains_key(*queue) {
                self.configure(n);
            }
        }
        for n in 0..WORKERS {
            self.heal(n);
        }
        for _ in 0..ROUNDS {
            self.settle();
            if self.broker.is_drained() || self.is_broken() {
                return;
            }
            for n in 0..WORKERS {
                self.heal(n);
            }
            self.pass(ROUND);
        }
        let open = self.broker.book.jobs.iter().filter(|(_, e)| !e.is_over());
        let open: Vec<String> = open
            .map(|(accepted, entry)| format!("{accepted} {:?} a{}", entry.stage, entry.last))
            .collect();
        let work = self.broker.works().filter(|(_, work)| !work.is_foreign);
        let work: Vec<String> = work.map(|(_, work)| format!("{:?}", work.name)).collect();
        let what = format!("open: {open:?}, in the work queue: {work:?}");
        self.broker.book.breaks("all ends", what);
    }

    /// The store goes back: who folded what is lost must stop, and not lead on.
    fn roll_back(&mut self) {
        self.fault("stores rolled back");
        self.election.is_on = false;
        let records = 1 + self.rng.below(5);
        self.packets.clear();
        self.pipes.clear();
        self.broker.roll_back(records);
        let last = self.broker.ledger_last().get();
        for who in 0..COORDINATORS {
            let hands = &mut self.hands[who];
            hands.news.clear();
            self.event(who, Event::Lost);
            let hands = &mut self.hands[who];
            hands.is_ahead = hands.rules.ledger().last_sequence().get() > last;
            // Their consumers are made anew, and begin with the last record.
            hands.folded = hands.folded.saturating_sub(1);
        }
        for _ in 0..AFTERMATH {
            let who = self.rng.index(COORDINATORS);
            if self.rng.once_in(40) {
                self.grant(who);
            }
            self.news(who);
            self.fold(who, 2);
            self.some_packets();
            self.pass(Duration::from_millis(5));
            // What is judged beside this is not meant for a store that lost its records.
            let book = &mut self.broker.book;
            book.broken = book
                .broken
                .take()
                .filter(|broken| broken.rule == "rolled back");
            if self.is_broken() {
                return;
            }
        }
    }

    /// All that fold the same ledger know the same, and it is the truth.
    fn compare(&mut self) {
        for who in 0..COORDINATORS {
            while !self.is_broken() && self.fold(who, u64::MAX) {
                self.settle();
            }
            let what = self.broker.book.differs(self.hands[who].rules.ledger());
            if let Some(what) = what {
                let what = format!("coordinator {who}: {what}");
                self.broker.book.breaks("the fold", what);
            }
        }
    }
}
