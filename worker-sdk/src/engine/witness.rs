//! Proof that this worker's side of the network has most of the servers: a write to a replicated stream
//! that was taken. What is written is the worker's entry of the presence bucket, sooner than it is due.

use std::time::Duration;

use protocol::leadership::Moment;
use protocol::worker::{ANSWER_WITHIN, Ask, Event};

use super::Engine;

/// Between two such writes: they name all that runs.
const EVERY: Duration = Duration::from_millis(250);

/// The write under way, and whether another is wanted.
#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) is_wanted: bool,
    sent: Option<Moment>,
    is_answered: bool,
}

impl Witness {
    /// Whether to write now: one at a time, and not too often. One without an answer is written again.
    fn is_due(&self, now: Moment) -> bool {
        let Some(sent) = self.sent else {
            return self.is_wanted;
        };
        if self.is_answered {
            return self.is_wanted && now >= sent.after(EVERY);
        }
        now >= sent.after(ANSWER_WITHIN)
    }
}

impl Engine {
    /// Writes one if a run wants it.
    pub(super) fn send_witness(&mut self, now: Moment) {
        if !self.witness.is_due(now) {
            return;
        }
        self.witness = Witness {
            is_wanted: false,
            sent: (!self.runs.is_empty()).then_some(now),
            is_answered: false,
        };
        if self.witness.sent.is_some() {
            let reply = self.answer_to('q', now.as_nanos(), Ask(0));
            self.put_presence(Some(reply), now);
        }
    }

    /// One that was sent then is stored.
    pub(super) fn witnessed(&mut self, sent: Moment, now: Moment) {
        if self.witness.sent == Some(sent) {
            self.witness.is_answered = true;
        }
        self.tell_all(&Event::Witnessed(sent), now);
    }
}

#[cfg(test)]
mod tests {
    use protocol::leadership::Moment;

    use super::Witness;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn witness(is_wanted: bool, is_answered: bool) -> Witness {
        Witness {
            is_wanted,
            sent: Some(at(0)),
            is_answered,
        }
    }

    #[test]
    fn one_at_a_time_and_again_without_an_answer() {
        assert!(!Witness::default().is_due(at(0)));
        assert!(!witness(true, false).is_due(at(1_999)));
        assert!(witness(false, false).is_due(at(2_000)));
        assert!(!witness(true, true).is_due(at(249)));
        assert!(witness(true, true).is_due(at(250)));
        assert!(!witness(false, true).is_due(at(5_000)));
    }
}
