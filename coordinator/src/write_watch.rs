//! Whether the broker takes writes while it answers reads: a server whose disk was full answers no
//! write, and goes on so after there is room, until it is restarted. It decides nothing.

use std::time::Duration;

use protocol::answer::Answer;
use protocol::leadership::{Moment, Tally};

/// A server that is cut off answers reads for up to 10 s, and takes no write: less is weather.
const SILENT_MAX: Duration = Duration::from_secs(15);

/// How often the lease's writes are counted.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A leader that saw no record for so long asks whether the ledger takes one.
const QUIET: Duration = Duration::from_secs(5);

/// What is known of the answers to writes.
#[derive(Debug, Default)]
pub(crate) struct WriteWatch {
    /// The lease's writes that had an answer, and those that had none.
    lease: (u64, u64),
    lease_silent: Option<Moment>,
    /// Those of the ledger and the work queue.
    silent: Option<Moment>,
    looked: Moment,
    is_told: bool,
    is_probing: bool,
}

impl WriteWatch {
    /// A write into the ledger or the work queue was answered, or was not.
    pub(crate) fn wrote(&mut self, now: Moment, answer: &Answer) {
        match answer {
            Answer::Unanswered => {
                self.silent.get_or_insert(now);
            }
            // An election of the broker.
            Answer::NoResponders | Answer::Busy => {}
            Answer::Stored(_)
            | Answer::Duplicate(_)
            | Answer::Occupied
            | Answer::WrongLast
            | Answer::Full(_)
            | Answer::Refused { .. } => self.silent = None,
        }
    }

    /// Whether it is time to count and to tell.
    pub(crate) fn is_due(&mut self, now: Moment) -> bool {
        let is_due = now.since(self.looked) >= LOOK_EVERY;
        if is_due {
            self.looked = now;
        }
        is_due
    }

    /// Whether to ask the ledger if it takes writes: no record was seen since `record`.
    pub(crate) fn is_probe_due(&mut self, now: Moment, record: Moment) -> bool {
        let is_due = !self.is_probing && now.since(record) >= QUIET;
        self.is_probing |= is_due;
        is_due
    }

    /// The ledger was asked whether it takes writes.
    pub(crate) fn probed(&mut self, now: Moment, answer: &Answer) {
        self.is_probing = false;
        self.wrote(now, answer);
    }

    /// Logs the alarm once, and its end.
    pub(crate) fn tell(&mut self, alarm: Option<&str>) {
        match alarm {
            Some(text) if !self.is_told => tracing::error!("{text}"),
            None if self.is_told => tracing::info!("the broker takes writes again"),
            Some(_) | None => {}
        }
        self.is_told = alarm.is_some();
    }

    /// How many writes of the lease had an answer and how many had none, by now.
    pub(crate) fn lease(&mut self, now: Moment, tally: &Tally) {
        let (answered, unanswered) = (tally.stored + tally.conflicts, tally.unanswered);
        if answered > self.lease.0 {
            self.lease_silent = None;
        } else if unanswered > self.lease.1 {
            self.lease_silent.get_or_insert(now);
        }
        self.lease = (answered, unanswered);
    }

    /// What an operator should know, where reads are answered by `server`.
    pub(crate) fn alarm(&self, now: Moment, server: &str) -> Option<String> {
        let since = [self.silent, self.lease_silent].into_iter().flatten().min();
        let span = now.since(since?);
        (span >= SILENT_MAX).then(|| {
            format!(
                "the broker answers reads and has taken no write for {} s: its disk is full, or was; make room, then restart that NATS server ({server}): its streams stay refused until then",
                span.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::answer::Answer;
    use protocol::leadership::{Moment, Tally};
    use protocol::number::Sequence;

    use super::WriteWatch;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(0).after(Duration::from_secs(seconds))
    }

    #[test]
    fn writes_without_an_answer_are_told_after_a_while_and_forgotten_with_the_next_answer() {
        let mut watch = WriteWatch::default();
        watch.wrote(at(1), &Answer::Unanswered);
        watch.wrote(at(9), &Answer::Unanswered);
        watch.wrote(at(10), &Answer::NoResponders);
        assert_eq!(watch.alarm(at(15), "n1"), None);
        let alarm = watch.alarm(at(16), "n1").expect("15 s have passed");
        assert!(alarm.contains("restart that NATS server (n1)"), "{alarm}");
        watch.wrote(at(17), &Answer::Stored(Sequence::new(1)));
        assert_eq!(watch.alarm(at(99), "n1"), None);
    }

    #[test]
    fn the_writes_of_the_lease_count_too() {
        let mut watch = WriteWatch::default();
        let tally = |stored, unanswered| Tally {
            stored,
            unanswered,
            ..Tally::default()
        };
        watch.lease(at(1), &tally(5, 0));
        watch.lease(at(2), &tally(5, 1));
        watch.lease(at(18), &tally(5, 2));
        assert!(watch.alarm(at(18), "n1").is_some());
        watch.lease(at(19), &tally(6, 2));
        assert_eq!(watch.alarm(at(40), "n1"), None);
    }
}
