//! Whether the broker still carries this worker's messages. What counts is what came back: its own
//! echoes, and answers. What stays unanswered says nothing: an election on the broker leaves
//! JetStream requests unanswered and cuts nobody off.

use std::time::Duration;

use crate::leadership::Moment;

/// How often a worker sends a message to itself.
pub const ECHO_EVERY: Duration = Duration::from_millis(250);
/// After how long with nothing coming back the broker counts as lost. A leader hands the keyed jobs of a
/// missing worker on later than that, so this worker has cancelled its own by then.
pub const LOST_AFTER: Duration = Duration::from_secs(1);

/// What the echoes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    heard: Moment,
    lost: bool,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactChange {
    /// Nothing.
    Same,
    /// The broker was silent for [`LOST_AFTER`]: keyed handlers stop now.
    Lost,
    /// It is back.
    Regained,
    /// It was silent for [`LOST_AFTER`] and is back before anybody looked: this process stood
    /// still. Keyed handlers stop now; others may go on.
    LostAndRegained,
}

impl Contact {
    /// From a moment at which the connection stood.
    #[must_use]
    pub const fn new(now: Moment) -> Self {
        Self {
            heard: now,
            lost: false,
        }
    }

    /// An echo came back, or an answer: under load it may be there long before the next echo.
    pub fn heard(&mut self, now: Moment) -> ContactChange {
        let silent = now.since(self.heard) >= LOST_AFTER;
        let was_lost = self.lost;
        self.heard = now;
        self.lost = false;
        match (was_lost, silent) {
            (true, _) => ContactChange::Regained,
            (false, true) => ContactChange::LostAndRegained,
            (false, false) => ContactChange::Same,
        }
    }

    /// Looks at the clock.
    pub fn look(&mut self, now: Moment) -> ContactChange {
        if self.lost || now.since(self.heard) < LOST_AFTER {
            return ContactChange::Same;
        }
        self.lost = true;
        ContactChange::Lost
    }

    /// Whether the broker counts as lost.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::{Contact, ContactChange};
    use crate::leadership::Moment;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_second_of_silence_is_lost_once() {
        let mut contact = Contact::new(at(0));
        assert_eq!(contact.heard(at(251)), ContactChange::Same);
        assert_eq!(contact.look(at(1_250)), ContactChange::Same);
        assert_eq!(contact.look(at(1_251)), ContactChange::Lost);
        assert_eq!(contact.look(at(1_300)), ContactChange::Same);
        assert!(contact.is_lost());
        assert_eq!(contact.heard(at(1_400)), ContactChange::Regained);
    }

    #[test]
    fn a_process_that_stood_still_finds_out_by_the_first_echo() {
        let mut contact = Contact::new(at(0));
        assert_eq!(contact.heard(at(60_000)), ContactChange::LostAndRegained);
        assert!(!contact.is_lost());
    }
}
