//! Transcripts of a run.

use std::time::Duration;

use super::{
    Ask, CancelReason, Connection, DELIVERIES_MAX, Delivery, Effect, Event, Finish, Found, Lease,
    Plan, Run,
};
use crate::answer::Answer;
use crate::leadership::Moment;
use crate::number::Sequence;
use crate::outcome::{OutcomeHead, Status};
use crate::submission::Parsed;
use crate::time::Timestamp;

pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const GRACE: Duration = Duration::from_secs(5);
pub(super) const STORED: Answer = Answer::Stored(Sequence::new(9));

pub(super) fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}

pub(super) fn delivery() -> Delivery {
    Delivery {
        count: 1,
        lease: Lease::new(at(0), LEASE),
        suspect: false,
        keyed: false,
        start_at: at(0),
        timeout: None,
        plan: Plan::Run,
    }
}

/// A run and the effects that each event had, in words.
pub(super) struct Told {
    pub(super) run: Run,
    pub(super) out: Vec<Effect>,
}

impl Told {
    fn new(delivery: Delivery) -> Self {
        let mut out = Vec::new();
        let run = Run::new(delivery, GRACE, at(0), &mut out);
        Self { run, out }
    }

    pub(super) fn at(&mut self, millis: u64, event: Event) -> &mut Self {
        self.run.handle(at(millis), event, &mut self.out);
        self
    }

    #[track_caller]
    pub(super) fn gives(&mut self, expected: &[Effect]) -> &mut Self {
        assert_eq!(self.out, expected);
        self.out.clear();
        self
    }

    #[track_caller]
    fn records(&self, status: Status, code: &str) {
        let body = self.run.outcome().expect("an outcome to write");
        let Parsed::Known(head) = OutcomeHead::parse(body) else {
            panic!("a newer version");
        };
        assert_eq!(head.status, status);
        assert_eq!(head.error.expect("a reason").code, code);
    }
}

fn done() -> Event {
    Event::Finished(Finish::Completed(b"{}".to_vec()))
}

fn failed() -> Event {
    Event::Finished(Finish::Failed(b"{}".to_vec()))
}

fn cancel(reason: CancelReason) -> Effect {
    Effect::Cancel(reason)
}

#[test]
fn a_fresh_delivery_runs_records_and_is_acked_in_this_order() {
    Told::new(delivery())
        .at(0, Event::Room)
        .gives(&[Effect::Start])
        .at(5, done())
        .gives(&[Effect::Write(Ask(1))])
        .at(6, Event::Written(Ask(1), STORED))
        .gives(&[Effect::Ack, Effect::Forget]);
}

#[test]
fn a_redelivery_is_looked_up_before_it_runs() {
    let again = || Delivery {
        count: 2,
        ..delivery()
    };
    Told::new(again())
        .at(0, Event::Room)
        .gives(&[Effect::Read(Ask(1))])
        .at(1, Event::Read(Ask(1), Found::Outcome))
        .gives(&[Effect::Ack, Effect::Forget]);
    Told::new(again())
        .at(1, Event::Read(Ask(1), Found::Nothing))
        .gives(&[Effect::Read(Ask(1))])
        .at(1, Event::Room)
        .gives(&[Effect::Start]);
    // Nobody answers: it asks again, and never runs it on a guess.
    Told::new(again())
        .at(2_000, Event::Look)
        .gives(&[Effect::Read(Ask(1))])
        .at(2_100, Event::Look)
        .gives(&[Effect::Read(Ask(2))])
        .at(2_101, Event::Room)
        .at(2_102, Event::Read(Ask(1), Found::Nothing))
        .gives(&[]);
}

#[test]
fn the_sixth_delivery_is_recorded_and_not_run() {
    let mut told = Told::new(Delivery {
        count: DELIVERIES_MAX + 1,
        ..delivery()
    });
    told.at(1, Event::Read(Ask(1), Found::Nothing))
        .gives(&[Effect::Read(Ask(1)), Effect::Write(Ask(2))]);
    told.records(Status::Failed, "handed-out-too-often");
}

