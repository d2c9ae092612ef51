//! The takeover: from a won lease to the first dispatch, step by step. The order is the proof.
//!
//! 1. The lease is won: the epoch is known.
//! 2. Read the work queue's last sequence, then its newest fence.
//! 3. Write the fence as one atomic batch that expects that sequence: from its answer on no older
//!    write can match.
//! 4. List the work queue; only a list that shows our fence counts.
//! 5. Write the barrier into the ledger.
//! 6. Fold the ledger up to it.
//! 7. What is listed and has no outcome before the barrier is outstanding; all else waits.
//!
//! A worker records its outcome before it acks, and we list before the barrier: a job that is
//! missing from the list has its outcome before the barrier or was never dispatched.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::answer::Answer;
use crate::number::{Epoch, Sequence};
use crate::subject::{AttemptName, FENCE_LEN, Subjects, WorkSubject};

/// What the hands are to do next for a takeover or an audit. Answers carry the epoch back, so that
/// a late one counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read the work queue's tail and the ledger's facts, at the stream leaders, until answered.
    Look,
    /// Write [`FENCE_LEN`] fence records as one atomic batch, the first expecting this sequence.
    Fence(Sequence),
    /// List all subjects of the work queue at its stream leader, until answered.
    List,
    /// Write the epoch record into the ledger.
    Barrier,
    /// List the work queue, and only then read the ledger's last sequence, until answered.
    Audit,
}

/// What the tail of the work queue showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkTail {
    /// Its last sequence, read first.
    pub last: Sequence,
    /// The epoch of its newest fence, read after it.
    pub newest_fence: Option<Epoch>,
}

/// A takeover under way.
#[derive(Debug)]
pub struct Takeover {
    epoch: Epoch,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Looking,
    Fencing,
    Listing { fence_last: Sequence },
    Barrier(Listed),
    CatchingUp { listed: Listed, barrier: Sequence },
}

/// What was listed behind the fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The sequence of the last fence record.
    pub fence_last: Sequence,
    /// Every attempt that stands in the work queue.
    pub attempts: Vec<AttemptName>,
    /// Fences of older epochs, which may be purged.
    pub old_fences: Vec<Epoch>,
    /// Subjects that no rule makes.
    pub strangers: u64,
}

/// Where a takeover goes after an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The hands do this.
    Step(Step),
    /// Again from the first step with an epoch above this one.
    Advance(Epoch),
    /// Nothing to do until the next answer.
    Wait,
    /// The ledger is folded up to the barrier: lead.
    Lead(Listed),
}

