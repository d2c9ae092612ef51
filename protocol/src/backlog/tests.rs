//! The order of what waits, and one at a time for each key, against a slow and plain model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Backlog, Line, Rank, Waiting};
use crate::id::{Key, Kind, QueueName};
use crate::number::Accepted;
use crate::submission::Priority;
use crate::time::Timestamp;

fn waiting(accepted: u64, priority: u8, due: u64, key: Option<u8>, kind: u8) -> Waiting {
    Waiting {
        line: Line {
            queue: queue(),
            kind: Kind::new(&format!("k{kind}")).unwrap(),
        },
        key: key.map(|key| Key::new(&format!("key{key}")).unwrap()),
        rank: Rank {
            priority: Priority::new(priority).unwrap(),
            due: Timestamp::from_millis(due),
            accepted: Accepted::new(accepted),
        },
        expires_at: None,
    }
}

fn queue() -> QueueName {
    QueueName::new("q").unwrap()
}

fn take(backlog: &mut Backlog) -> Option<u64> {
    let first = backlog.first_ready(&queue(), |_| true)?;
    let waiting = backlog.remove(first).expect("what is ready waits");
    if let Some(key) = &waiting.key {
        backlog.occupy(key, first);
    }
    Some(first.get())
}

const NOW: Timestamp = Timestamp::from_millis(1_000);

#[test]
fn the_urgent_come_first_then_the_older() {
    let mut backlog = Backlog::default();
    for (accepted, priority, due) in [(1, 5, 10), (2, 5, 5), (3, 0, 20), (4, 5, 5)] {
        backlog.insert(waiting(accepted, priority, due, None, 0), NOW);
    }
    let order: Vec<u64> = std::iter::from_fn(|| take(&mut backlog)).collect();
    assert_eq!(order, [3, 2, 4, 1]);
}

#[test]
fn a_key_runs_one_at_a_time_in_order() {
    let mut backlog = Backlog::default();
    backlog.insert(waiting(1, 5, 0, Some(1), 0), NOW);
    backlog.insert(waiting(2, 5, 0, Some(1), 0), NOW);
    backlog.insert(waiting(3, 5, 0, Some(2), 0), NOW);
    backlog.insert(waiting(4, 0, 0, Some(1), 0), NOW);
    assert_eq!(take(&mut backlog), Some(4), "the urgent one of key 1");
    assert_eq!(take(&mut backlog), Some(3));
    assert_eq!(take(&mut backlog), None, "key 1 is taken");
    let key = Key::new("key1").unwrap();
    backlog.free(&key, Accepted::new(99));
    assert_eq!(take(&mut backlog), None, "somebody else freed it");
    backlog.free(&key, Accepted::new(4));
    assert_eq!(take(&mut backlog), Some(1));
}

#[test]
fn what_is_due_later_waits_for_its_time() {
    let mut backlog = Backlog::default();
    backlog.insert(waiting(1, 5, 2_000, None, 0), NOW);
    assert_eq!(take(&mut backlog), None);
    assert_eq!(backlog.next_time(), Some(Timestamp::from_millis(2_000)));
    backlog.promote(Timestamp::from_millis(1_999));
    assert_eq!(take(&mut backlog), None);
    backlog.promote(Timestamp::from_millis(2_000));
    assert_eq!(take(&mut backlog), Some(1));
}

#[test]
fn a_kind_that_nobody_handles_does_not_hold_up_others() {
    let mut backlog = Backlog::default();
    backlog.insert(waiting(1, 5, 0, Some(1), 1), NOW);
    backlog.insert(waiting(2, 5, 0, Some(1), 2), NOW);
    let first = backlog.first_ready(&queue(), |kind| kind.as_str() == "k2");
    assert_eq!(first, Some(Accepted::new(2)));
}

#[derive(Debug, Clone)]
enum Act {
    Insert {
        priority: u8,
        due: u64,
        key: Option<u8>,
        kind: u8,
    },
    Take,
    Free(usize),
    Remove(usize),
    Promote(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u8..10, 0_u64..3_000, proptest::option::of(0_u8..3), 0_u8..2)
            .prop_map(|(priority, due, key, kind)| Act::Insert { priority, due, key, kind }),
        3 => Just(Act::Take),
        2 => (0_usize..8).prop_map(Act::Free),
        1 => (0_usize..8).prop_map(Act::Remove),
        1 => (0_u64..3_000).prop_map(Act::Promote),
    ]
}

/// The same by looking at everything each time.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<u64, Waiting>,
    promoted: BTreeSet<u64>,
    running: BTreeMap<u64, Option<Key>>,
}

impl Model {
    fn take(&mut self) -> Option<u64> {
        let taken: BTreeSet<&Key> = self.running.values().flatten().collect();
        let free = |w: &&Waiting| w.key.as_ref().is_none_or(|key| !taken.contains(key));
        let due = |w: &&Waiting| self.promoted.contains(&w.rank.accepted.get());
        let rank = self
            .waiting
            .values()
            .filter(due)
            .filter(free)
            .map(|w| w.rank)
            .min()?;
        let id = rank.accepted.get();
        let waiting = self.waiting.remove(&id)?;
        self.running.insert(id, waiting.key);
        Some(id)
    }
}

proptest! {
    #[test]
    fn any_run_of_acts_matches_the_plain_model(acts in proptest::collection::vec(act(), 1..80)) {
        let (mut backlog, mut model, mut now) = (Backlog::default(), Model::default(), 0);
        let mut next = 0;
        for act in acts {
            match act {
                Act::Insert { priority, due, key, kind } => {
                    next += 1;
                    let job = waiting(next, priority, due, key, kind);
                    backlog.insert(job.clone(), Timestamp::from_millis(now));
                    if due <= now { model.promoted.insert(next); }
                    model.waiting.insert(next, job);
                }
                Act::Take => prop_assert_eq!(take(&mut backlog), model.take()),
                Act::Free(n) => {
                    let Some((&id, key)) = model.running.iter().nth(n) else { continue };
                    if let Some(key) = key { backlog.free(key, Accepted::new(id)); }
                    model.running.remove(&id);
                }
                Act::Remove(n) => {
                    let Some(&id) = model.waiting.keys().nth(n) else { continue };
                    model.waiting.remove(&id);
                    prop_assert!(backlog.remove(Accepted::new(id)).is_some());
                }
                Act::Promote(to) => {
                    now = now.max(to);
                    backlog.promote(Timestamp::from_millis(now));
                    let due = |w: &&Waiting| w.rank.due.as_millis() <= now;
                    model.promoted.extend(model.waiting.values().filter(due).map(|w| w.rank.accepted.get()));
                }
            }
            prop_assert_eq!(backlog.len(), model.waiting.len());
        }
    }
}
