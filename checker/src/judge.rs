//! The judge itself: takes evidence in any amount, and gives the verdicts at the end.

use protocol::number::Sequence;
use protocol::subject::Subjects;

use crate::history::History;
use crate::present::{self, Present};
use crate::records::{Keep, Record, Records};
use crate::report::{Docket, Figures, Report};
use crate::rule::Rule;
use crate::tap::{self, Tapped};
use crate::{runs, submits};

/// Takes evidence, and gives the verdicts. Only what was given is judged: a rule for which there is
/// no evidence shows 0 checked.
///
/// ```
/// use checker::{Judge, Record};
/// use protocol::{id::Namespace, number::Sequence, subject::Subjects, time::Timestamp};
///
/// let subjects = Subjects::new(Namespace::default());
/// let queue = "invoices".parse()?;
/// let id = protocol::id::JobId::from_raw("INV-1")?;
/// let mut judge = Judge::of_ledger(subjects.clone());
/// judge.record(&Record {
///     sequence: Sequence::new(1),
///     time: Timestamp::from_millis(0),
///     subject: &subjects.submit(&queue, &id),
///     header: &|_| None,
///     payload: b"{}",
/// });
/// let report = judge.report();
/// assert!(report.good && report.figures.open == 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Judge {
    subjects: Subjects,
    records: Records,
    history: History,
    present: Option<(Vec<Present>, Sequence)>,
    tap: Option<(Vec<Tapped>, Sequence)>,
    docket: Docket,
    is_drained: bool,
    knows_submits: bool,
    knows_runs: bool,
}

impl Judge {
    /// A judge of a ledger and of what the work queue holds. It keeps some 230 bytes a job.
    #[must_use]
    pub fn of_ledger(subjects: Subjects) -> Self {
        Self::new(subjects, Keep::Jobs)
    }

    /// A judge of a whole run, with histories and a tap. It keeps all of these.
    #[must_use]
    pub fn of_run(subjects: Subjects) -> Self {
        Self::new(subjects, Keep::Outcomes)
    }

    fn new(subjects: Subjects, keep: Keep) -> Self {
        Self {
            records: Records::new(subjects.clone(), keep),
            subjects,
            history: History::default(),
            present: None,
            tap: None,
            docket: Docket::default(),
            is_drained: false,
            knows_submits: false,
            knows_runs: false,
        }
    }

    /// Takes the next record of the ledger.
    pub fn record(&mut self, record: &Record<'_>) {
        self.records.add(record, &mut self.docket);
    }

    /// The ledger's own word on where its last record stands: none may be missing up to there.
    pub fn ends_at(&mut self, last: Sequence) {
        self.records.ends_at(last, &mut self.docket);
    }

    /// What the work queue holds. The ledger must be read after it, and `ledger_last` before it: the
    /// sequence of the ledger's last record then.
    pub fn present(&mut self, messages: Vec<Present>, ledger_last: Sequence) {
        self.present = Some((messages, ledger_last));
    }

    /// All that the work queue ever stored, in order; `last` is its own word on where it stands.
    pub fn tap(&mut self, messages: Vec<Tapped>, last: Sequence) {
        self.tap = Some((messages, last));
    }

    /// A file of lines of a submitter, a worker, or whoever injects faults, in the forms that
    /// [`crate::history`] names. Lines of one process must come in their order.
    pub fn history(&mut self, name: &str, text: &str) {
        self.history.read(name, text, &mut self.docket);
    }

    /// Says that all must have ended: nothing waits any more, and nobody submits.
    pub const fn drained(&mut self) {
        self.is_drained = true;
    }

    /// Says that nobody submitted whose history is not given.
    pub const fn knows_all_submits(&mut self) {
        self.knows_submits = true;
    }

    /// Says that nobody ran anything whose history is not given.
    pub const fn knows_all_runs(&mut self) {
        self.knows_runs = true;
    }

    /// The last record that was taken.
    #[must_use]
    pub const fn last(&self) -> Sequence {
        self.records.last
    }

    /// The verdicts.
    #[must_use]
    pub fn report(mut self) -> Report {
        let mut figures = self.records.figures();
        self.judge_present(&mut figures);
        if self.is_drained {
            self.all_ended();
        }
        let (records, docket) = (&self.records, &mut self.docket);
        let handed_out = self
            .tap
            .take()
            .and_then(|(tapped, last)| tap::judge(&tapped, last, &self.subjects, records, docket));
        submits::judge(&self.history, records, docket, &mut figures);
        runs::judge(&self.history, handed_out.as_ref(), records, docket);
        runs::keys_apart(&self.history, docket);
        if self.knows_submits {
            submits::no_phantoms(&self.history, records, docket);
        }
        if self.knows_runs {
            runs::earned(&self.history, records, docket);
        }
        self.docket.report(figures)
    }

    fn judge_present(&mut self, figures: &mut Figures) {
        let Some((mut messages, until)) = self.present.take() else {
            return;
        };
        let (subjects, records) = (&self.subjects, &self.records);
        let found = present::judge(&mut messages, until, subjects, records, &mut self.docket);
        figures.work = found.work;
        figures.awaiting_ack = found.awaiting_ack;
        if self.is_drained {
            self.docket.checked(&[Rule::Drained]);
            if found.work > 0 {
                let what = format!("{} work messages are there still", found.work);
                self.docket.wrong(Rule::Drained, "work queue", what);
            }
        }
    }

    fn all_ended(&mut self) {
        for (accepted, job) in &self.records.jobs {
            self.docket.checked(&[Rule::NothingLost]);
            if !job.has_ended() {
                let place = format!("job {accepted}");
                let what = format!("has not ended; its last recorded attempt is {}", job.last);
                self.docket.wrong(Rule::NothingLost, place, what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::Namespace;
    use protocol::number::Sequence;
    use protocol::subject::Subjects;
    use protocol::time::Timestamp;

    use super::{Judge, Record};

    #[test]
    fn it_says_how_far_it_has_read() {
        let mut judge = Judge::of_ledger(Subjects::new(Namespace::default()));
        assert_eq!(judge.last(), Sequence::new(0));
        for sequence in [1, 2] {
            judge.record(&Record {
                sequence: Sequence::new(sequence),
                time: Timestamp::from_millis(0),
                subject: "jobs.config.q.1",
                header: &|_| None,
                payload: b"{}",
            });
            assert_eq!(judge.last(), Sequence::new(sequence));
        }
    }
}