#[test]
fn a_refused_or_unanswered_outcome_is_decided_by_reading() {
    for doubt in [
        Answer::Occupied,
        Answer::Duplicate(Sequence::new(9)),
        Answer::Unanswered,
    ] {
        let mut told = Told::new(delivery());
        told.at(0, Event::Room).at(1, done());
        told.out.clear();
        told.at(2, Event::Written(Ask(1), doubt.clone()))
            .gives(&[Effect::Read(Ask(2))])
            .at(3, Event::Read(Ask(2), Found::Outcome))
            .gives(&[Effect::Ack, Effect::Forget]);
        let mut told = Told::new(delivery());
        told.at(0, Event::Room).at(1, done());
        told.out.clear();
        told.at(2, Event::Written(Ask(1), doubt))
            .gives(&[Effect::Read(Ask(2))])
            .at(3, Event::Read(Ask(2), Found::Nothing))
            .at(50, Event::Look)
            .gives(&[])
            .at(103, Event::Look)
            .gives(&[Effect::Write(Ask(3))]);
    }
}

#[test]
fn a_write_that_found_no_room_is_repeated_with_growing_pauses() {
    let mut told = Told::new(delivery());
    told.at(0, Event::Room).at(0, done());
    told.out.clear();
    told.at(0, Event::Written(Ask(1), Answer::NoResponders))
        .at(100, Event::Look)
        .gives(&[Effect::Write(Ask(2))])
        .at(100, Event::Written(Ask(2), Answer::Full("bytes".into())))
        .gives(&[Effect::Read(Ask(3))])
        .at(100, Event::Read(Ask(3), Found::Nothing))
        .at(299, Event::Look)
        .gives(&[])
        .at(300, Event::Look)
        .gives(&[Effect::Write(Ask(4))])
        .at(300, Event::Written(Ask(4), Answer::Busy))
        .at(700, Event::Look)
        .gives(&[Effect::Write(Ask(5))]);
}

#[test]
fn a_full_ledger_that_holds_the_outcome_is_asked_for_it() {
    let mut told = Told::new(delivery());
    told.at(0, Event::Room).at(0, done());
    told.out.clear();
    told.at(1, Event::Written(Ask(1), Answer::Full("bytes".into())))
        .gives(&[Effect::Read(Ask(2))])
        .at(2, Event::Read(Ask(2), Found::Outcome))
        .gives(&[Effect::Ack, Effect::Forget]);
}

#[test]
fn a_refused_outcome_is_kept_and_an_operator_told() {
    let mut told = Told::new(delivery());
    told.at(0, Event::Room).at(0, done());
    told.out.clear();
    let refused = Answer::Refused {
        code: 10_060,
        text: "expected stream does not match".into(),
    };
    told.at(1, Event::Written(Ask(1), refused));
    assert!(matches!(&told.out[..], [Effect::Alarm(text)] if text.contains("10060")));
    told.out.clear();
    told.at(5_001, Event::Look).gives(&[Effect::Write(Ask(2))]);
}

#[test]
fn the_lease_is_kept_by_confirmed_progress_alone() {
    let mut told = Told::new(delivery());
    told.at(0, Event::Room)
        .at(10_000, Event::Look)
        .gives(&[Effect::Start, Effect::Progress(Ask(1))])
        .at(10_400, Event::Confirmed(Ask(1)))
        .at(20_000, Event::Look)
        .gives(&[Effect::Progress(Ask(2))])
        .at(30_000, Event::Look)
        .gives(&[Effect::Progress(Ask(3))])
        .at(38_999, Event::Look)
        .gives(&[])
        // 10 s + 30 s - 1 s: the two later ones were never confirmed.
        .at(39_000, Event::Look)
        .gives(&[cancel(CancelReason::LeaseLost)])
        .at(39_500, Event::Look)
        .gives(&[Effect::Abort])
        .at(39_501, Event::Finished(Finish::Aborted))
        .gives(&[Effect::Forget]);
}

#[test]
fn a_result_that_comes_after_the_lease_is_still_offered() {
    let mut told = Told::new(delivery());
    told.at(0, Event::Room).at(29_000, Event::Look);
    told.out.clear();
    told.at(29_100, done())
        .gives(&[Effect::Write(Ask(1))])
        .at(29_101, Event::Written(Ask(1), Answer::Occupied))
        .gives(&[Effect::Read(Ask(2))]);
}

