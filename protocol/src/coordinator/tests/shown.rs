//! Effects as lines of a transcript, in the order in which they are carried out.

use crate::effects::{Effects, Stop};
use crate::message::WorkerTold;
use crate::takeover::Step;
use crate::workers::Rescue;

/// One line for each thing to do. Pings are told apart: they come with the clock everywhere.
pub(crate) fn lines(effects: &Effects, with_pings: bool) -> Vec<String> {
    let mut out = Vec::new();
    if effects.drop_writes {
        out.push("drop writes".to_owned());
    }
    match &effects.stop {
        Some(Stop::Newer(why)) => out.push(format!("stop, newer: {why}")),
        Some(Stop::WentBack(why)) => out.push(format!("stop, went back: {why}")),
        Some(Stop::LedgerGone(why)) => out.push(format!("stop, the ledger is gone: {why}")),
        None => {}
    }
    out.extend(
        effects
            .advance
            .map(|floor| format!("advance above {floor}")),
    );
    out.extend(effects.step.as_ref().map(|(epoch, step)| match step {
        Step::Look => format!("look for {epoch}"),
        Step::Fence(last) => format!("fence {epoch} after {last}"),
        Step::List => format!("list for {epoch}"),
        Step::Barrier => format!("barrier {epoch}"),
        Step::Audit => format!("audit for {epoch}"),
    }));
    for wanted in &effects.consumers {
        let (queue, lease) = (&wanted.queue, wanted.config.work_lease_ms);
        let held = if wanted.is_held { ", held" } else { "" };
        out.push(format!("consumer {queue} {lease} ms{held}"));
    }
    for d in &effects.dispatch {
        let (job, accepted, attempt) = (&d.name.job, d.name.accepted, d.name.attempt);
        out.push(format!(
            "dispatch {job} {accepted} {attempt} after {} (tag {})",
            d.expected, d.tag
        ));
    }
    out.extend(effects.records.iter().map(|record| {
        let body = String::from_utf8_lossy(&record.body);
        format!("write {} {body}", record.subject)
    }));
    out.extend(effects.door.map(|change| format!("door {change:?}")));
    out.extend(effects.rescues.iter().map(rescue));
    out.extend(effects.told.iter().map(|(worker, told)| match told {
        WorkerTold::Cancel { accepted, attempt } => {
            format!("tell {worker} cancel {accepted} {attempt}")
        }
        WorkerTold::HandedOn { accepted, attempt } => {
            format!("tell {worker} handed on {accepted} {attempt}")
        }
    }));
    if with_pings {
        out.extend(effects.pings.iter().map(|worker| format!("ping {worker}")));
    }
    let (reread, fences) = (effects.reread.iter(), effects.purge_fences.iter());
    out.extend(reread.map(|accepted| format!("read {accepted}")));
    out.extend(fences.map(|epoch| format!("purge fence {epoch}")));
    let spent = effects.spent.iter();
    out.extend(spent.map(|name| format!("delete {} {}", name.accepted, name.attempt)));
    out.extend(effects.alarms.iter().map(|alarm| format!("alarm: {alarm}")));
    out
}

fn rescue(r: &Rescue) -> String {
    let delay = r.delay.as_millis();
    format!(
        "hand on {} {} of {} in {delay} ms by {}",
        r.accepted, r.attempt, r.worker, r.ack
    )
}
