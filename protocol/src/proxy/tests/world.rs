//! Callers and desks together, in a world that loses, repeats, delays, and changes its leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{at, tenure};
use crate::id::CallId;
use crate::number::{Asker, CallNumber, Epoch};
use crate::proxy::{
    AskingName, CallFailure, Caller, CallerEffect, CallerInput, CallerRules, Desk, DeskEffect,
    DeskInput, DeskRules, Fingerprint, Reply, Right, Said, TenureName, Verdict,
};

const CALLS_MAX: usize = 4;
const WITHIN: u64 = 3_000;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many milliseconds pass.
    Pass(u16),
    Call(u8),
    /// A message on its way: delivered, lost, or delivered and kept.
    Deliver(u8),
    Lose(u8),
    Repeat(u8),
    /// A handler ends.
    End(u8),
    /// The read that is under way shows the record, or fails.
    Read(bool),
    /// Another one leads; nobody is told.
    Lead,
    Nobody,
    /// The permit of the one who leads ends, and nobody else leads.
    Expire,
    WindUp,
    /// The process of the one who leads is gone, with all that it knew; the record still names it.
    Die,
    Hint,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u16..1_500).prop_map(Step::Pass),
        4 => any::<u8>().prop_map(Step::Call),
        8 => any::<u8>().prop_map(Step::Deliver),
        2 => any::<u8>().prop_map(Step::Lose),
        2 => any::<u8>().prop_map(Step::Repeat),
        6 => any::<u8>().prop_map(Step::End),
        5 => prop::bool::weighted(0.8).prop_map(Step::Read),
        1 => Just(Step::Lead),
        1 => Just(Step::Nobody),
        1 => Just(Step::Expire),
        1 => Just(Step::WindUp),
        1 => Just(Step::Die),
        2 => Just(Step::Hint),
    ]
}

#[derive(Debug, Clone)]
enum Message {
    Question(AskingName, TenureName),
    Answer(AskingName, Reply),
}

struct Office {
    desk: Desk,
    right: Right,
    begun: BTreeMap<CallNumber, CallId>,
    askers: BTreeMap<Asker, AskingName>,
}

struct World {
    now: u64,
    caller: Caller,
    offices: BTreeMap<Epoch, Office>,
    record: Option<TenureName>,
    epoch: Epoch,
    on_its_way: Vec<Message>,
    reading: bool,
    calls: CallNumber,
    asker: Asker,
    /// What was begun under which epoch.
    begun: BTreeSet<(CallNumber, Epoch)>,
    ended: BTreeMap<CallNumber, Result<Epoch, CallFailure>>,
    began_at: BTreeMap<CallNumber, u64>,
    answered_last: Epoch,
}

impl World {
    fn new() -> Self {
        let rules = CallerRules {
            calls_max: CALLS_MAX,
            len_max: 300,
            call_len_max: 200,
            ..CallerRules::default()
        };
        Self {
            now: 0,
            caller: Caller::new(rules, at(0)),
            offices: BTreeMap::new(),
            record: None,
            epoch: Epoch::new(0),
            on_its_way: Vec::new(),
            reading: false,
            calls: CallNumber::new(0),
            asker: Asker::new(0),
            begun: BTreeSet::new(),
            ended: BTreeMap::new(),
            began_at: BTreeMap::new(),
            answered_last: Epoch::new(0),
        }
    }

    fn caller(&mut self, input: CallerInput) {
        for effect in self.caller.handle(at(self.now), input) {
            match effect {
                CallerEffect::Read => {
                    assert!(!self.reading, "one read at a time");
                    self.reading = true;
                }
                CallerEffect::Ask(asking, tenure) => {
                    assert!(!self.ended.contains_key(&asking.call), "it has ended");
                    self.on_its_way.push(Message::Question(asking, tenure));
                }
                CallerEffect::End(call, result) => self.end(
                    call,
                    result.map(|(payload, epoch)| {
                        assert_eq!(&*payload, format!("{} {epoch}", id(call)).as_bytes());
                        epoch
                    }),
                ),
            }
        }
        self.expire();
    }

    fn end(&mut self, call: CallNumber, result: Result<Epoch, CallFailure>) {
        let begun = self.begun.iter().any(|(begun, _)| *begun == call);
        match &result {
            Ok(epoch) => {
                assert!(self.begun.contains(&(call, *epoch)));
                assert!(*epoch >= self.answered_last, "an older leader's answer");
                self.answered_last = *epoch;
            }
            Err(CallFailure::NoLeader | CallFailure::Busy(_) | CallFailure::Overflow(_)) => {
                assert!(!begun, "{result:?}, and it was begun");
                // Nor may it be begun later.
                let late = |message: &Message| matches!(message, Message::Question(asking, _) if asking.call == call);
                assert!(!self.on_its_way.iter().any(late), "{result:?}");
            }
            Err(CallFailure::Unknown(_) | CallFailure::TooLarge { .. }) => {}
            Err(
                CallFailure::Refused { .. }
                | CallFailure::Conflict(_)
                | CallFailure::AnswerTooLong { .. }
                | CallFailure::Ended,
            ) => panic!("nobody said {result:?}"),
        }
        assert!(self.ended.insert(call, result).is_none(), "a second end");
    }

    /// Each call has its end by its deadline, as far as the caller was told the time.
    fn expire(&self) {
        for (call, began) in &self.began_at {
            let late = began + WITHIN <= self.now;
            assert!(!late || self.ended.contains_key(call), "{call} is late");
        }
        let open = self.began_at.len() - self.ended.len();
        assert!(open <= CALLS_MAX, "{open} open calls");
    }

