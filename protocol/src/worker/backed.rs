//! Transcripts of keyed runs where several servers keep the work queue.

use super::tests::{GRACE, LEASE, Told, at, delivery};
use super::{Ask, CancelReason, Delivery, Effect, Event, Found, Lease, Run};

fn backed(stored: u64) -> Delivery {
    Delivery {
        keyed: true,
        lease: Lease::new(at(40_000), LEASE).backed(at(stored)),
        ..delivery()
    }
}

#[test]
fn a_leader_that_is_cut_off_confirms_progress_and_the_keyed_handler_stops_all_the_same() {
    let mut out = Vec::new();
    let run = Run::new(backed(39_000), GRACE, at(40_000), &mut out);
    let mut told = Told { run, out };
    told.at(40_000, Event::Room)
        .at(49_000, Event::Look)
        .gives(&[Effect::Start, Effect::Progress(Ask(1))])
        .at(49_001, Event::Confirmed(Ask(1)))
        .gives(&[Effect::Witness])
        // What was written before proves nothing.
        .at(49_002, Event::Witnessed(at(49_000)))
        .at(67_999, Event::Look)
        .gives(&[Effect::Progress(Ask(2))])
        .at(68_000, Event::Look)
        .gives(&[Effect::Cancel(CancelReason::LeaseLost)]);
}

#[test]
fn a_keyed_job_that_waited_for_long_begins_when_most_servers_know_who_has_it() {
    let mut out = Vec::new();
    let run = Run::new(backed(5_000), GRACE, at(40_000), &mut out);
    let mut told = Told { run, out };
    told.gives(&[Effect::Progress(Ask(1))])
        .at(40_050, Event::Look)
        .at(40_051, Event::Room)
        .gives(&[])
        .at(40_100, Event::Confirmed(Ask(1)))
        .gives(&[Effect::Witness])
        .at(40_110, Event::Witnessed(at(40_101)))
        .at(40_150, Event::Look)
        .gives(&[Effect::Read(Ask(2))])
        .at(40_160, Event::Read(Ask(2), Found::Nothing))
        .at(40_161, Event::Room)
        .gives(&[Effect::Start]);
    let mut out = Vec::new();
    let run = Run::new(backed(5_000), GRACE, at(40_000), &mut out);
    let mut alone = Told { run, out };
    alone.at(40_100, Event::Confirmed(Ask(1)));
    for millis in [50_000, 60_000, 68_999, 69_000] {
        alone.at(millis, Event::Look);
    }
    assert!(!alone.out.contains(&Effect::Start));
}
