//! The writes of a leader that are under way to the work queue: each expects the one before it as
//! the stream's last, so that nobody else's write can come between unseen.
//!
//! A leader's only doubt is a write without an answer, or a refusal that none of its own writes
//! explains. Then it stops here; a takeover with a new epoch turns what is unanswered into an older
//! leader's writes, which the new fence refuses.

use std::collections::VecDeque;

use crate::answer::Answer;
use crate::number::{Accepted, Attempt, Sequence};
use crate::subject::FENCE_LEN;

/// How many writes may be under way: at most the length of the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowWidth(usize);

impl WindowWidth {
    /// The default: most of the speed, half of the fence.
    pub const DEFAULT: Self = Self(256);

    /// Takes 1 to 512 (the fence's length).
    #[must_use]
    pub fn new(width: usize) -> Option<Self> {
        let longest = usize::try_from(FENCE_LEN).ok()?;
        (1..=longest).contains(&width).then_some(Self(width))
    }
}

/// One write under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight {
    /// Tells this write from all others of the leader.
    pub tag: u64,
    /// The job.
    pub accepted: Accepted,
    /// Which try.
    pub attempt: Attempt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The attempt stands in the work queue already.
    Occupied,
    /// There was no room.
    Full,
    /// Another sequence was the last.
    WrongLast,
    /// It was never sent, and never can be.
    Unsendable,
}

/// The writes under way.
#[derive(Debug)]
pub struct Window {
    width: usize,
    /// The sequence that the next write expects to be the last.
    last: Sequence,
    next_tag: u64,
    flights: VecDeque<(Flight, Sequence, Option<Refusal>)>,
    broken: bool,
}

/// What an answer means for the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landing {
    /// The write is stored here.
    Stored(Flight, Sequence),
    /// Refused; what follows is settled when the whole window has its answers.
    Waits,
    /// The whole window has its answers; nothing is in doubt.
    Settled {
        /// Refused, and free to be dispatched again.
        again: Vec<Flight>,
        /// These stand in the work queue already.
        there: Vec<Flight>,
        /// These can never be written.
        never: Vec<Flight>,
        /// There was no room: pause before the next write.
        full: bool,
    },
    /// Something is in doubt: only a takeover with a new epoch settles it.
    InDoubt(String),
}

impl Window {
    /// A window whose first write expects `last`.
    #[must_use]
    pub const fn new(width: WindowWidth, last: Sequence) -> Self {
        Self {
            width: width.0,
            last,
            next_tag: 1,
            flights: VecDeque::new(),
            broken: false,
        }
    }

    /// Numbers the writes from `tag` on, so that no answer to an earlier window's write is taken for
    /// one of this window's.
    #[must_use]
    pub const fn tagged_from(mut self, tag: u64) -> Self {
        self.next_tag = tag;
        self
    }

    /// The tag of the next write.
    #[must_use]
    pub const fn next_tag(&self) -> u64 {
        self.next_tag
    }

    /// The sequence that the next write expects to be the stream's last.
    #[must_use]
    pub const fn last(&self) -> Sequence {
        self.last
    }