#[test]
fn a_failure_after_the_lease_is_dropped() {
    let mut told = Told::new(delivery());
    told.at(0, Event::Room).at(29_000, Event::Look);
    told.out.clear();
    told.at(29_100, failed()).gives(&[Effect::Forget]);
}

#[test]
fn a_lost_broker_stops_keyed_handlers_alone() {
    let mut plain = Told::new(delivery());
    plain
        .at(0, Event::Room)
        .at(1_000, Event::Lost)
        .gives(&[Effect::Start]);
    let mut keyed = Told::new(Delivery {
        keyed: true,
        ..delivery()
    });
    keyed
        .at(0, Event::Room)
        .at(1_000, Event::Lost)
        .gives(&[Effect::Start, cancel(CancelReason::LeaseLost)])
        .at(1_500, Event::Look)
        .gives(&[Effect::Abort])
        .at(1_501, Event::Finished(Finish::Aborted))
        .gives(&[Effect::LetGo(at(29_000)), Effect::Forget]);
}

#[test]
fn what_was_handed_on_or_still_runs_is_not_let_go() {
    let keyed = || Delivery {
        keyed: true,
        ..delivery()
    };
    let mut handed_on = Told::new(keyed());
    handed_on
        .at(0, Event::Room)
        .at(1_000, Event::Lost)
        .at(1_100, Event::HandedOn)
        .at(1_200, failed());
    assert_eq!(handed_on.out.last(), Some(&Effect::Forget));
    let mut stuck = Told::new(keyed());
    stuck.at(0, Event::Room).at(1_000, Event::Lost);
    for millis in [1_500, 11_500, 12_000] {
        stuck.at(millis, Event::Look);
    }
    let let_go = [&handed_on, &stuck]
        .into_iter()
        .flat_map(|told| &told.out)
        .find(|effect| matches!(effect, Effect::LetGo(_)));
    assert_eq!(let_go, None);
}

#[test]
fn a_request_to_cancel_is_decided_by_what_the_handler_does() {
    let mut late = Told::new(delivery());
    late.at(0, Event::Room)
        .at(1, Event::Cancel)
        .gives(&[Effect::Start, cancel(CancelReason::Requested)])
        .at(2, done())
        .gives(&[Effect::Write(Ask(1))]);
    assert_eq!(late.run.outcome(), Some(&b"{}"[..]), "it was too late");
    let mut heard = Told::new(delivery());
    heard
        .at(0, Event::Room)
        .at(1, Event::Cancel)
        .at(2, failed());
    heard.records(Status::Cancelled, "cancelled");
    let mut deaf = Told::new(delivery());
    deaf.at(0, Event::Room).at(1, Event::Cancel);
    deaf.out.clear();
    deaf.at(5_001, Event::Look).gives(&[Effect::Abort]);
    deaf.at(5_002, Event::Finished(Finish::Aborted));
    deaf.records(Status::Cancelled, "cancelled");
    let mut early = Told::new(Delivery {
        suspect: true,
        ..delivery()
    });
    early
        .at(1, Event::Cancel)
        .at(2, Event::Read(Ask(1), Found::Nothing));
    early.records(Status::Cancelled, "cancelled");
}

#[test]
fn a_time_out_fails_the_attempt_and_a_stuck_handler_keeps_its_slot() {
    let mut told = Told::new(Delivery {
        timeout: Some(Duration::from_secs(1)),
        ..delivery()
    });
    told.at(0, Event::Room)
        .at(1_000, Event::Look)
        .gives(&[Effect::Start, cancel(CancelReason::TimedOut)])
        .at(6_000, Event::Look)
        .gives(&[Effect::Abort])
        .at(16_000, Event::Look);
    told.records(Status::Failed, "timeout");
    assert!(matches!(
        told.out[..],
        [Effect::Progress(_), Effect::Alarm(_), Effect::Write(_)]
    ));
    told.out.clear();
    told.at(16_001, Event::Written(Ask(2), STORED))
        .gives(&[Effect::Ack])
        .at(99_000, Event::Finished(Finish::Aborted))
        .gives(&[Effect::Forget]);
}

