//! Getting an outcome into the ledger, or a look at it, however often it takes. It never decides
//! what the outcome is.

use crate::answer::Answer;
use crate::leadership::Moment;

use super::{ANSWER_WITHIN, Ask, Effect, Found, REPEAT_AFTER, REPEAT_AFTER_MAX};

/// What is asked of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Read,
    Write,
}

/// One question at a time, repeated with growing pauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asking {
    state: State,
    repeats: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Asked {
        question: Question,
        ask: Ask,
        until: Moment,
    },
    Pausing {
        next: Question,
        until: Moment,
    },
}

/// What an answer means for the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decided {
    /// Not yet.
    Open,
    /// The outcome stands in the ledger.
    Recorded,
    /// A read showed that there is none.
    Absent,
}

impl Asking {
    /// Asks `question` at once.
    pub(super) fn start(question: Question, asks: &mut Asks<'_>) -> Self {
        Self {
            state: State::ask(question, asks),
            repeats: 0,
        }
    }

    /// The clock moved on.
    pub(super) fn look(&mut self, asks: &mut Asks<'_>) {
        match self.state {
            State::Asked {
                question, until, ..
            } if asks.now >= until => match question {
                // A write without an answer is decided by reading.
                Question::Write => self.state = State::ask(Question::Read, asks),
                Question::Read => self.pause(Question::Read, asks.now),
            },
            State::Pausing { next, until } if asks.now >= until => {
                self.state = State::ask(next, asks);
            }
            State::Asked { .. } | State::Pausing { .. } => {}
        }
    }

    /// An answer to a write.
    pub(super) fn written(&mut self, ask: Ask, answer: &Answer, asks: &mut Asks<'_>) -> Decided {
        // Stored is stored, whichever of our writes it answers.
        if let Answer::Stored(_) = answer {
            return Decided::Recorded;
        }
        if !self.awaits(Question::Write, ask) {
            return Decided::Open;
        }
        match answer {
            Answer::Unanswered if planted!(UnansweredIsRecorded) => return Decided::Recorded,
            Answer::NoResponders if planted!(NoRespondersIsRecorded) => return Decided::Recorded,
            Answer::Stored(_) => return Decided::Recorded,
            // A full ledger may say so of an outcome that it holds: three servers look for room first.
            Answer::Occupied
            | Answer::Duplicate(_)
            | Answer::WrongLast
            | Answer::Full(_)
            | Answer::Unanswered => {
                self.state = State::ask(Question::Read, asks);
            }
            Answer::NoResponders | Answer::Busy => {
                self.pause(Question::Write, asks.now);
            }
            Answer::Refused { code, text } => {
                asks.out.push(Effect::Alarm(format!(
                    "the ledger refused an outcome: {text} (code {code}); lease and outcome are kept and it is tried again; check the worker's permissions and the stream's settings"
                )));
                self.repeats = self.repeats.max(6);
                self.pause(Question::Write, asks.now);
            }
        }
        Decided::Open
    }

    /// An answer to a read.
    pub(super) fn read(&mut self, ask: Ask, found: Found, now: Moment) -> Decided {
        if found == Found::Outcome {
            return Decided::Recorded;
        }
        if !self.awaits(Question::Read, ask) {
            return Decided::Open;
        }
        match found {
            Found::Outcome => Decided::Recorded,
            Found::Nothing => Decided::Absent,
            Found::Unknown => {
                self.pause(Question::Read, now);
                Decided::Open
            }
        }
    }

    /// Asks `next` after a pause that grows with each call.
    pub(super) fn pause(&mut self, next: Question, now: Moment) {
        let pause = REPEAT_AFTER.saturating_mul(2_u32.saturating_pow(self.repeats));
        self.repeats = self.repeats.saturating_add(1);
        let until = now.after(pause.min(REPEAT_AFTER_MAX));
        self.state = State::Pausing { next, until };
    }

    fn awaits(&self, wanted: Question, answered: Ask) -> bool {
        match self.state {
            State::Asked { question, ask, .. } => question == wanted && ask == answered,
            State::Pausing { .. } => false,
        }
    }
}

impl State {
    fn ask(question: Question, asks: &mut Asks<'_>) -> Self {
        let ask = asks.next();
        asks.out.push(match question {
            Question::Read => Effect::Read(ask),
            Question::Write => Effect::Write(ask),
        });
        Self::Asked {
            question,
            ask,
            until: asks.now.after(ANSWER_WITHIN),
        }
    }
}

/// Where questions get their number, their time and their way out.
pub(super) struct Asks<'a> {
    pub(super) now: Moment,
    pub(super) count: &'a mut u32,
    pub(super) out: &'a mut Vec<Effect>,
}

impl Asks<'_> {
    pub(super) fn next(&mut self) -> Ask {
        *self.count = self.count.wrapping_add(1);
        Ask(*self.count)
    }
}
