//! What holds for a run in every order of events.

use std::time::Duration;

use proptest::prelude::*;

use super::tests::{GRACE, STORED, at, delivery};
use super::{Ask, Delivery, Effect, Event, Finish, Found, Plan, Run};
use crate::answer::Answer;
use crate::number::Sequence;

fn any_event() -> impl Strategy<Value = Event> {
    let ask = (0_u32..6).prop_map(Ask);
    let answer = prop_oneof![
        3 => Just(STORED),
        1 => Just(Answer::Occupied),
        1 => Just(Answer::Duplicate(Sequence::new(9))),
        1 => Just(Answer::Unanswered),
        1 => Just(Answer::NoResponders),
        1 => Just(Answer::Busy),
        1 => Just(Answer::Refused { code: 1, text: String::new() }),
    ];
    let found = prop_oneof![
        Just(Found::Outcome),
        Just(Found::Nothing),
        Just(Found::Unknown)
    ];
    let finish = prop_oneof![
        Just(Finish::Completed(vec![1])),
        Just(Finish::Failed(vec![2])),
        Just(Finish::Cancelled(vec![3])),
        Just(Finish::Aborted),
    ];
    prop_oneof![
        8 => Just(Event::Look),
        4 => Just(Event::Room),
        4 => (ask.clone(), found).prop_map(|(ask, found)| Event::Read(ask, found)),
        4 => (ask.clone(), answer).prop_map(|(ask, answer)| Event::Written(ask, answer)),
        3 => ask.prop_map(Event::Confirmed),
        3 => finish.prop_map(Event::Finished),
        1 => Just(Event::Cancel),
        1 => Just(Event::HandedOn),
        1 => Just(Event::Lost),
        1 => Just(Event::Reconnected),
        1 => (0_u64..400_000).prop_map(|millis| Event::Witnessed(at(millis))),
        1 => Just(Event::Stop),
        1 => Just(Event::StopNow),
    ]
}

/// What every transcript must keep to, as an observer of events and effects sees it.
#[derive(Default)]
struct Watch {
    recorded: bool,
    absent: bool,
    started: u32,
    handler_alive: bool,
    given_up: bool,
    handed_on: bool,
    acked: bool,
    forgotten: bool,
}

impl Watch {
    fn event(&mut self, event: &Event, keyed: bool) {
        match event {
            Event::Read(_, Found::Outcome) | Event::Written(_, Answer::Stored(_)) => {
                self.recorded = true;
            }
            Event::Read(_, Found::Nothing) => self.absent = true,
            Event::Finished(_) => self.handler_alive = false,
            Event::HandedOn => {
                self.handed_on = true;
                self.given_up = true;
            }
            Event::Lost => self.given_up |= keyed,
            _ => {}
        }
    }

    fn effect(&mut self, effect: &Effect, suspect: bool) {
        assert!(!self.forgotten, "{effect:?} after it was forgotten");
        match effect {
            Effect::Ack => {
                assert!(self.recorded, "acked without a recorded outcome");
                assert!(!self.acked, "acked twice");
                self.acked = true;
            }
            Effect::Start => {
                self.started += 1;
                self.handler_alive = true;
                assert_eq!(self.started, 1, "started twice");
                assert!(!suspect || self.absent, "a suspect delivery ran unread");
                assert!(!self.given_up, "started after it was given up");
            }
            Effect::Nak(_) | Effect::Progress(_) => {
                assert!(!self.given_up, "{effect:?} after it was given up");
                assert!(!self.acked, "{effect:?} after its ack");
            }
            Effect::LetGo(_) => {
                assert!(!self.handed_on, "let go after it was handed on");
                assert!(!self.handler_alive, "let go beside its handler");
                assert!(!self.acked, "let go after its ack");
            }
            Effect::Cancel(_) | Effect::Abort => {
                assert!(self.handler_alive, "{effect:?} without a handler");
            }
            Effect::Forget => {
                assert!(!self.handler_alive, "forgotten beside its handler");
                self.forgotten = true;
            }
            Effect::Read(_) | Effect::Write(_) | Effect::Witness | Effect::Alarm(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_order_of_events_keeps_the_rules(
        count in 1_u64..8,
        suspect in any::<bool>(),
        keyed in any::<bool>(),
        timeout in prop::option::of((1_u64..40).prop_map(Duration::from_secs)),
        plan in prop_oneof![
            6 => Just(Plan::Run),
            1 => Just(Plan::PassOn),
            1 => Just(Plan::Record(vec![4])),
        ],
        events in prop::collection::vec((1_u64..8_000, any_event()), 1..60),
    ) {
        let delivery = Delivery { count, suspect, keyed, timeout, plan, ..delivery() };
        let mut watch = Watch::default();
        let mut out = Vec::new();
        let mut run = Run::new(delivery, GRACE, at(0), &mut out);
        let (mut now, mut until) = (0, 29_000);
        for effect in out.drain(..) {
            watch.effect(&effect, suspect || count > 1);
        }
        let mut sent = std::collections::HashMap::new();
        for (wait, event) in events {
            now += wait;
            // Events of the hands that cannot be: a handler that ends without having begun.
            if matches!(event, Event::Finished(_)) && !run.is_running() {
                continue;
            }
            if let Event::Confirmed(ask) = &event
                && let Some(then) = sent.get(ask)
                && now < until
            {
                until = until.max(then + 29_000);
            }
            watch.event(&event, keyed);
            run.handle(at(now), event, &mut out);
            for effect in out.drain(..) {
                if matches!(effect, Effect::Nak(_) | Effect::Progress(_)) {
                    prop_assert!(now < until, "{effect:?} at {now}, after the lease at {until}");
                }
                if let Effect::LetGo(until_then) = &effect {
                    prop_assert!(*until_then <= at(until), "{effect:?}, beyond the lease at {until}");
                }
                if let Effect::Progress(ask) = &effect {
                    sent.insert(*ask, now);
                }
                watch.effect(&effect, suspect || count > 1);
            }
        }
    }
}