#[test]
fn a_stop_gives_back_what_did_not_finish() {
    let mut waiting = Told::new(delivery());
    waiting
        .at(1, Event::Stop)
        .gives(&[Effect::Nak(Duration::ZERO), Effect::Forget]);
    let mut running = Told::new(delivery());
    running
        .at(0, Event::Room)
        .at(1, Event::Stop)
        .gives(&[Effect::Start])
        .at(2, Event::StopNow)
        .gives(&[cancel(CancelReason::Stopping)])
        .at(3, failed())
        .gives(&[Effect::Nak(Duration::ZERO), Effect::Forget]);
}

#[test]
fn a_worker_that_may_have_been_given_up_sends_no_nak() {
    for doubt in [Event::Reconnected, Event::Lost] {
        let mut told = Told::new(delivery());
        told.at(0, Event::Room)
            .at(1, doubt)
            .at(2, Event::StopNow)
            .at(3, failed());
        assert!(told.out.ends_with(&[
            cancel(CancelReason::Stopping),
            Effect::LetGo(at(29_000)),
            Effect::Forget
        ]));
    }
}

#[test]
fn a_kind_without_a_handler_goes_back_later_each_time() {
    for (count, seconds) in [(1, 1), (2, 2), (5, 16)] {
        let mut told = Told::new(Delivery {
            count,
            plan: Plan::PassOn,
            ..delivery()
        });
        told.at(1, Event::Read(Ask(1), Found::Nothing));
        let nak = Effect::Nak(Duration::from_secs(seconds));
        assert!(told.out.ends_with(&[nak, Effect::Forget]), "{:?}", told.out);
    }
}

#[test]
fn a_redelivery_to_the_same_worker_is_adopted_unless_it_was_told_to_stop() {
    let again = Delivery {
        count: 2,
        lease: Lease::new(at(31_000), LEASE),
        ..delivery()
    };
    let mut going = Told::new(delivery());
    going.at(0, Event::Room);
    assert!(going.run.adopt(&again));
    going.at(39_000, Event::Look).gives(&[Effect::Start]);
    let mut stopped = Told::new(delivery());
    stopped.at(0, Event::Room).at(29_000, Event::Look);
    assert!(!stopped.run.adopt(&again));
}

#[test]
fn what_is_suspect() {
    let connection = Connection {
        broker_time: Timestamp::from_millis(1_000_000),
        at: at(50_000),
    };
    let suspects =
        |count, stored, now| connection.suspects(count, Timestamp::from_millis(stored), at(now));
    assert!(!suspects(1, 1_000_500, 50_600), "fresh");
    assert!(suspects(2, 1_000_500, 50_600), "handed out before");
    assert!(
        suspects(1, 999_999, 50_001),
        "stored before this connection"
    );
    assert!(suspects(1, 1_000_500, 51_500), "a second old");
}

#[test]
fn a_keyed_job_that_another_may_hold_waits_until_that_one_has_stopped() {
    let connection = Connection {
        broker_time: Timestamp::from_millis(60_000),
        at: at(1_000),
    };
    let start = |count, stored| connection.keyed_start(count, Timestamp::from_millis(stored));
    assert_eq!(start(1, 60_001), at(1_000), "nobody can hold it");
    assert_eq!(
        start(1, 59_000),
        at(3_000),
        "a killed broker forgets counts"
    );
    assert_eq!(start(2, 60_001), at(3_000));

    let mut told = Told::new(Delivery {
        keyed: true,
        suspect: true,
        start_at: at(3_000),
        ..delivery()
    });
    told.at(2_000, Event::Room)
        .at(2_999, Event::Look)
        .gives(&[]);
    // Only then: the other may have recorded it meanwhile.
    told.at(3_000, Event::Look).gives(&[Effect::Read(Ask(1))]);
    told.at(3_001, Event::Read(Ask(1), Found::Nothing))
        .at(3_001, Event::Room)
        .gives(&[Effect::Start]);
}

#[test]
fn a_held_job_goes_back_when_the_worker_stops() {
    let mut told = Told::new(Delivery {
        start_at: at(3_000),
        ..delivery()
    });
    told.at(1, Event::Stop)
        .gives(&[Effect::Nak(Duration::ZERO), Effect::Forget]);
}
