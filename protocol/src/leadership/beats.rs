//! Is the holder's process stopped, though its connection stands? Decided by the beats that it sends
//! while it holds the lease, and by a last ping. Never a proof, so only fenced elections act on it.
//! Who asks doubts itself first: silence counts only while it was awake and the broker answered it.

use std::time::Duration;

use super::moment::Moment;
use super::rules::Detection;
use super::suspicion::PingAnswer;

#[derive(Debug, Default)]
pub(super) struct Beats {
    state: State,
    /// When the time was last looked at.
    looked: Moment,
}

#[derive(Debug, Default)]
enum State {
    /// This life of the holder has not been heard to beat on this connection: it may never.
    #[default]
    Unheard,
    /// The last sign of life, or when listening began again.
    Listening { since: Moment },
    /// Too many beats are missing. The holder was pinged, and after it we ourselves by the same
    /// connection: our own echo says that the broker has passed both pings on.
    Probing {
        sent: Moment,
        echo: u64,
        echoed: Option<Moment>,
    },
    /// The holder did not answer the ping either.
    Silent,
}

/// What a look at the time showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Nothing,
    /// Ping the holder and then, by [`Beats::probe`], ourselves.
    Missing,
    /// The holder is silent, though the broker and we are not.
    Silent,
    /// We were away ourselves: what silence seemed to show is void.
    Void,
}

impl Beats {
    /// The holder was heard to beat.
    pub(super) const fn heard(&mut self, now: Moment) {
        self.state = State::Listening { since: now };
    }

    /// The holder lives, as something else than a beat shows.
    pub(super) const fn lives(&mut self, now: Moment) {
        if !matches!(self.state, State::Unheard) {
            self.heard(now);
        }
    }

    /// The holder and, as number `echo`, we ourselves are pinged now.
    pub(super) const fn probe(&mut self, now: Moment, echo: u64) {
        self.state = State::Probing {
            sent: now,
            echo,
            echoed: None,
        };
    }

    /// Whether this is the answer to the ping to ourselves.
    pub(super) fn take_echo(&mut self, now: Moment, number: u64, answer: PingAnswer) -> bool {
        match &mut self.state {
            State::Probing { echo, echoed, .. } if *echo == number => {
                if answer == PingAnswer::Alive {
                    echoed.get_or_insert(now);
                }
                true
            }
            State::Probing { .. } | State::Unheard | State::Listening { .. } | State::Silent => {
                false
            }
        }
    }

    /// Judges the silence until now.
    pub(super) fn look(&mut self, now: Moment, rules: &Detection) -> Look {
        let away = now.since(self.looked) > rules.ping_wait;
        self.looked = now;
        let late = |since: Moment| now >= since.after(rules.ping_wait);
        match self.state {
            State::Unheard => Look::Nothing,
            State::Listening { .. } | State::Probing { .. } if away => {
                self.heard(now);
                Look::Nothing
            }
            State::Silent if away => {
                self.heard(now);
                Look::Void
            }
            State::Listening { since } if now >= since.after(rules.beats_wait()) => Look::Missing,
            State::Probing {
                echoed: Some(at), ..
            } if late(at) => {
                self.state = State::Silent;
                Look::Silent
            }
            State::Probing {
                echoed: None, sent, ..
            } if late(sent) => {
                self.heard(now);
                Look::Nothing
            }
            State::Listening { .. } | State::Probing { .. } | State::Silent => Look::Nothing,
        }
    }

    /// When to look again.
    pub(super) fn wake(&self, rules: &Detection) -> Option<Moment> {
        let due = match self.state {
            State::Unheard => return None,
            State::Listening { since } => since.after(rules.beats_wait()),
            State::Probing { sent, echoed, .. } => echoed.unwrap_or(sent).after(rules.ping_wait),
            State::Silent => Moment::from_nanos(u64::MAX),
        };
        // Often enough that a gap between two looks means that we were away.
        let pause = (rules.ping_wait / 2).max(Duration::from_millis(1));
        Some(due.min(self.looked.after(pause)))
    }
}