impl Takeover {
    /// Starts with a won epoch; the first step is [`Step::Look`].
    #[must_use]
    pub const fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            stage: Stage::Looking,
        }
    }

    /// The epoch that is being established.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the tail of the work queue is still to be read.
    #[must_use]
    pub const fn is_looking(&self) -> bool {
        matches!(self.stage, Stage::Looking)
    }

    /// Whether only the ledger is waited for.
    #[must_use]
    pub const fn is_catching_up(&self) -> bool {
        matches!(self.stage, Stage::CatchingUp { .. })
    }

    /// The work queue's tail was read.
    pub fn looked(&mut self, tail: WorkTail) -> Next {
        if !matches!(self.stage, Stage::Looking) {
            return Next::Wait;
        }
        match tail.newest_fence {
            // Somebody newer leads, or led before the lease's bucket was made anew. A new epoch is
            // had only by compare-and-set on our own lease: if that is gone, so are we.
            _ if planted!(UnconditionalFence) => {
                self.stage = Stage::Fencing;
                Next::Step(Step::Fence(Sequence::new(u64::MAX)))
            }
            Some(fence) if fence >= self.epoch => Next::Advance(fence),
            Some(_) | None => {
                self.stage = Stage::Fencing;
                Next::Step(Step::Fence(tail.last))
            }
        }
    }

    /// The fence was answered.
    pub fn fenced(&mut self, answer: &Answer) -> Next {
        if !matches!(self.stage, Stage::Fencing) {
            return Next::Wait;
        }
        match answer {
            Answer::Stored(last) => {
                self.stage = Stage::Listing { fence_last: *last };
                #[cfg(feature = "planted")]
                if planted!(BarrierFirst) {
                    self.stage = Stage::Barrier(Listed::nothing(*last));
                    return Next::Step(Step::Barrier);
                }
                Next::Step(Step::List)
            }
            // Something was stored since we looked.
            Answer::WrongLast => {
                self.stage = Stage::Looking;
                Next::Step(Step::Look)
            }
            // It may be stored, now or later: an epoch is never fenced twice.
            Answer::Duplicate(_)
            | Answer::Occupied
            | Answer::Full(_)
            | Answer::Busy
            | Answer::NoResponders
            | Answer::Unanswered
            | Answer::Refused { .. } => Next::Advance(self.epoch),
        }
    }

    /// The work queue was listed.
    pub fn listed(&mut self, subjects: &Subjects, listing: &[String]) -> Next {
        #[cfg(feature = "planted")]
        if let Stage::CatchingUp { listed, .. } = &mut self.stage {
            let Some(found) = read_listing(subjects, self.epoch, listed.fence_last, listing) else {
                return Next::Step(Step::List);
            };
            *listed = found;
            return Next::Wait;
        }
        let Stage::Listing { fence_last } = self.stage else {
            return Next::Wait;
        };
        match read_listing(subjects, self.epoch, fence_last, listing) {
            Some(listed) => {
                self.stage = Stage::Barrier(listed);
                Next::Step(Step::Barrier)
            }
            None => Next::Step(Step::List),
        }
    }

    /// The barrier was answered.
    pub fn barred(&mut self, answer: &Answer) -> Next {
        let Stage::Barrier(listed) = &mut self.stage else {
            return Next::Wait;
        };
        match answer {
            Answer::Stored(barrier) => {
                let (barrier, listed) = (*barrier, take(listed));
                #[cfg(feature = "planted")]
                let barrier = match planted!(NoCatchUp) {
                    true => Sequence::new(0),
                    false => barrier,
                };
                self.stage = Stage::CatchingUp { listed, barrier };
                match planted!(BarrierFirst) {
                    true => Next::Step(Step::List),
                    false => Next::Wait,
                }
            }
            Answer::Duplicate(_)
            | Answer::Occupied
            | Answer::WrongLast
            | Answer::Full(_)
            | Answer::Busy
            | Answer::NoResponders
            | Answer::Unanswered
            | Answer::Refused { .. } => Next::Advance(self.epoch),
        }
    }

    /// The ledger is folded up to `folded`. `is_read` tells whether it is known what a listed job
    /// is: one whose key is not known yet might run beside another of its key.
    pub fn caught_up(&mut self, folded: Sequence, is_read: impl Fn(&AttemptName) -> bool) -> Next {
        #[cfg(feature = "planted")]
        if matches!(&self.stage, Stage::CatchingUp { listed, .. } if listed.is_nothing()) {
            return Next::Wait;
        }
        match &mut self.stage {
            Stage::CatchingUp { listed, barrier }
                if folded >= *barrier
                    && (planted!(UnreadIsLed) || listed.attempts.iter().all(is_read)) =>
            {
                Next::Lead(take(listed))
            }
            Stage::CatchingUp { .. }
            | Stage::Looking
            | Stage::Fencing
            | Stage::Listing { .. }
            | Stage::Barrier(_) => Next::Wait,
        }
    }
}

#[cfg(feature = "planted")]
impl Listed {
    /// Before the listing that comes too late.
    const fn nothing(fence_last: Sequence) -> Self {
        Self {
            fence_last,
            attempts: Vec::new(),
            old_fences: Vec::new(),
            strangers: u64::MAX,
        }
    }

    const fn is_nothing(&self) -> bool {
        self.strangers == u64::MAX
    }
}

fn take(listed: &mut Listed) -> Listed {
    Listed {
        fence_last: listed.fence_last,
        attempts: std::mem::take(&mut listed.attempts),
        old_fences: std::mem::take(&mut listed.old_fences),
        strangers: listed.strangers,
    }
}

/// How many records a fence has: one more than a write of an older leader can reach.
#[must_use]
pub fn fence_len() -> u64 {
    if planted!(ShortFence) { 1 } else { FENCE_LEN }
}

/// Fewer messages than this are written into the work queue under one epoch.
const EPOCH_LEN_BITS: u32 = 32;

