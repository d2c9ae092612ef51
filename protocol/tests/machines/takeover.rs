//! The takeover: whatever is answered in whatever order, it leads only behind a whole fence, a
//! listing that shows it, a barrier, and a ledger that is folded up to there.

use proptest::prelude::*;
use protocol::answer::Answer;
use protocol::id::Namespace;
use protocol::number::{Epoch, Sequence};
use protocol::subject::{FENCE_LEN, Subjects};
use protocol::takeover::{Next, Step, Takeover, WorkTail};

const OWN: u64 = 5;

#[derive(Debug, Clone)]
enum Input {
    Looked(u64, Option<u64>),
    Fenced(Answer),
    /// Of which epoch the fence is that the listing shows, and how many of its records are missing.
    Listed(u64, u64),
    Barred(Answer),
    Folded(u64, bool),
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => (1_u64..2_000).prop_map(|n| Answer::Stored(Sequence::new(n))),
        1 => Just(Answer::WrongLast),
        1 => Just(Answer::Occupied),
        1 => Just(Answer::Unanswered),
        1 => Just(Answer::NoResponders),
        1 => Just(Answer::Busy),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        (0_u64..900, proptest::option::of(0..OWN + 2)).prop_map(|(n, e)| Input::Looked(n, e)),
        answer().prop_map(Input::Fenced),
        (OWN - 1..=OWN, 0_u64..2).prop_map(|(e, lacks)| Input::Listed(e, lacks)),
        answer().prop_map(Input::Barred),
        (0_u64..2_000, any::<bool>()).prop_map(|(n, is_read)| Input::Folded(n, is_read)),
    ]
}

/// What was asked for and answered, in the order of the proof.
#[derive(Debug, Default)]
struct Proof {
    tail: Option<u64>,
    fence: Option<u64>,
    is_listed: bool,
    barrier: Option<u64>,
}

proptest! {
    #[test]
    fn it_leads_by_its_proof_alone(inputs in proptest::collection::vec(input(), 0..40)) {
        let subjects = Subjects::new(Namespace::default());
        let mut takeover = Takeover::new(Epoch::new(OWN));
        let mut proof = Proof::default();
        let mut asked = Some(Step::Look);
        for input in inputs {
            let next = match &input {
                Input::Looked(last, newest_fence) => {
                    let tail = WorkTail {
                        last: Sequence::new(*last),
                        newest_fence: newest_fence.map(Epoch::new),
                    };
                    if asked.take_if(|step| *step == Step::Look).is_some() {
                        proof.tail = Some(*last);
                    }
                    let next = takeover.looked(tail);
                    let is_newer = newest_fence.is_some_and(|fence| fence >= OWN);
                    prop_assert!(!(is_newer && matches!(next, Next::Step(Step::Fence(_)))));
                    next
                }
                Input::Fenced(answer) => {
                    let is_asked = asked.take_if(|step| matches!(step, Step::Fence(_)));
                    if let (Some(_), Answer::Stored(last)) = (is_asked, answer) {
                        proof.fence = Some(last.get());
                    }
                    takeover.fenced(answer)
                }
                Input::Listed(epoch, lacks) => {
                    let fence = (1..=FENCE_LEN - lacks).map(|n| subjects.fence(Epoch::new(*epoch), n));
                    let listing: Vec<String> = fence.collect();
                    proof.is_listed |= asked.take_if(|step| *step == Step::List).is_some() && *epoch == OWN && *lacks == 0;
                    takeover.listed(&subjects, &listing)
                }
                Input::Barred(answer) => {
                    let is_asked = asked.take_if(|step| *step == Step::Barrier);
                    if let (Some(_), Answer::Stored(at)) = (is_asked, answer) {
                        proof.barrier = Some(at.get());
                    }
                    takeover.barred(answer)
                }
                Input::Folded(folded, is_read) => takeover.caught_up(Sequence::new(*folded), |_| *is_read),
            };
            match next {
                Next::Step(step) => {
                    match &step {
                        Step::Fence(expected) => prop_assert_eq!(Some(expected.get()), proof.tail),
                        Step::List => prop_assert!(proof.fence.is_some()),
                        Step::Barrier => prop_assert!(proof.is_listed),
                        Step::Look => {}
                        Step::Audit => prop_assert!(false, "an audit is no step of a takeover"),
                    }
                    asked = Some(step);
                }
                Next::Lead(listed) => {
                    prop_assert_eq!(Some(listed.fence_last.get()), proof.fence);
                    prop_assert!(proof.is_listed);
                    let Input::Folded(folded, _) = input else {
                        return Err(TestCaseError::fail("it leads before it has folded"));
                    };
                    prop_assert!(proof.barrier.is_some_and(|barrier| folded >= barrier));
                    return Ok(());
                }
                // A new epoch is a new takeover.
                Next::Advance(floor) => {
                    prop_assert!(floor >= Epoch::new(OWN));
                    return Ok(());
                }
                Next::Wait => {}
            }
        }
    }
}
