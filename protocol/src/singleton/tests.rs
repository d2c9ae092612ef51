//! The rules of a singleton as transcripts: what is put in, what comes out.

use std::time::Duration;

use super::{Effect, Input, RevokeReason, Singleton, SingletonRules};
use crate::leadership::{Moment, Standing};
use crate::number::Epoch;

/// Wind-up 2, end within 30, stand back 15, alive every 5: all in seconds.
struct Play {
    singleton: Singleton,
}

fn at(second: u64) -> Moment {
    Moment::from_nanos(second * 1_000_000_000)
}

fn leading(epoch: u64, until: u64) -> Input {
    Input::Standing(Standing::Leading(Epoch::new(epoch), at(until)))
}

const CANDIDATE: Input = Input::Standing(Standing::Candidate);

fn begun(epoch: u64, until: u64) -> Vec<Effect> {
    vec![Effect::Guard(at(until)), Effect::Start(Epoch::new(epoch))]
}

impl Play {
    fn new() -> Self {
        let rules = SingletonRules {
            wind_up: Duration::from_secs(2),
            end_within: Duration::from_secs(30),
            stand_back: Duration::from_secs(15),
            alive_every: Duration::from_secs(5),
        };
        let mut play = Self {
            singleton: Singleton::new(rules, at(100)),
        };
        play.gives(100, Input::Tick, &[Effect::Campaign, Effect::Alive]);
        play
    }

    /// One that works under epoch 7 until second 114.
    fn working() -> Self {
        let mut play = Self::new();
        play.gives(100, leading(7, 114), &begun(7, 114));
        play
    }

    fn gives(&mut self, second: u64, input: Input, effects: &[Effect]) {
        let given = self.singleton.handle(at(second), input);
        assert_eq!(given, effects, "{input:?} at {second}");
    }

    fn wakes(&self, second: u64) {
        assert_eq!(self.singleton.wake_at(), at(second));
    }
}

#[test]
fn the_guard_stands_before_the_work_begins_and_moves_with_the_lease() {
    let mut play = Play::working();
    play.wakes(112);
    play.gives(102, leading(7, 116), &[Effect::Guard(at(116))]);
    play.wakes(114);
    // An older reading moves nothing back.
    play.gives(103, leading(7, 116), &[]);
}

#[test]
fn work_ends_before_its_permit_and_begins_again_under_a_new_epoch_only() {
    let mut play = Play::working();
    let revoke = Effect::Revoke(RevokeReason::Unrenewed);
    play.gives(112, Input::Tick, &[revoke]);
    // The renewal came after all. What was told to end ends, under the guard that it may use.
    play.gives(113, leading(7, 120), &[Effect::Guard(at(116))]);
    let advance = Effect::Advance(Epoch::new(7));
    play.gives(
        113,
        Input::Ended,
        &[Effect::Unguard, Effect::Alive, advance],
    );
    play.gives(114, leading(7, 121), &[]);
    play.gives(114, leading(8, 121), &begun(8, 121));
}

#[test]
fn a_permit_that_does_not_outlast_a_wind_up_begins_nothing() {
    let mut play = Play::new();
    play.gives(100, leading(7, 102), &[]);
    play.gives(100, leading(7, 103), &begun(7, 103));
}

#[test]
fn the_loss_of_the_lease_ends_the_work_and_leaves_the_guard() {
    let mut play = Play::working();
    let revoke = Effect::Revoke(RevokeReason::Lost);
    play.gives(103, CANDIDATE, &[revoke, Effect::Guard(at(107))]);
    play.wakes(105);
    play.gives(105, Input::Tick, &[Effect::Abort]);
    play.wakes(107);
    // It hangs; the guard ends it where there is one, and nothing begins beside it.
    play.gives(107, Input::Tick, &[]);
    play.gives(108, leading(9, 120), &[]);
    let begun: Vec<Effect> = [Effect::Unguard, Effect::Alive]
        .into_iter()
        .chain(begun(9, 120))
        .collect();
    play.gives(109, Input::Ended, &begun);
}

#[test]
fn the_lease_is_given_back_when_the_work_has_ended() {
    let mut play = Play::working();
    let revoke = Effect::Revoke(RevokeReason::Stopping);
    play.gives(101, Input::Stop, &[revoke]);
    play.gives(102, leading(7, 116), &[Effect::Guard(at(116))]);
    play.gives(103, Input::Ended, &[Effect::Unguard, Effect::Resign]);
    play.gives(103, CANDIDATE, &[]);
    play.gives(104, Input::Resigned, &[Effect::Finished]);
}

#[test]
fn work_that_does_not_end_is_aborted_and_then_left() {
    let mut play = Play::working();
    play.gives(101, Input::Stop, &[Effect::Revoke(RevokeReason::Stopping)]);
    // Renewals go on, but no longer than the work may take.
    play.gives(130, leading(7, 144), &[Effect::Guard(at(133))]);
    play.gives(131, Input::Tick, &[Effect::Abort]);
    play.gives(133, Input::Tick, &[Effect::GiveUp]);
}

#[test]
fn who_steps_down_or_is_done_gives_the_lease_back() {
    let mut play = Play::working();
    play.gives(
        101,
        Input::StepDown,
        &[Effect::Revoke(RevokeReason::StepDown)],
    );
    play.gives(102, Input::Ended, &[Effect::Unguard, Effect::Resign]);
    play.gives(103, Input::Resigned, &[]);
    // Others have had a lease's time.
    play.wakes(118);
    play.gives(118, Input::Tick, &[Effect::Campaign, Effect::Alive]);
    play.gives(119, leading(9, 133), &begun(9, 133));
    // The work returns by itself.
    play.gives(120, Input::Ended, &[Effect::Unguard, Effect::Resign]);
    play.gives(121, Input::Resigned, &[Effect::Finished]);
}

#[test]
fn who_made_no_progress_says_nothing_for_a_lease() {
    let mut play = Play::working();
    let revoked = [
        Effect::Revoke(RevokeReason::Stalled),
        Effect::Guard(at(105)),
    ];
    play.gives(101, Input::Stalled, &revoked);
    play.gives(101, CANDIDATE, &[]);
    play.gives(102, Input::Ended, &[Effect::Unguard]);
    play.wakes(116);
    play.gives(116, Input::Tick, &[Effect::Alive]);

    // The same is seen when the election gives the lease back by itself.
    let mut play = Play::working();
    let resigning = Input::Standing(Standing::Resigning(Epoch::new(7)));
    play.gives(101, resigning, &revoked);
    play.gives(102, Input::Ended, &[Effect::Unguard]);
    play.wakes(116);
}

#[test]
fn a_stop_before_the_work_withdraws() {
    let mut play = Play::new();
    play.gives(101, Input::Stop, &[Effect::Resign]);
    play.gives(101, leading(7, 115), &[]);
    play.gives(102, Input::Resigned, &[Effect::Finished]);
    play.gives(103, Input::Ended, &[]);
}
