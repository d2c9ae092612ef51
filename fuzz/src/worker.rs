//! A worker's rules under events in any order: they never panic, start a handler once, ack only what
//! stands in the ledger, and say nothing about a delivery after they forgot it.

use std::time::Duration;

use protocol::answer::Answer;
use protocol::leadership::Moment;
use protocol::number::Sequence;
use protocol::worker::{Ask, Delivery, Effect, Event, Finish, Found, Lease, Plan, Run};

use crate::script::Script;

/// Events in any order.
pub fn worker(data: &[u8]) {
    let mut script = Script::new(data);
    let length = Duration::from_millis(u64::from(script.byte()) * 200 + 1);
    let mut now = Moment::from_nanos(0);
    let delivery = Delivery {
        count: script.number().max(1),
        lease: Lease::new(now, length),
        suspect: script.below(2) == 1,
        keyed: script.below(2) == 1,
        start_at: now.after(Duration::from_millis(u64::from(script.byte()) * 20)),
        timeout: (script.below(2) == 1).then_some(Duration::from_secs(3)),
        plan: script.pick(&[Plan::Run, Plan::Run, Plan::PassOn, Plan::Record(vec![4])]),
    };
    let mut out = Vec::new();
    let mut run = Run::new(delivery.clone(), Duration::from_secs(5), now, &mut out);
    let (mut recorded, mut forgotten, mut started) = (false, false, 0);
    for _ in 0..200 {
        for effect in out.drain(..) {
            assert!(!forgotten, "{effect:?} after it was forgotten");
            match effect {
                Effect::Ack => assert!(recorded, "acked without an outcome"),
                Effect::Start => started += 1,
                Effect::Forget => forgotten = true,
                Effect::LetGo(_) => assert!(!run.is_running(), "let go beside its handler"),
                Effect::Read(_) | Effect::Write(_) | Effect::Progress(_) | Effect::Witness => {}
                Effect::Cancel(_) | Effect::Abort | Effect::Nak(_) | Effect::Alarm(_) => {}
            }
            assert!(started <= 1, "started twice");
        }
        if script.is_over() || forgotten {
            return;
        }
        now = now.after(Duration::from_millis(u64::from(script.byte()) * 20));
        let event = event(&mut script);
        if matches!(event, Event::Finished(_)) && !run.is_running() {
            continue;
        }
        recorded |= matches!(
            event,
            Event::Read(_, Found::Outcome) | Event::Written(_, Answer::Stored(_))
        );
        run.handle(now, event, &mut out);
        if script.below(16) == 15 {
            let again = Delivery {
                lease: Lease::new(now, length),
                ..delivery.clone()
            };
            run.adopt(&again);
        }
    }
}

fn event(script: &mut Script<'_>) -> Event {
    let ask = Ask(u32::from(script.below(6)));
    match script.below(14) {
        0..3 => Event::Look,
        3 => Event::Room,
        4 => Event::Read(
            ask,
            script.pick(&[Found::Outcome, Found::Nothing, Found::Unknown]),
        ),
        5 => Event::Written(
            ask,
            script.pick(&[
                Answer::Stored(Sequence::new(9)),
                Answer::Occupied,
                Answer::Unanswered,
                Answer::Busy,
                Answer::Full(String::new()),
            ]),
        ),
        6 => Event::Confirmed(ask),
        7 => Event::Finished(script.pick(&[
            Finish::Completed(vec![1]),
            Finish::Failed(vec![2]),
            Finish::Cancelled(vec![3]),
            Finish::Aborted,
        ])),
        8 => Event::Cancel,
        9 => Event::HandedOn,
        10 => Event::Lost,
        11 => Event::Reconnected,
        12 => Event::Stop,
        _ => Event::StopNow,
    }
}
