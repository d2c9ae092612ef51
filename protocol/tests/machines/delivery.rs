//! One delivery in a worker, whatever comes in whatever order: an ack only behind a stored outcome,
//! one start, nothing without the lease, one outcome.

use std::time::Duration;

use proptest::prelude::*;
use protocol::answer::Answer;
use protocol::leadership::Moment;
use protocol::number::Sequence;
use protocol::worker::{
    Ask, DELIVERIES_MAX, Delivery, Effect, Event, Finish, Found, Lease, Plan, Run,
};

const LEASE: Duration = Duration::from_secs(6);

#[derive(Debug, Clone)]
enum Input {
    Event(Event),
    /// The newest question is answered so, or an older one.
    Read(bool, Found),
    Written(bool, Answer),
    Confirmed(bool),
    Passes(u64),
}

fn input() -> impl Strategy<Value = Input> {
    let answer = prop_oneof![
        3 => Just(Answer::Stored(Sequence::new(9))),
        1 => Just(Answer::Occupied),
        1 => Just(Answer::Unanswered),
        1 => Just(Answer::NoResponders),
        1 => Just(Answer::Full("maximum bytes exceeded".to_owned())),
        1 => Just(Answer::Busy),
    ];
    let found = prop_oneof![
        1 => Just(Found::Outcome),
        2 => Just(Found::Nothing),
        1 => Just(Found::Unknown),
    ];
    let event = prop_oneof![
        4 => Just(Event::Look),
        4 => Just(Event::Room),
        3 => Just(Event::Finished(Finish::Completed(b"done".to_vec()))),
        1 => Just(Event::Finished(Finish::Failed(b"failed".to_vec()))),
        1 => Just(Event::Finished(Finish::Cancelled(b"cancelled".to_vec()))),
        1 => Just(Event::Finished(Finish::Aborted)),
        1 => Just(Event::Cancel),
        1 => Just(Event::HandedOn),
        1 => Just(Event::Lost),
        1 => Just(Event::Reconnected),
        1 => Just(Event::Stop),
        1 => Just(Event::StopNow),
    ];
    prop_oneof![
        6 => event.prop_map(Input::Event),
        3 => (any::<bool>(), found).prop_map(|(is_newest, f)| Input::Read(is_newest, f)),
        3 => (any::<bool>(), answer).prop_map(|(is_newest, a)| Input::Written(is_newest, a)),
        2 => any::<bool>().prop_map(Input::Confirmed),
        3 => (0_u64..1_500).prop_map(Input::Passes),
    ]
}

fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}

/// What was seen of a run so far.
#[derive(Default)]
struct Seen {
    reads: Vec<Ask>,
    writes: Vec<Ask>,
    /// Until when the broker gives it to nobody else: from the sending of what was confirmed.
    lease_sent: u64,
    progress: Vec<(Ask, u64)>,
    body: Option<Vec<u8>>,
    is_running: bool,
    starts: u32,
    is_recorded: bool,
    is_handed_on: bool,
    is_over: bool,
}

/// The newest question that was not answered yet, or the one before.
fn answered(asks: &mut Vec<Ask>, is_newest: bool) -> Option<Ask> {
    let back = if is_newest { 1 } else { 2 };
    let place = asks.len().checked_sub(back)?;
    Some(asks.remove(place))
}

impl Seen {
    fn look(&mut self, now: u64, run: &Run, effects: &[Effect]) -> Result<(), TestCaseError> {
        let holds = now < self.lease_sent + u64::try_from(LEASE.as_millis()).unwrap();
        for effect in effects {
            prop_assert!(!self.is_over, "{:?} after its end", effect);
            match effect {
                Effect::Read(ask) => self.reads.push(*ask),
                Effect::Write(ask) => {
                    self.writes.push(*ask);
                    let body = run.outcome().map(<[u8]>::to_vec);
                    prop_assert!(body.is_some());
                    prop_assert!(self.body.is_none() || self.body == body, "another outcome");
                    self.body = body;
                }
                Effect::Progress(ask) => {
                    prop_assert!(holds, "it asks for more of a lease that is over");
                    self.progress.push((*ask, now));
                }
                Effect::Start => {
                    self.starts += 1;
                    self.is_running = true;
                    prop_assert!(holds, "it starts without its lease");
                    prop_assert_eq!(self.starts, 1, "it starts again");
                    prop_assert!(!self.is_recorded, "it runs what is recorded");
                }
                Effect::Ack => prop_assert!(self.is_recorded, "an ack before the outcome"),
                Effect::Nak(_) => prop_assert!(holds, "a nak hits whoever holds it now"),
                Effect::LetGo(_) => {
                    prop_assert!(!self.is_running, "it is let go beside its handler");
                    prop_assert!(!self.is_handed_on, "it is let go after it was handed on");
                }
                Effect::Forget => self.is_over = true,
                Effect::Witness | Effect::Cancel(_) | Effect::Abort | Effect::Alarm(_) => {}
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn it_keeps_its_order(
        (count, suspect, keyed) in (1_u64..=DELIVERIES_MAX + 1, any::<bool>(), any::<bool>()),
        inputs in proptest::collection::vec(input(), 0..80),
    ) {
        let delivery = Delivery {
            count,
            lease: Lease::new(at(0), LEASE),
            suspect,
            keyed,
            start_at: at(0),
            timeout: None,
            plan: Plan::Run,
        };
        let (mut seen, mut now) = (Seen::default(), 0);
        let mut out = Vec::new();
        let mut run = Run::new(delivery, Duration::from_secs(1), at(0), &mut out);
        seen.look(now, &run, &out)?;
        for input in inputs {
            let event = match input {
                Input::Passes(millis) => {
                    now += millis;
                    Event::Look
                }
                // A handler ends that runs, and once.
                Input::Event(Event::Finished(_)) if !seen.is_running => continue,
                Input::Event(event) => event,
                Input::Read(is_newest, found) => match answered(&mut seen.reads, is_newest) {
                    Some(ask) => Event::Read(ask, found),
                    None => continue,
                },
                Input::Written(is_newest, answer) => match answered(&mut seen.writes, is_newest) {
                    Some(ask) => Event::Written(ask, answer),
                    None => continue,
                },
                Input::Confirmed(is_newest) => {
                    let back = if is_newest { 1 } else { 2 };
                    let Some(place) = seen.progress.len().checked_sub(back) else {
                        continue;
                    };
                    let (ask, sent) = seen.progress[place];
                    let holds = now < seen.lease_sent + u64::try_from(LEASE.as_millis()).unwrap();
                    if holds {
                        seen.lease_sent = seen.lease_sent.max(sent);
                    }
                    Event::Confirmed(ask)
                }
            };
            match &event {
                Event::Finished(_) => seen.is_running = false,
                Event::HandedOn => seen.is_handed_on = true,
                // What the broker told about this attempt, whether it heeds it or not.
                Event::Read(_, Found::Outcome) | Event::Written(_, Answer::Stored(_)) => {
                    seen.is_recorded = true;
                }
                _ => {}
            }
            out.clear();
            run.handle(at(now), event, &mut out);
            seen.look(now, &run, &out)?;
        }
        prop_assert!(seen.starts == 0 || count <= DELIVERIES_MAX);
    }
}