/// The sequence at which a work queue begins that was deleted and is made anew under `epoch`: above
/// all that a write of an earlier epoch, which may still be on its way, can expect.
#[must_use]
pub fn first_sequence(epoch: Epoch) -> Sequence {
    // Epochs above are forged, and no leader has one.
    let epoch = epoch.get().min(u64::from(u32::MAX) / 2);
    Sequence::new(epoch << EPOCH_LEN_BITS)
}

/// Reads a listing. `None`: it does not show the whole fence of `epoch`, so it is older than that.
#[must_use]
pub fn read_listing(
    subjects: &Subjects,
    epoch: Epoch,
    fence_last: Sequence,
    listing: &[String],
) -> Option<Listed> {
    let (mut attempts, mut old_fences) = (Vec::new(), BTreeSet::new());
    let (mut own, mut strangers) = (0, 0);
    for subject in listing {
        match subjects.parse_work(subject) {
            WorkSubject::Work(name) => attempts.push(name),
            WorkSubject::Fence { epoch: of, .. } => match of.cmp(&epoch) {
                Ordering::Equal => own += 1,
                Ordering::Less => {
                    old_fences.insert(of);
                }
                Ordering::Greater => strangers += 1,
            },
            WorkSubject::Unknown => strangers += 1,
        }
    }
    (own == fence_len() || planted!(StaleListing)).then(|| Listed {
        fence_last,
        attempts,
        old_fences: old_fences.into_iter().collect(),
        strangers,
    })
}

#[cfg(test)]
mod tests {
    use super::{Next, Step, Takeover, WorkTail, first_sequence, read_listing};
    use crate::answer::Answer;
    use crate::id::Namespace;
    use crate::number::{Epoch, Sequence};
    use crate::subject::{FENCE_LEN, Subjects};

    fn subjects() -> Subjects {
        Subjects::new(Namespace::default())
    }

    fn tail(last: u64, fence: Option<u64>) -> WorkTail {
        WorkTail {
            last: Sequence::new(last),
            newest_fence: fence.map(Epoch::new),
        }
    }

    fn listing(epoch: u64, work: &[&str]) -> Vec<String> {
        let fence = (1..=FENCE_LEN).map(|n| subjects().fence(Epoch::new(epoch), n));
        fence.chain(work.iter().map(|s| (*s).to_owned())).collect()
    }

