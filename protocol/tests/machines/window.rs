//! The leader's writes under way, against a stream that takes what expects its last sequence.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::answer::Answer;
use protocol::number::{Accepted, Attempt, Sequence};
use protocol::window::{Flight, Landing, Window, WindowWidth};

/// What the stream has against a job, the first time.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Fine,
    Occupied,
    Full,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![6 => Just(Fate::Fine), 1 => Just(Fate::Occupied), 1 => Just(Fate::Full)]
}

struct Play {
    window: Window,
    last: u64,
    fates: Vec<Fate>,
    /// Answers under way.
    answers: Vec<(Flight, Answer)>,
    waiting: BTreeSet<u64>,
    stored: BTreeMap<u64, u64>,
    there: BTreeSet<u64>,
}

impl Play {
    fn write(&mut self) {
        let Some(job) = self.waiting.pop_first() else {
            return;
        };
        let (flight, expected) = self.window.start(Accepted::new(job), Attempt::FIRST);
        let fate = &mut self.fates[usize::try_from(job).unwrap()];
        let answer = match *fate {
            _ if expected.get() != self.last => Answer::WrongLast,
            Fate::Occupied => Answer::Occupied,
            Fate::Full => {
                *fate = Fate::Fine;
                Answer::Full("maximum bytes exceeded".to_owned())
            }
            Fate::Fine => {
                self.last += 1;
                assert!(
                    self.stored.insert(job, self.last).is_none(),
                    "{job} is stored twice"
                );
                Answer::Stored(Sequence::new(self.last))
            }
        };
        self.answers.push((flight, answer));
    }

    /// An answer comes, whichever: as the client hands them out in any order.
    fn answer(&mut self, at: &prop::sample::Index) -> Result<(), TestCaseError> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let (flight, answer) = self.answers.remove(at.index(self.answers.len()));
        match self.window.land(flight.tag, answer) {
            Landing::Stored(known, sequence) => {
                prop_assert_eq!(known, flight);
                prop_assert_eq!(
                    self.stored.get(&flight.accepted.get()),
                    Some(&sequence.get())
                );
            }
            Landing::Waits => {}
            Landing::Settled {
                again,
                there,
                never,
                ..
            } => {
                prop_assert!(never.is_empty());
                prop_assert!(
                    self.answers.is_empty(),
                    "it settled before all was answered"
                );
                prop_assert_eq!(self.window.last().get(), self.last);
                for job in again.iter().map(|flight| flight.accepted.get()) {
                    prop_assert!(!self.stored.contains_key(&job), "{} is written again", job);
                    prop_assert!(self.waiting.insert(job));
                }
                self.there
                    .extend(there.iter().map(|flight| flight.accepted.get()));
            }
            Landing::InDoubt(why) => prop_assert!(false, "in doubt: {}", why),
        }
        Ok(())
    }
}

proptest! {
    /// With nobody else writing, nothing is in doubt, nothing is stored twice, and all is stored or
    /// there in the end, whatever is refused and in whatever order the answers come.
    #[test]
    fn every_write_comes_to_one_end(
        width in 1_usize..6,
        fates in proptest::collection::vec(fate(), 1..20),
        steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        first in any::<prop::sample::Index>(),
    ) {
        let jobs = u64::try_from(fates.len()).unwrap();
        let mut play = Play {
            window: Window::new(WindowWidth::new(width).unwrap(), Sequence::new(40)),
            last: 40,
            fates,
            answers: Vec::new(),
            waiting: (0..jobs).collect(),
            stored: BTreeMap::new(),
            there: BTreeSet::new(),
        };
        for (is_write, at) in steps {
            prop_assert!(play.window.in_flight() <= width);
            match is_write && play.window.has_room() {
                true => play.write(),
                false => play.answer(&at)?,
            }
        }
        while !play.waiting.is_empty() || !play.answers.is_empty() {
            match play.window.has_room() && !play.waiting.is_empty() {
                true => play.write(),
                false => play.answer(&first)?,
            }
        }
        for job in 0..jobs {
            prop_assert!(play.stored.contains_key(&job) || play.there.contains(&job));
        }
    }

    /// A write of somebody else is never taken for one of ours: it is a doubt, at the latest with the
    /// last answer.
    #[test]
    fn a_foreign_write_is_a_doubt(writes in 1_u64..6, before in 0_u64..6) {
        let mut window = Window::new(WindowWidth::new(8).unwrap(), Sequence::new(40));
        let flights: Vec<_> = (0..writes)
            .map(|job| window.start(Accepted::new(job), Attempt::FIRST))
            .collect();
        let before = before.min(writes - 1);
        let mut is_doubt = false;
        for (at, (flight, expected)) in (0..).zip(flights) {
            // The foreign one takes the place of the write `before`.
            let answer = match at < before {
                true => Answer::Stored(expected.next()),
                false if at == before => Answer::WrongLast,
                // Its place is taken too: what follows expects what is there.
                false => Answer::Stored(expected.next()),
            };
            is_doubt |= matches!(window.land(flight.tag, answer), Landing::InDoubt(_));
        }
        prop_assert!(is_doubt);
    }
}
