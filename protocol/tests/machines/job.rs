//! The life of a job, whatever is recorded about it.

use std::sync::Arc;

use proptest::prelude::*;
use protocol::config::QueueConfig;
use protocol::job::{Job, JobState, Recorded, Step};
use protocol::number::{Attempt, Sequence};
use protocol::outcome::{OutcomeError, OutcomeHead, Status};
use protocol::subject::{JobName, Verb};
use protocol::submission::JobSpec;
use protocol::time::Timestamp;

#[derive(Debug, Clone)]
enum Input {
    Outcome(u64, Status, bool),
    Newer(u64),
    Control(Verb, u64),
}

fn input() -> impl Strategy<Value = Input> {
    let status = prop_oneof![
        6 => Just(Status::Failed),
        1 => Just(Status::Completed),
        1 => Just(Status::Cancelled),
        1 => Just(Status::Expired),
        1 => Just(Status::Discarded),
    ];
    let verb = prop_oneof![
        1 => Just(Verb::Cancel),
        1 => Just(Verb::Expire),
        1 => Just(Verb::Discard),
        1 => Just(Verb::Retry),
        3 => Just(Verb::Replay),
    ];
    // Relative to the last attempt, so that many of them count.
    prop_oneof![
        6 => (0_u64..4, status, any::<bool>()).prop_map(|(n, s, p)| Input::Outcome(n, s, p)),
        1 => (0_u64..4).prop_map(Input::Newer),
        4 => (verb, 0_u64..3).prop_map(|(verb, n)| Input::Control(verb, n)),
    ]
}

fn name() -> JobName {
    JobName::Named {
        queue: "q".parse().unwrap(),
        id: protocol::id::JobId::from_raw("a").unwrap(),
    }
}

fn open(max_attempts: u32) -> JobState {
    let spec = JobSpec {
        kind: "k".parse().unwrap(),
        key: None,
        priority: protocol::submission::Priority::default(),
        run_at: None,
        expires_at: None,
        timeout: None,
        max_attempts,
    };
    JobState::accepted(
        spec,
        &Arc::new(QueueConfig::default()),
        Timestamp::default(),
    )
}

fn take(state: &mut JobState, at: u64, input: &Input) -> Step {
    let last = state.last().get();
    let now = Timestamp::from_millis(at * 1_000);
    match input {
        Input::Outcome(ahead, status, permanent) => {
            let mut error = OutcomeError::new("x", "x");
            error.permanent = *permanent;
            let recorded = Recorded {
                attempt: Attempt::new((last + ahead).saturating_sub(1)),
                sequence: Sequence::new(at),
                at: now,
                head: OutcomeHead {
                    status: *status,
                    error: Some(error),
                },
            };
            state.outcome(&name(), recorded)
        }
        Input::Newer(ahead) => state.newer(9, Attempt::new((last + ahead).saturating_sub(1))),
        Input::Control(verb, ahead) => {
            let on = Attempt::new((last + ahead).saturating_sub(1));
            state.control(*verb, on, now)
        }
    }
}

proptest! {
    #[test]
    fn its_life_goes_forward(
        max_attempts in 1_u32..5,
        inputs in proptest::collection::vec(input(), 0..60),
    ) {
        let mut state = open(max_attempts);
        let mut failures = 0;
        for (at, input) in (1..).zip(&inputs) {
            let before = state.clone();
            let step = take(&mut state, at, input);
            prop_assert_eq!(step == Step::Ignored, state == before);
            let (was, is) = (before.last().get(), state.last().get());
            prop_assert!(is == was || is == was + 1, "attempt {} after {}", is, was);
            match (&before, &state, input) {
                // Only the next attempt's outcome moves it, or ends it.
                (JobState::Open(_), JobState::Open(now), Input::Outcome(..)) if is > was => {
                    failures += 1;
                    prop_assert_eq!(now.failures, failures);
                    prop_assert!(failures < max_attempts, "it failed more often than it may");
                }
                (JobState::Open(_), JobState::Final(over), _) => {
                    prop_assert_eq!(is, was + 1);
                    prop_assert!(matches!(input, Input::Outcome(2, ..)));
                    prop_assert_eq!(over.outcome_at.get(), at);
                }
                // An end is final, but for a replay of its last attempt.
                (JobState::Final(_), JobState::Open(again), Input::Control(Verb::Replay, 1)) => {
                    failures = 0;
                    prop_assert_eq!((again.failures, again.request), (0, None));
                    prop_assert_eq!(again.replayed, again.last);
                }
                (JobState::Final(_), JobState::Final(_), _) => prop_assert_eq!(step, Step::Ignored),
                (JobState::Parked { .. }, _, _) => prop_assert_eq!(step, Step::Ignored),
                (JobState::Open(was), JobState::Open(now), _) => {
                    // A request is never lifted but by a replay.
                    prop_assert!(was.request.is_none() || was.request == now.request);
                }
                (JobState::Open(_), JobState::Parked { .. }, Input::Newer(2)) => {}
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}

/// The states are small enough to be kept by the million.
#[test]
fn a_job_is_small() {
    assert!(size_of::<Job>() <= 160, "{} bytes", size_of::<Job>());
}