    #[test]
    fn the_steps_come_in_the_order_of_the_proof() {
        let mut takeover = Takeover::new(Epoch::new(3));
        let next = takeover.looked(tail(40, Some(2)));
        assert_eq!(next, Next::Step(Step::Fence(Sequence::new(40))));
        let next = takeover.fenced(&Answer::Stored(Sequence::new(552)));
        assert_eq!(next, Next::Step(Step::List));
        let next = takeover.listed(
            &subjects(),
            &listing(3, &["jobs.work.q.7.1.a", "jobs.fence.2.1"]),
        );
        assert_eq!(next, Next::Step(Step::Barrier));
        let next = takeover.barred(&Answer::Stored(Sequence::new(90)));
        assert_eq!(next, Next::Wait);
        assert_eq!(takeover.caught_up(Sequence::new(89), |_| true), Next::Wait);
        assert_eq!(takeover.caught_up(Sequence::new(90), |_| false), Next::Wait);
        match takeover.caught_up(Sequence::new(90), |_| true) {
            Next::Lead(listed) => {
                assert_eq!(listed.fence_last, Sequence::new(552));
                assert_eq!(listed.attempts.len(), 1);
                assert_eq!(listed.old_fences, [Epoch::new(2)]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_newer_fence_is_never_fenced_over() {
        for fence in [3, 4] {
            let mut takeover = Takeover::new(Epoch::new(3));
            let next = takeover.looked(tail(40, Some(fence)));
            assert_eq!(next, Next::Advance(Epoch::new(fence)));
        }
    }

    #[test]
    fn a_write_in_between_is_looked_at_again() {
        let mut takeover = Takeover::new(Epoch::new(3));
        takeover.looked(tail(40, None));
        assert_eq!(takeover.fenced(&Answer::WrongLast), Next::Step(Step::Look));
        let next = takeover.looked(tail(41, None));
        assert_eq!(next, Next::Step(Step::Fence(Sequence::new(41))));
    }

    #[test]
    fn an_unanswered_fence_or_barrier_needs_a_new_epoch() {
        for answer in [
            Answer::Unanswered,
            Answer::Occupied,
            Answer::NoResponders,
            Answer::Busy,
        ] {
            let mut takeover = Takeover::new(Epoch::new(3));
            takeover.looked(tail(40, None));
            assert_eq!(takeover.fenced(&answer), Next::Advance(Epoch::new(3)));
            let mut takeover = Takeover::new(Epoch::new(3));
            takeover.looked(tail(40, None));
            takeover.fenced(&Answer::Stored(Sequence::new(552)));
            takeover.listed(&subjects(), &listing(3, &[]));
            let next = takeover.barred(&answer);
            assert_eq!(next, Next::Advance(Epoch::new(3)));
        }
    }

    #[test]
    fn a_listing_without_our_fence_is_taken_again() {
        let mut takeover = Takeover::new(Epoch::new(3));
        takeover.looked(tail(40, None));
        takeover.fenced(&Answer::Stored(Sequence::new(552)));
        let next = takeover.listed(&subjects(), &listing(2, &["jobs.work.q.7.1.a"]));
        assert_eq!(next, Next::Step(Step::List));
        let short = &listing(3, &[])[1..];
        assert_eq!(takeover.listed(&subjects(), short), Next::Step(Step::List));
    }

    #[test]
    fn a_takeover_says_how_far_it_is() {
        let mut takeover = Takeover::new(Epoch::new(3));
        let at = |takeover: &Takeover| (takeover.is_looking(), takeover.is_catching_up());
        assert_eq!(
            (takeover.epoch(), at(&takeover)),
            (Epoch::new(3), (true, false))
        );
        takeover.looked(tail(40, None));
        assert_eq!(at(&takeover), (false, false));
        takeover.fenced(&Answer::Stored(Sequence::new(552)));
        takeover.listed(&subjects(), &listing(3, &[]));
        assert_eq!(at(&takeover), (false, false));
        takeover.barred(&Answer::Stored(Sequence::new(90)));
        assert_eq!(at(&takeover), (false, true));
    }

    #[test]
    fn a_listing_tells_older_fences_from_strangers() {
        let mut listing = listing(3, &["jobs.fence.2.1", "jobs.fence.2.2", "jobs.fence.1.1"]);
        listing.extend(["jobs.fence.4.1", "elsewhere", "jobs.fence.2.3"].map(str::to_owned));
        let last = Sequence::new(552);
        let listed = read_listing(&subjects(), Epoch::new(3), last, &listing).unwrap();
        assert_eq!(listed.old_fences, [Epoch::new(1), Epoch::new(2)]);
        assert_eq!((listed.strangers, listed.fence_last), (2, last));
        assert!(listed.attempts.is_empty());
    }

    #[test]
    fn a_work_queue_made_anew_begins_above_all_that_an_older_epoch_expects() {
        let first = |epoch| first_sequence(Epoch::new(epoch)).get();
        assert_eq!(first(1), 1 << 32);
        assert_eq!(first(7), 7 << 32);
        // A forged epoch is not shifted out of the numbers that a server takes.
        let highest = first(u64::from(u32::MAX) / 2);
        assert_eq!(first(u64::MAX), highest);
        assert!(highest > first(u64::from(u32::MAX) / 2 - 1) && i64::try_from(highest).is_ok());
    }

    #[test]
    fn answers_of_another_step_count_for_nothing() {
        let mut takeover = Takeover::new(Epoch::new(3));
        assert_eq!(
            takeover.barred(&Answer::Stored(Sequence::new(9))),
            Next::Wait
        );
        assert_eq!(
            takeover.fenced(&Answer::Stored(Sequence::new(9))),
            Next::Wait
        );
        assert_eq!(takeover.listed(&subjects(), &listing(3, &[])), Next::Wait);
        assert_eq!(takeover.caught_up(Sequence::new(9), |_| true), Next::Wait);
        takeover.looked(tail(40, None));
        assert_eq!(takeover.looked(tail(41, Some(9))), Next::Wait);
    }
}
