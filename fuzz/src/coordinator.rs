//! The coordinator's rules under events in any order, with answers that no server would give: they
//! never panic, and write nothing unless they lead. A sequence is at most half of what it can hold: a
//! stream that counts to 2^64 does not exist, and the rules say so by a panic.

use protocol::answer::Answer;
use protocol::coordinator::{Coordinator, Event, LedgerFacts};
use protocol::door::Usage;
use protocol::effects::Effects;
use protocol::id::{Namespace, WorkerId};
use protocol::message::{Presence, Taken, WorkerSays};
use protocol::number::{Accepted, Attempt, Epoch, Sequence};
use protocol::subject::Subjects;
use protocol::takeover::{Step, WorkTail};
use protocol::time::Timestamp;
use protocol::window::WindowWidth;
use protocol::workers::Pong;

use crate::fold::Written;
use crate::script::Script;

struct World<'a> {
    script: Script<'a>,
    rules: Coordinator,
    now: u64,
    sequence: u64,
    tags: Vec<u64>,
    wants: Option<(Epoch, Step)>,
    leads: bool,
    dispatched: usize,
}

/// Events in any order.
pub fn coordinator(data: &[u8]) {
    dispatched(data);
}

/// The same; returns how many attempts were dispatched, to see that the inputs lead that far.
pub fn dispatched(data: &[u8]) -> usize {
    let width = WindowWidth::new(3).expect("three");
    let mut world = World {
        script: Script::new(data),
        rules: Coordinator::new(Subjects::new(Namespace::default()), width),
        now: 1_000,
        sequence: 0,
        tags: Vec::new(),
        wants: None,
        leads: false,
        dispatched: 0,
    };
    for _ in 0..400 {
        if world.script.is_over() {
            break;
        }
        world.step();
    }
    world.dispatched
}

