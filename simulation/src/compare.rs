//! Holds what a coordinator folded against the book. It changes neither.

use protocol::job::{Job, JobState};
use protocol::ledger::Ledger;
use protocol::number::Accepted;

use crate::book::{Book, Entry, Stage};

impl Book {
    /// Where a fold differs from the truth.
    pub(crate) fn differs(&mut self, ledger: &Ledger) -> Option<String> {
        self.counts.did("folds compared");
        let folded = ledger.jobs().count();
        if folded != self.jobs.len() {
            return Some(format!("{folded} jobs, and there are {}", self.jobs.len()));
        }
        let of_job = |(accepted, entry): (&Accepted, &Entry)| {
            let what = ledger.job(*accepted).map(|job| differs(entry, job));
            let what = what.unwrap_or_else(|| Some("it is missing".to_owned()));
            what.map(|what| format!("{accepted}: {what}"))
        };
        self.jobs.iter().find_map(of_job)
    }
}

fn differs(entry: &Entry, job: &Job) -> Option<String> {
    let is_same = match (&job.state, entry.stage) {
        (JobState::Open(open), Stage::Open) => {
            open.last.get() == entry.last
                && open.failures == entry.failures
                && open.request == entry.request.map(|(request, _)| request)
                && open.replayed.get() == entry.replayed
                && open.spec.key.as_ref().map(|key| key.as_str()) == entry.key.as_deref()
                && open.spec.max_attempts == entry.max_attempts()
        }
        (JobState::Final(over), Stage::Final(end)) => {
            over.end == end && over.last.get() == entry.last
        }
        (JobState::Unconfigured(_), Stage::Unconfigured)
        | (JobState::Parked { .. }, Stage::Parked)
        | (JobState::Malformed { .. }, Stage::Malformed) => true,
        _ => false,
    };
    (!is_same).then(|| format!("{:?}, and it is {entry:?}", job.state))
}
