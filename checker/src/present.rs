//! What the work queue holds now, against the ledger. The work queue must have been read first:
//! then every outcome before a listed message is in the ledger.

use std::collections::BTreeMap;

use protocol::number::{Accepted, Epoch, Sequence};
use protocol::subject::{AttemptName, Subjects, WorkSubject};

use crate::digest::Digest;
use crate::records::Records;
use crate::report::{Docket, Figures, Place};
use crate::rule::Rule;

/// A message of the work queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Its place.
    pub sequence: Sequence,
    /// Its subject.
    pub subject: String,
    /// The epoch that its header names; none for a fence.
    pub epoch: Option<Epoch>,
}

/// Judges what the work queue holds; `records` knows the whole ledger. `barriers_until` is where the
/// ledger ended before the work queue was read.
pub(crate) fn judge(
    present: &mut [Present],
    barriers_until: Sequence,
    subjects: &Subjects,
    records: &Records,
    docket: &mut Docket,
) -> Figures {
    present.sort_by_key(|message| message.sequence);
    let mut figures = Figures::default();
    let mut fence = Epoch::new(0);
    let mut keys: BTreeMap<Digest, Accepted> = BTreeMap::new();
    for message in present.iter() {
        let place = Place {
            of: "work",
            sequence: message.sequence,
            subject: &message.subject,
        };
        match subjects.parse_work(&message.subject) {
            WorkSubject::Fence { epoch, .. } => {
                docket.checked(&[Rule::EpochsIncrease]);
                if epoch < fence {
                    let what = format!("stands behind the fence of {fence}");
                    docket.wrong(Rule::EpochsIncrease, place, what);
                }
                fence = fence.max(epoch);
            }
            WorkSubject::Work(name) => {
                figures.work += 1;
                behind_fence(place, message.epoch, fence, docket);
                led(place, message.epoch, fence, records, docket);
                match standing(place, &name, records, docket) {
                    Standing::Outstanding => {
                        one_of_key(place, &name, records, &mut keys, docket);
                    }
                    Standing::AwaitsAck => figures.awaiting_ack += 1,
                    Standing::Wrong => {}
                }
            }
            WorkSubject::Unknown => {
                docket.checked(&[Rule::Known]);
                docket.wrong(Rule::Known, place, "no rule makes this subject");
            }
        }
    }
    fence_of_barriers(fence, barriers_until, records, docket);
    figures
}

/// No work of an older epoch stands behind a fence.
pub(crate) fn behind_fence(
    place: Place<'_>,
    epoch: Option<Epoch>,
    fence: Epoch,
    docket: &mut Docket,
) {
    docket.checked(&[Rule::Fenced]);
    match epoch {
        Some(epoch) if epoch < fence => {
            let what = format!("work of {epoch} stands behind the fence of {fence}");
            docket.wrong(Rule::Fenced, place, what);
        }
        Some(_) => {}
        None => docket.wrong(Rule::Fenced, place, "names no epoch: no leader wrote it"),
    }
}

/// The leader of this work wrote its barrier before it; what is behind a fence is wrong anyway.
fn led(
    place: Place<'_>,
    epoch: Option<Epoch>,
    fence: Epoch,
    records: &Records,
    docket: &mut Docket,
) {
    let Some(epoch) = epoch.filter(|epoch| *epoch >= fence) else {
        return;
    };
    docket.checked(&[Rule::FenceWhole]);
    if !records.epochs.contains_key(&epoch) {
        let what = format!("the leader of {epoch} has no barrier");
        docket.wrong(Rule::FenceWhole, place, what);
    }
}

/// Where a work message's attempt stands.
enum Standing {
    Outstanding,
    /// Its outcome is recorded.
    AwaitsAck,
    /// It is not of a job that awaits it.
    Wrong,
}

fn standing(
    place: Place<'_>,
    name: &AttemptName,
    records: &Records,
    docket: &mut Docket,
) -> Standing {
    docket.checked(&[Rule::WorkOfJob]);
    let what = match records.job(name) {
        None => format!("no such job was accepted as {}", name.accepted),
        Some(job) if name.attempt <= job.last => return Standing::AwaitsAck,
        Some(job) if job.awaits(name.attempt) => return Standing::Outstanding,
        Some(job) if job.has_ended() => "its job has ended".to_owned(),
        Some(job) => format!("its job awaits {}, if any", job.last.next()),
    };
    docket.wrong(Rule::WorkOfJob, place, what);
    Standing::Wrong
}

/// No other job of the key is outstanding, too.
fn one_of_key(
    place: Place<'_>,
    name: &AttemptName,
    records: &Records,
    keys: &mut BTreeMap<Digest, Accepted>,
    docket: &mut Docket,
) {
    let Some(key) = records.job(name).and_then(|job| job.key) else {
        return;
    };
    docket.checked(&[Rule::KeyWork]);
    if let Some(other) = keys.insert(key, name.accepted) {
        let what = format!("{other} has the same key and is outstanding, too");
        docket.wrong(Rule::KeyWork, place, what);
    }
}

/// A barrier comes after its leader's fence, and the newest fence is never purged.
fn fence_of_barriers(fence: Epoch, until: Sequence, records: &Records, docket: &mut Docket) {
    for (epoch, (at, _)) in &records.epochs {
        if *at > until {
            continue;
        }
        docket.checked(&[Rule::FenceWhole]);
        if *epoch > fence {
            let what = format!("{epoch} has a barrier, but the newest fence is that of {fence}");
            docket.wrong(Rule::FenceWhole, format!("ledger {at}"), what);
        }
    }
}
