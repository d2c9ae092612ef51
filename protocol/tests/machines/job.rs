//! The life of a job, whatever is recorded about it.

use std::collections::BTreeSet;
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

fn take(job: &mut Job, at: u64, input: &Input) -> Step {
    let last = job.state.last().get();
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
            job.outcome(recorded)
        }
        Input::Newer(ahead) => job.newer(9, Attempt::new((last + ahead).saturating_sub(1))),
        Input::Control(verb, ahead) => {
            let on = Attempt::new((last + ahead).saturating_sub(1));
            job.control(*verb, on, now)
        }
    }
}

proptest! {
    #[test]
    fn its_life_goes_forward(
        max_attempts in 1_u32..5,
        inputs in proptest::collection::vec(input(), 0..60),
    ) {
        let mut job = Job::new(name(), Timestamp::default(), open(max_attempts));
        let (mut failures, mut early) = (0, BTreeSet::new());
        for (at, input) in (1..).zip(&inputs) {
            let before = job.state.clone();
            let step = take(&mut job, at, input);
            prop_assert_eq!(step == Step::Changed, job.state != before);
            let (was, is) = (before.last().get(), job.state.last().get());
            let (named, own) = match input {
                Input::Outcome(ahead, ..) | Input::Newer(ahead) => ((was + ahead).saturating_sub(1), 1),
                Input::Control(_, ahead) => ((was + ahead).saturating_sub(1), 0),
            };
            if step == Step::Early {
                prop_assert!(named > was);
                early.insert(named);
            }
            // No attempt is passed over but those that came too early, and each of them is.
            prop_assert!(is >= was);
            for passed in was + 1 + own..=is {
                prop_assert!(early.contains(&passed), "attempt {} after {}", is, was);
            }
            if let JobState::Open(_) = &job.state {
                prop_assert!(!early.contains(&(is + 1)), "attempt {} cannot be recorded", is + 1);
            }
            match (&before, &job.state, input) {
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
                    prop_assert_eq!(again.replayed.get(), was);
                }
                (JobState::Final(_), JobState::Final(_), _) => prop_assert_ne!(step, Step::Changed),
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
