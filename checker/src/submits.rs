//! What submitters were told, against what the ledger holds.

use std::collections::BTreeMap;

use protocol::id::{JobId, QueueName};
use protocol::number::Accepted;

use crate::digest::Digest;
use crate::history::{History, Submit, SubmitEnd};
use crate::life::Job;
use crate::records::Records;
use crate::report::{Docket, Figures};
use crate::rule::Rule;

/// Judges all submits, and counts those that nobody had an answer to.
pub(crate) fn judge(
    history: &History,
    records: &Records,
    docket: &mut Docket,
    figures: &mut Figures,
) {
    for (name, submits) in &history.submits {
        let Some(found) = look(name, records) else {
            docket.checked(&[Rule::Valid]);
            docket.wrong(Rule::Valid, name, "is no queue and id");
            continue;
        };
        for submit in submits {
            match submit.end {
                SubmitEnd::Accepted(accepted) => told(name, submit, accepted, found, docket),
                SubmitEnd::Refused => refused(name, submit, submits, found, docket),
                SubmitEnd::Unknown => {
                    let landed = found.is_some_and(|(_, job)| job.payload == submit.digest);
                    let count = match landed {
                        true => &mut figures.unknown_landed,
                        false => &mut figures.unknown_absent,
                    };
                    *count += 1;
                }
            }
        }
    }
}

type Found<'a> = Option<(Accepted, &'a Job)>;

/// What the ledger accepted under this name; `None` if no submission can have it.
fn look<'a>(name: &str, records: &'a Records) -> Option<Found<'a>> {
    let (queue, id) = name.split_once('/')?;
    let (queue, id) = (QueueName::new(queue).ok()?, JobId::from_encoded(id).ok()?);
    let accepted = records.accepted(&queue, &id);
    Some(accepted.and_then(|accepted| Some((accepted, records.jobs.get(&accepted)?))))
}

/// "Accepted" was said: it is there, under that number, with that content.
fn told(name: &str, submit: &Submit, told: Accepted, found: Found<'_>, docket: &mut Docket) {
    docket.checked(&[
        Rule::NothingLost,
        Rule::AnswerTrue,
        Rule::NoConflictAccepted,
    ]);
    let Some((accepted, job)) = found else {
        let what = format!("was acknowledged as {told} and is not in the ledger");
        return docket.wrong(Rule::NothingLost, name, what);
    };
    if told != accepted {
        let what = format!("was acknowledged as {told} and is {accepted}");
        docket.wrong(Rule::AnswerTrue, name, what);
    }
    if submit.digest != job.payload {
        let what = format!(
            "content {} was acknowledged, {accepted} has {}",
            submit.digest, job.payload
        );
        docket.wrong(Rule::NoConflictAccepted, name, what);
    }
}

/// "Refused" was said: then none but another submit of the same content put it there.
fn refused(name: &str, submit: &Submit, all: &[Submit], found: Found<'_>, docket: &mut Docket) {
    docket.checked(&[Rule::RefusedIsAbsent]);
    let other = all
        .iter()
        .any(|other| other.digest == submit.digest && other.end != SubmitEnd::Refused);
    if let Some((accepted, job)) = found
        && job.payload == submit.digest
        && !other
    {
        let what = format!("was refused and is accepted as {accepted}");
        docket.wrong(Rule::RefusedIsAbsent, name, what);
    }
}

/// Every accepted job was submitted by somebody whose history is known, with that content.
pub(crate) fn no_phantoms(history: &History, records: &Records, docket: &mut Docket) {
    let mut known: BTreeMap<Digest, &[Submit]> = BTreeMap::new();
    for (name, submits) in &history.submits {
        known.insert(Digest::of(name.as_bytes()), submits);
    }
    for (accepted, job) in &records.jobs {
        docket.checked(&[Rule::NoPhantom]);
        let submits = known.get(&job.name).copied().unwrap_or_default();
        if !submits.iter().any(|submit| submit.digest == job.payload) {
            let place = format!("ledger #{}", accepted.get());
            let what = match submits.is_empty() {
                true => "nobody submitted it".to_owned(),
                false => format!("nobody submitted its content {}", job.payload),
            };
            docket.wrong(Rule::NoPhantom, place, what);
        }
    }
}