impl World<'_> {
    fn step(&mut self) {
        self.now += self.script.number().min(100_000);
        let effects = match self.script.below(24) {
            0..9 => self.record(),
            9..13 => self.on_course(),
            13 => {
                let epoch = self.epoch();
                self.leads = true;
                self.tell(Event::Won(epoch))
            }
            14 => self.stand(),
            15 => {
                let answer = self.answer();
                let tag = match self.script.below(4) {
                    0 => self.script.number(),
                    _ => self.tags.pop().unwrap_or_default(),
                };
                match self.script.below(8) {
                    0 => self.tell(Event::Unsendable {
                        tag,
                        why: "w".to_owned(),
                    }),
                    _ => self.tell(Event::Dispatched { tag, answer }),
                }
            }
            16 => {
                let (accepted, answer) = (Accepted::new(self.script.number()), self.answer());
                self.tell(Event::Wrote { accepted, answer })
            }
            17 | 18 => self.worker(),
            19 => {
                let (used, limit) = (self.script.number(), self.script.number());
                let is_open = self.script.pick(&[None, Some(true), Some(false)]);
                let limit = (limit > 0).then_some(limit);
                self.tell(Event::Usage(vec![Usage { used, limit }], is_open))
            }
            20 => {
                let accepted = Accepted::new(self.script.number());
                let payload = self.script.bytes().to_vec();
                self.tell(Event::Reread {
                    accepted,
                    payload: &payload,
                })
            }
            21 => self.wild_answer(),
            _ => self.tell(Event::Tick),
        };
        self.look(effects);
    }

    fn tell(&mut self, event: Event<'_>) -> Effects {
        self.rules.handle(Timestamp::from_millis(self.now), event)
    }

    fn record(&mut self) -> Effects {
        self.sequence += 1;
        let written = Written::choose(&mut self.script);
        let (sequence, now) = (self.sequence, self.now);
        written.with(sequence, now, |record| {
            self.rules
                .handle(Timestamp::from_millis(now), Event::Record(record))
        })
    }

    /// The answer that the rules wait for, so that they come to lead at all.
    fn on_course(&mut self) -> Effects {
        let Some((epoch, step)) = self.wants.take() else {
            return self.tell(Event::Tick);
        };
        let stored = Answer::Stored(Sequence::new(self.sequence + 1));
        match step {
            Step::Look => {
                let tail = WorkTail {
                    last: Sequence::new(self.sequence),
                    newest_fence: None,
                };
                let ledger = LedgerFacts {
                    created: Timestamp::from_millis(1),
                    last: Sequence::new(self.sequence),
                    at_folded: None,
                };
                self.tell(Event::Looked {
                    epoch,
                    tail,
                    ledger,
                })
            }
            Step::Fence(_) => self.tell(Event::Fenced(epoch, stored)),
            Step::List => {
                let listed = self.listed();
                self.tell(Event::Listed(epoch, listed))
            }
            Step::Barrier => {
                let effects = self.tell(Event::Barred(epoch, stored));
                self.look(effects);
                self.sequence += 1;
                let written = Written::barrier(epoch.get());
                let (sequence, now) = (self.sequence, self.now);
                written.with(sequence, now, |record| {
                    self.rules
                        .handle(Timestamp::from_millis(now), Event::Record(record))
                })
            }
            Step::Audit => {
                let listed = self.listed();
                let last = Sequence::new(self.sequence);
                self.tell(Event::Audited(epoch, listed, last))
            }
        }
    }

    fn listed(&mut self) -> Vec<String> {
        let own = self.script.below(3) > 0;
        let epoch = self.rules.epoch().filter(|_| own);
        let subjects = Subjects::new(Namespace::default());
        let fence = epoch
            .into_iter()
            .flat_map(|epoch| (1..=protocol::subject::FENCE_LEN).map(move |place| (epoch, place)));
        let mut listed: Vec<String> = fence
            .map(|(epoch, place)| subjects.fence(epoch, place))
            .collect();
        for _ in 0..self.script.below(4) {
            listed.push(match self.script.below(3) {
                0 => format!(
                    "jobs.work.q.{}.{}.a",
                    self.script.number(),
                    self.script.number()
                ),
                1 => format!(
                    "jobs.fence.{}.{}",
                    self.script.number(),
                    self.script.number()
                ),
                _ => String::from_utf8_lossy(self.script.bytes()).into_owned(),
            });
        }
        listed
    }

    fn wild_answer(&mut self) -> Effects {
        let (epoch, answer) = (self.epoch(), self.answer());
        match self.script.below(5) {
            0 => self.tell(Event::Fenced(epoch, answer)),
            1 => self.tell(Event::Barred(epoch, answer)),
            2 => {
                let listed = self.listed();
                self.tell(Event::Listed(epoch, listed))
            }
            3 => {
                let (listed, last) = (self.listed(), Sequence::new(self.script.number() >> 1));
                self.tell(Event::Audited(epoch, listed, last))
            }
            _ => {
                let fence = self.epoch();
                let tail = WorkTail {
                    last: Sequence::new(self.script.number() >> 1),
                    newest_fence: Some(fence),
                };
                let ledger = LedgerFacts {
                    created: Timestamp::from_millis(self.script.number()),
                    last: Sequence::new(self.script.number() >> 1),
                    at_folded: None,
                };
                self.tell(Event::Looked {
                    epoch,
                    tail,
                    ledger,
                })
            }
        }
    }

    fn stand(&mut self) -> Effects {
        match self.script.below(3) {
            0 => {
                self.leads = false;
                self.tell(Event::Lost)
            }
            1 => self.tell(Event::Suspended),
            _ => self.tell(Event::Resumed),
        }
    }

    fn epoch(&mut self) -> Epoch {
        let own = self.script.below(3) > 0;
        let own = self.rules.epoch().filter(|_| own);
        own.unwrap_or_else(|| Epoch::new(self.script.number()))
    }

    fn answer(&mut self) -> Answer {
        match self.script.below(10) {
            0..4 => Answer::Stored(Sequence::new(self.script.number() >> 1)),
            4 => Answer::Duplicate(Sequence::new(self.script.number() >> 1)),
            5 => Answer::Occupied,
            6 => Answer::WrongLast,
            7 => self
                .script
                .pick(&[Answer::Full("f".to_owned()), Answer::Busy]),
            8 => self
                .script
                .pick(&[Answer::NoResponders, Answer::Unanswered]),
            _ => Answer::Refused {
                code: self.script.number(),
                text: String::new(),
            },
        }
    }

    fn worker(&mut self) -> Effects {
        let worker = self.script.pick(&["w1", "w2"]);
        let worker = WorkerId::new(worker).expect("a worker");
        let taken = Taken {
            accepted: Accepted::new(self.script.number()),
            attempt: Attempt::new(self.script.number()),
            delivery: self.script.number(),
            ack: "ack".to_owned(),
        };
        let says = match self.script.below(6) {
            0 | 1 => WorkerSays::Took {
                worker,
                took: vec![taken],
            },
            2 => WorkerSays::LetGo {
                worker,
                let_go: vec![taken],
            },
            3 => WorkerSays::Gone { worker },
            4 => WorkerSays::Here(Presence {
                v: 1,
                worker,
                handles: Vec::new(),
                running: vec![taken],
                host: String::new(),
                pid: 0,
                sdk: String::new(),
                server: String::new(),
            }),
            _ => {
                let pong = self
                    .script
                    .pick(&[Pong::Answered, Pong::NoResponders, Pong::Silent]);
                return self.tell(Event::Ponged(worker, pong));
            }
        };
        self.tell(Event::Said(says))
    }

    fn look(&mut self, effects: Effects) {
        if !effects.dispatch.is_empty() || !effects.records.is_empty() {
            assert!(self.leads, "it writes without a lease: {effects:?}");
        }
        for pair in effects.dispatch.windows(2) {
            assert_eq!(
                pair[0].expected.next(),
                pair[1].expected,
                "a gap in the pipeline"
            );
        }
        self.dispatched += effects.dispatch.len();
        self.tags
            .extend(effects.dispatch.iter().map(|dispatch| dispatch.tag));
        if effects.step.is_some() {
            self.wants = effects.step;
        }
    }
}