    fn office(&mut self, epoch: Epoch, input: DeskInput) {
        let Some(office) = self.offices.get_mut(&epoch) else {
            return;
        };
        for effect in office.desk.handle(at(self.now), office.right, input) {
            match effect {
                DeskEffect::Begin(asker, id) => {
                    assert_eq!(office.right, Right::Holds);
                    let call = office.askers[&asker].call;
                    assert!(self.begun.insert((call, epoch)), "{call} twice in {epoch}");
                    office.begun.insert(call, id);
                }
                DeskEffect::Answer(asker, verdict) => {
                    let said = matches!(verdict, Verdict::Said(_));
                    assert!(!said || office.right != Right::Ended, "answered too late");
                    let asking = office.askers.remove(&asker).unwrap();
                    let reply = Reply::Verdict(epoch, verdict);
                    self.on_its_way.push(Message::Answer(asking, reply));
                }
                DeskEffect::Leave(asker) => {
                    office.askers.remove(&asker).unwrap();
                }
            }
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Question(asking, tenure) => {
                if !self.offices.contains_key(&tenure.epoch) {
                    // A 503 of the server is not lost behind others: it is on its way as all else.
                    let answer = Message::Answer(asking, Reply::Unreached);
                    self.on_its_way.push(answer);
                    return;
                }
                self.asker = self.asker.next();
                let asker = self.asker;
                let office = self.offices.get_mut(&tenure.epoch).unwrap();
                office.askers.insert(asker, asking);
                let input = DeskInput::Asked {
                    asker,
                    id: id(asking.call),
                    content: Fingerprint::of(b"x"),
                };
                self.office(tenure.epoch, input);
            }
            Message::Answer(asking, reply) => self.caller(CallerInput::Replied(asking, reply)),
        }
    }

    fn call(&mut self, len: u8) {
        self.calls = self.calls.next();
        let call = self.calls;
        self.began_at.insert(call, self.now);
        let input = CallerInput::Call {
            call,
            len: len.into(),
            within: Duration::from_millis(WITHIN),
        };
        self.caller(input);
    }

    fn lead(&mut self) {
        self.epoch = self.epoch.next();
        self.record = Some(tenure("A", self.epoch.get()));
        let desk = Desk::new(DeskRules {
            open_max: 2,
            remembered_max: 6,
            ..DeskRules::default()
        });
        let office = Office {
            desk,
            right: Right::Holds,
            begun: BTreeMap::new(),
            askers: BTreeMap::new(),
        };
        self.offices.insert(self.epoch, office);
    }

    fn end_handler(&mut self, place: u8) {
        let open: Vec<(Epoch, CallNumber)> = self
            .offices
            .iter()
            .flat_map(|(epoch, office)| office.begun.keys().map(|call| (*epoch, *call)))
            .collect();
        let Some((epoch, call)) = pick(&open, place) else {
            return;
        };
        let office = self.offices.get_mut(&epoch).unwrap();
        let id = office.begun.remove(&call).unwrap();
        let said = Said::Done(format!("{id} {epoch}").into_bytes().into());
        self.office(epoch, DeskInput::Ended(id, said));
    }

    fn take_message(&mut self, place: u8) -> Option<Message> {
        let len = self.on_its_way.len();
        (len > 0).then(|| self.on_its_way.remove(usize::from(place) % len))
    }

    fn set_right(&mut self, right: Right) {
        if let Some(office) = self.offices.get_mut(&self.epoch) {
            office.right = if office.right == Right::Ended {
                Right::Ended
            } else {
                right
            };
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(millis) => {
                self.now += u64::from(millis);
                self.caller(CallerInput::Tick);
            }
            Step::Call(len) => self.call(len),
            Step::Deliver(place) => {
                if let Some(message) = self.take_message(place) {
                    self.deliver(message);
                }
            }
            Step::Lose(place) => drop(self.take_message(place)),
            // Only what a server may deliver twice: what was sent again by the caller is another turn.
            Step::Repeat(place) => {
                if let Some(message) = pick(&self.on_its_way, place)
                    && matches!(message, Message::Answer(..))
                {
                    self.deliver(message);
                }
            }
            Step::End(place) => self.end_handler(place),
            Step::Read(good) if self.reading => {
                self.reading = false;
                let record = self.record.clone();
                let read = if good {
                    CallerInput::Read(record)
                } else {
                    CallerInput::ReadFailed
                };
                self.caller(read);
            }
            Step::Read(_) => {}
            Step::Lead => self.lead(),
            Step::Nobody => self.record = None,
            Step::Expire => self.set_right(Right::Ended),
            Step::WindUp => self.set_right(Right::WindsUp),
            Step::Die => drop(self.offices.remove(&self.epoch)),
            Step::Hint => self.caller(CallerInput::Hint(self.record.clone())),
        }
    }
}

fn id(call: CallNumber) -> CallId {
    CallId::new(&call.to_string()).unwrap()
}

fn pick<T: Clone>(all: &[T], place: u8) -> Option<T> {
    all.get(usize::from(place).checked_rem(all.len())?).cloned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_call_is_begun_once_an_epoch_and_its_end_says_what_is_true(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.step(Step::Pass(3_000));
        prop_assert_eq!(world.ended.len(), world.began_at.len());
    }
}

#[test]
fn without_faults_each_call_is_answered() {
    let mut world = World::new();
    world.lead();
    for _ in 0..20 {
        world.call(1);
        for _ in 0..4 {
            world.step(Step::Read(true));
            world.step(Step::Deliver(0));
            world.step(Step::End(0));
        }
        // So that there is room to remember the next.
        world.step(Step::Pass(30_000));
    }
    assert!(world.ended.values().all(Result::is_ok), "{:?}", world.ended);
}
