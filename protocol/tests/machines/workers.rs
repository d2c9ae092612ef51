//! What is handed on: each delivery once, and never one that somebody is known to run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use protocol::id::WorkerId;
use protocol::message::{Presence, Taken, WorkerSays};
use protocol::number::{Accepted, Attempt};
use protocol::time::Timestamp;
use protocol::workers::{Patience, Pong, Workers};

const NAMES: [&str; 3] = ["a", "b", "c"];
const DELAY: Duration = Duration::from_millis(300);
const PATIENCE: Patience = Patience {
    wait: DELAY,
    lease: None,
};

#[derive(Debug, Clone)]
enum Input {
    /// A worker is handed a job, and the broker counts. What it says of that may come late.
    Handed(usize, u64, bool),
    /// All that a worker has said so far comes.
    Heard(usize),
    Here(usize),
    LetGo(prop::sample::Index),
    Gone(usize),
    Ponged(usize, Pong),
    Ended(u64),
    Passes(u64),
}

fn input() -> impl Strategy<Value = Input> {
    let worker = || 0..NAMES.len();
    let pong = prop_oneof![
        2 => Just(Pong::NoResponders),
        1 => Just(Pong::Answered),
        1 => Just(Pong::Silent),
    ];
    prop_oneof![
        4 => (worker(), 1_u64..4, any::<bool>()).prop_map(|(n, job, late)| Input::Handed(n, job, late)),
        2 => worker().prop_map(Input::Heard),
        1 => worker().prop_map(Input::Here),
        1 => any::<prop::sample::Index>().prop_map(Input::LetGo),
        1 => worker().prop_map(Input::Gone),
        3 => (worker(), pong).prop_map(|(n, pong)| Input::Ponged(n, pong)),
        1 => (1_u64..4).prop_map(Input::Ended),
        3 => (1_u64..500).prop_map(Input::Passes),
    ]
}

fn id(n: usize) -> WorkerId {
    WorkerId::new(NAMES[n]).unwrap()
}

#[derive(Default)]
struct Play {
    workers: Workers,
    now: u64,
    /// All deliveries so far, with their workers, in their order.
    handed: Vec<(usize, Taken)>,
    /// Those that were not announced yet, and those that their worker still has.
    unheard: Vec<usize>,
    held: BTreeSet<usize>,
    /// How often each job was handed out; the newest delivery that was announced.
    counts: BTreeMap<u64, u64>,
    heard: BTreeMap<u64, u64>,
    ended: BTreeSet<u64>,
    missing: BTreeSet<usize>,
    let_go: BTreeMap<String, u64>,
    naked: BTreeSet<String>,
}

impl Play {
    fn say(&mut self, says: WorkerSays) {
        let ended = self.ended.clone();
        let now = Timestamp::from_millis(self.now);
        self.workers
            .said(now, says, |job, _| !ended.contains(&job.get()));
    }

    fn took(&mut self, at: usize) {
        let (n, taken) = self.handed[at].clone();
        let job = taken.accepted.get();
        if !self.ended.contains(&job) {
            let newest = self.heard.entry(job).or_default();
            *newest = taken.delivery.max(*newest);
        }
        self.missing.remove(&n);
        let (worker, took) = (id(n), vec![taken]);
        self.say(WorkerSays::Took { worker, took });
    }

    /// What one worker says keeps its order.
    fn hear(&mut self, n: usize) {
        let all = std::mem::take(&mut self.unheard);
        let (its, others): (Vec<usize>, Vec<usize>) = all
            .into_iter()
            .partition(|place| self.handed[*place].0 == n);
        self.unheard = others;
        its.into_iter().for_each(|place| self.took(place));
    }

    fn take(&mut self, input: &Input) {
        match input {
            Input::Handed(n, job, is_late) => {
                let count = self.counts.entry(*job).or_default();
                *count += 1;
                let taken = Taken {
                    accepted: Accepted::new(*job),
                    attempt: Attempt::FIRST,
                    delivery: *count,
                    ack: format!("{job}.{count}"),
                };
                self.held.insert(self.handed.len());
                self.unheard.push(self.handed.len());
                self.handed.push((*n, taken));
                if !is_late {
                    self.hear(*n);
                }
            }
            Input::Heard(n) => self.hear(*n),
            Input::LetGo(at) if !self.held.is_empty() => {
                let held: Vec<usize> = self.held.iter().copied().collect();
                let place = held[at.index(held.len())];
                self.held.remove(&place);
                let (n, taken) = self.handed[place].clone();
                self.hear(n);
                self.let_go.insert(taken.ack.clone(), self.now);
                self.missing.remove(&n);
                let (worker, let_go) = (id(n), vec![taken]);
                self.say(WorkerSays::LetGo { worker, let_go });
            }
            Input::LetGo(_) => {}
            Input::Here(n) => {
                self.hear(*n);
                self.missing.remove(n);
                let held = self.held.iter().map(|place| &self.handed[*place]);
                let running = held
                    .filter(|(of, _)| of == n)
                    .map(|(_, taken)| taken.clone());
                let running = running.collect();
                self.say(WorkerSays::Here(Presence {
                    v: 1,
                    worker: id(*n),
                    handles: Vec::new(),
                    running,
                    host: String::new(),
                    pid: 0,
                    sdk: String::new(),
                    server: String::new(),
                }));
            }
            Input::Gone(n) => {
                self.hear(*n);
                self.held.retain(|place| self.handed[*place].0 != *n);
                self.missing.insert(*n);
                self.say(WorkerSays::Gone { worker: id(*n) });
            }
            Input::Ponged(n, pong) => {
                match pong {
                    Pong::NoResponders => drop(self.missing.insert(*n)),
                    Pong::Answered => drop(self.missing.remove(n)),
                    Pong::Silent => {}
                }
                self.workers
                    .ponged(Timestamp::from_millis(self.now), &id(*n), *pong);
            }
            Input::Ended(job) => {
                self.ended.insert(*job);
                self.workers.ended(Accepted::new(*job), Attempt::FIRST);
            }
            Input::Passes(millis) => self.now += millis,
        }
    }
}

proptest! {
    #[test]
    fn a_nak_is_sent_once_and_hits_nobody_who_is_known_to_run(
        inputs in proptest::collection::vec(input(), 0..120),
    ) {
        let mut play = Play::default();
        for input in &inputs {
            play.take(input);
            let now = Timestamp::from_millis(play.now);
            for rescue in play.workers.rescues(now, |_, _| Some(PATIENCE)) {
                let job = rescue.accepted.get();
                let of = play.handed.iter().find(|(_, taken)| taken.ack == rescue.ack);
                let (n, taken) = of.expect("it names a delivery").clone();
                prop_assert!(play.naked.insert(rescue.ack.clone()), "{} again", rescue.ack);
                prop_assert_eq!(id(n), rescue.worker, "it names whose it is");
                prop_assert!(!play.ended.contains(&job), "{} has its outcome", job);
                prop_assert!(
                    taken.delivery >= play.heard[&job],
                    "{} was replaced by delivery {}", rescue.ack, play.heard[&job]
                );
                let let_go = play.let_go.get(&rescue.ack);
                let is_fresh = let_go.is_some_and(|at| play.now - at < 1_000);
                prop_assert!(is_fresh || play.missing.contains(&n), "{} is here", NAMES[n]);
            }
        }
    }
}