    /// Whether another write may start.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.broken && (self.flights.len() < self.width || planted!(WindowTooWide))
    }

    /// Starts a write: what it is, and the sequence it must carry as the expected last.
    pub fn start(&mut self, accepted: Accepted, attempt: Attempt) -> (Flight, Sequence) {
        let flight = Flight {
            tag: self.next_tag,
            accepted,
            attempt,
        };
        let expected = self.last;
        self.next_tag += 1;
        self.last = expected.next();
        self.flights.push_back((flight, expected, None));
        (flight, expected)
    }

    /// The write `tag`, while it has no answer.
    #[must_use]
    pub fn flight(&self, tag: u64) -> Option<Flight> {
        let found = self.flights.iter().find(|(flight, ..)| flight.tag == tag);
        found.map(|(flight, ..)| *flight)
    }

    /// Takes the answer to the write `tag`.
    pub fn land(&mut self, tag: u64, answer: Answer) -> Landing {
        let Some(at) = self
            .flights
            .iter()
            .position(|(flight, ..)| flight.tag == tag)
        else {
            return Landing::Waits;
        };
        let (flight, expected, _) = self.flights[at];
        let refusal = match answer {
            Answer::Stored(sequence) if sequence == expected.next() => {
                self.flights.remove(at);
                // With the rest settled, this may be what the others waited for.
                return match self.broken && self.all_answered() {
                    true => self.settle(Some((flight, sequence))),
                    false => Landing::Stored(flight, sequence),
                };
            }
            Answer::Stored(sequence) | Answer::Duplicate(sequence) => {
                return Landing::InDoubt(format!(
                    "a write that expected {expected} was answered with {sequence}"
                ));
            }
            Answer::Occupied => Refusal::Occupied,
            Answer::Full(_) => Refusal::Full,
            Answer::WrongLast => Refusal::WrongLast,
            Answer::Unanswered if planted!(UnansweredIsRefused) => Refusal::Full,
            Answer::Unanswered if planted!(UnansweredIsStored) => {
                self.flights.remove(at);
                return Landing::Stored(flight, expected.next());
            }
            Answer::Busy | Answer::NoResponders | Answer::Unanswered => {
                return Landing::InDoubt(format!("a write was answered with {answer:?}"));
            }
            Answer::Refused { code, text } => {
                return Landing::InDoubt(format!("a write was refused with {code}: {text}"));
            }
        };
        self.refused(at, refusal)
    }

    /// The write `tag` was never sent, and never can be. What follows it expects its place in vain.
    pub fn unsendable(&mut self, tag: u64) -> Landing {
        match self.flights.iter().position(|(f, ..)| f.tag == tag) {
            Some(at) => self.refused(at, Refusal::Unsendable),
            None => Landing::Waits,
        }
    }

    fn refused(&mut self, at: usize, refusal: Refusal) -> Landing {
        self.flights[at].2 = Some(refusal);
        self.broken = true;
        if self.all_answered() || planted!(SettledEarly) {
            self.settle(None)
        } else {
            Landing::Waits
        }
    }

    fn all_answered(&self) -> bool {
        self.flights.iter().all(|(.., refusal)| refusal.is_some())
    }

    /// All answers are there: the first refusal says why, and where to go on.
    fn settle(&mut self, stored: Option<(Flight, Sequence)>) -> Landing {
        let Some(&(_, expected, first)) = self.flights.front() else {
            return Landing::Waits;
        };
        let is_unexplained = first == Some(Refusal::WrongLast) && !planted!(UnexplainedIsResent);
        // One that is stored behind a refused one found its place by somebody else's write.
        if is_unexplained || stored.is_some_and(|(_, at)| at > expected) {
            return Landing::InDoubt(format!(
                "a write that expected {expected} was refused, and none of ours explains it"
            ));
        }
        self.last = expected;
        self.broken = false;
        let (mut again, mut there, mut never) = (Vec::new(), Vec::new(), Vec::new());
        for (flight, _, refusal) in self.flights.drain(..) {
            match refusal {
                Some(Refusal::Occupied) => there.push(flight),
                Some(Refusal::Unsendable) => never.push(flight),
                Some(Refusal::Full | Refusal::WrongLast) | None => again.push(flight),
            }
        }
        if let Some((flight, _)) = stored {
            there.push(flight);
        }
        let full = first == Some(Refusal::Full);
        Landing::Settled {
            again,
            there,
            never,
            full,
        }
    }

    /// How many writes have no answer yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Landing, Window, WindowWidth};
    use crate::answer::Answer;
    use crate::number::{Accepted, Attempt, Sequence};

    fn window(width: usize) -> Window {
        Window::new(WindowWidth::new(width).unwrap(), Sequence::new(100))
    }

    fn start(window: &mut Window, accepted: u64) -> u64 {
        window.start(Accepted::new(accepted), Attempt::FIRST).0.tag
    }

    #[test]
    fn each_write_expects_the_one_before() {
        let mut window = window(2);
        let (first, expected) = window.start(Accepted::new(1), Attempt::FIRST);
        assert_eq!(expected, Sequence::new(100));
        let (second, expected) = window.start(Accepted::new(2), Attempt::FIRST);
        assert_eq!(expected, Sequence::new(101));
        assert!(!window.has_room());
        let landing = window.land(second.tag, Answer::Stored(Sequence::new(102)));
        assert_eq!(landing, Landing::Stored(second, Sequence::new(102)));
        let landing = window.land(first.tag, Answer::Stored(Sequence::new(101)));
        assert_eq!(landing, Landing::Stored(first, Sequence::new(101)));
        assert!(window.has_room());
    }

    #[test]
    fn an_occupied_subject_breaks_the_chain_and_is_no_doubt() {
        let mut window = window(8);
        let tags: Vec<u64> = (1..=3).map(|n| start(&mut window, n)).collect();
        window.land(tags[0], Answer::Stored(Sequence::new(101)));
        assert_eq!(window.land(tags[1], Answer::Occupied), Landing::Waits);
        assert!(!window.has_room(), "no write starts on a broken chain");
        match window.land(tags[2], Answer::WrongLast) {
            Landing::Settled {
                again,
                there,
                never,
                full,
            } => {
                assert!(never.is_empty());
                assert_eq!(again[0].accepted, Accepted::new(3));
                assert_eq!(there[0].accepted, Accepted::new(2));
                assert!(!full);
            }
            other => panic!("{other:?}"),
        }
        let (_, expected) = window.start(Accepted::new(3), Attempt::FIRST);
        assert_eq!(
            expected,
            Sequence::new(101),
            "the occupied one took no sequence"
        );
    }

    #[test]
    fn a_write_that_cannot_be_sent_breaks_the_chain_and_is_no_doubt() {
        let mut window = window(8);
        let tags: Vec<u64> = (1..=3).map(|n| start(&mut window, n)).collect();
        assert_eq!(window.unsendable(tags[1]), Landing::Waits);
        assert_eq!(window.land(tags[2], Answer::WrongLast), Landing::Waits);
        match window.land(tags[0], Answer::Stored(Sequence::new(101))) {
            Landing::Settled {
                again,
                there,
                never,
                ..
            } => {
                assert_eq!(again[0].accepted, Accepted::new(3));
                assert_eq!(there[0].accepted, Accepted::new(1));
                assert_eq!(never[0].accepted, Accepted::new(2));
            }
            other => panic!("{other:?}"),
        }
        let (_, expected) = window.start(Accepted::new(3), Attempt::FIRST);
        assert_eq!(expected, Sequence::new(101));
        let mut window = Window::new(WindowWidth::DEFAULT, Sequence::new(100));
        let alone = start(&mut window, 1);
        assert!(matches!(window.unsendable(alone), Landing::Settled { .. }));
        assert!(window.has_room());
    }

    #[test]
    fn a_refusal_that_none_of_ours_explains_is_a_doubt() {
        let mut window = window(8);
        let tags: Vec<u64> = (1..=2).map(|n| start(&mut window, n)).collect();
        assert_eq!(window.land(tags[0], Answer::WrongLast), Landing::Waits);
        assert!(matches!(
            window.land(tags[1], Answer::WrongLast),
            Landing::InDoubt(_)
        ));
    }

    #[test]
    fn a_refusal_seen_before_its_cause_waits_for_it() {
        let mut window = window(8);
        let tags: Vec<u64> = (1..=2).map(|n| start(&mut window, n)).collect();
        assert_eq!(window.land(tags[1], Answer::WrongLast), Landing::Waits);
        assert!(matches!(
            window.land(tags[0], Answer::Occupied),
            Landing::Settled { .. }
        ));
    }

    #[test]
    fn no_answer_is_a_doubt() {
        for answer in [
            Answer::Unanswered,
            Answer::NoResponders,
            Answer::Busy,
            Answer::Duplicate(Sequence::new(1)),
        ] {
            let mut window = window(8);
            let tag = start(&mut window, 1);
            assert!(matches!(window.land(tag, answer), Landing::InDoubt(_)));
        }
    }

    #[test]
    fn no_room_pauses_and_loses_nothing() {
        let mut window = window(8);
        let tag = start(&mut window, 1);
        match window.land(tag, Answer::Full("maximum bytes exceeded".into())) {
            Landing::Settled { again, full, .. } => {
                assert_eq!(again.len(), 1);
                assert!(full);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Two refusals of other kinds: the first of the chain says whether it was for want of room.
    #[test]
    fn only_the_first_refusal_says_that_there_was_no_room() {
        let mut window = window(8);
        let tags: Vec<u64> = (1..=2).map(|n| start(&mut window, n)).collect();
        window.land(tags[0], Answer::Occupied);
        match window.land(tags[1], Answer::Full(String::new())) {
            Landing::Settled {
                again, there, full, ..
            } => assert_eq!((again.len(), there.len(), full), (1, 1, false)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_write_stored_behind_a_refused_one_is_a_doubt() {
        let mut window = window(8);
        let tags: Vec<u64> = (1..=2).map(|n| start(&mut window, n)).collect();
        assert_eq!(window.land(tags[0], Answer::Occupied), Landing::Waits);
        let landing = window.land(tags[1], Answer::Stored(Sequence::new(102)));
        assert!(matches!(landing, Landing::InDoubt(_)), "{landing:?}");
    }

    #[test]
    fn a_write_stored_elsewhere_than_expected_is_a_doubt() {
        for elsewhere in [100, 102] {
            let mut window = window(8);
            let tag = start(&mut window, 1);
            let landing = window.land(tag, Answer::Stored(Sequence::new(elsewhere)));
            assert!(matches!(landing, Landing::InDoubt(_)), "{landing:?}");
        }
    }

    #[test]
    fn the_last_answer_settles_a_broken_window_and_a_second_one_counts_for_nothing() {
        let mut window = window(8);
        let tags: Vec<u64> = (1..=3).map(|n| start(&mut window, n)).collect();
        assert_eq!(window.in_flight(), 3);
        assert_eq!(window.land(tags[2], Answer::WrongLast), Landing::Waits);
        // It is stored before the one that broke the chain: nothing is settled yet.
        let stored = window.land(tags[0], Answer::Stored(Sequence::new(101)));
        assert!(matches!(stored, Landing::Stored(..)), "{stored:?}");
        assert_eq!(window.in_flight(), 2);
        assert_eq!(window.land(tags[0], Answer::Occupied), Landing::Waits);
        assert_eq!(window.unsendable(tags[0]), Landing::Waits);
        let settled = window.land(tags[1], Answer::Full(String::new()));
        assert!(matches!(settled, Landing::Settled { .. }), "{settled:?}");
        assert_eq!((window.in_flight(), window.last()), (0, Sequence::new(101)));
    }

    #[test]
    fn tags_go_on_from_where_an_earlier_window_ended() {
        let mut window = window(8).tagged_from(40);
        assert_eq!(window.next_tag(), 40);
        let tag = start(&mut window, 7);
        assert_eq!((tag, window.next_tag()), (40, 41));
        let flight = window.flight(tag).map(|flight| flight.accepted);
        assert_eq!((flight, window.flight(39)), (Some(Accepted::new(7)), None));
        assert_eq!(window.last(), Sequence::new(101));
    }

    #[test]
    fn a_window_is_no_wider_than_the_fence() {
        assert!(WindowWidth::new(512).is_some());
        assert!(WindowWidth::new(513).is_none());
        assert!(WindowWidth::new(0).is_none());
    }
}
