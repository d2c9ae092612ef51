//! The one who works: when a process begins the work of a singleton, when it must end, and when the
//! lease is given back. The election says who may; this says what follows for the work.
//!
//! * Work begins under a permit that outlasts a wind-up, one epoch a run: who restarts takes a new
//!   epoch first, so that an outside system can tell the runs apart.
//! * Work is told to end a wind-up before the permit does, at once when the permit is gone, and when
//!   the process stops.
//! * The lease is given back when the work has ended, never before: then the next one begins at once.
//! * A [`Effect::Guard`] names the moment at which work that still runs must be killed from outside,
//!   by a timer that a paused process cannot put off. In a strict election nobody else begins before
//!   that moment.
//! * A program that made no progress stands back for a lease, so that another has its chance first.

use std::time::Duration;

use crate::leadership::{Moment, Standing};
use crate::number::Epoch;

#[cfg(test)]
mod tests;

/// The pauses of one singleton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SingletonRules {
    /// How long before its permit ends the work is told to.
    pub wind_up: Duration,
    /// How long work that was told to end may take if the lease lasts: then it is aborted. Where the
    /// lease may not last, it is aborted after a wind-up.
    pub end_within: Duration,
    /// How long a process stands back whose work made no progress.
    pub stand_back: Duration,
    /// How often a process that waits says that it is well.
    pub alive_every: Duration,
}

/// What reaches the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// What the election says that this process is.
    Standing(Standing),
    /// The election ended the leadership because the work reported no progress.
    Stalled,
    /// The work has ended, all of it: by itself, or because it was told to.
    Ended,
    /// The lease was given back, or that failed and it is left to run out.
    Resigned,
    /// Give the lease to another, and stand again when one has had the time to take it.
    StepDown,
    /// End the work, give the lease back, and stand no more.
    Stop,
}

/// What must be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Let a timer end the process at this moment, where that is wanted. Comes before `Start`.
    Guard(Moment),
    /// No work runs: no timer is needed.
    Unguard,
    /// Begin the work under this epoch.
    Start(Epoch),
    /// The work must end now; answered by [`Input::Ended`].
    Revoke(RevokeReason),
    /// The work did not end when it was told to: end it at its next step. Still answered by
    /// [`Input::Ended`], if it ends.
    Abort,
    /// The work did not end when it was aborted either, a wind-up ago, and the process is to stop:
    /// nothing can end it but the end of the process. The lease is not given back.
    GiveUp,
    /// Take a new epoch above this one, on the own record.
    Advance(Epoch),
    /// Stand for election.
    Campaign,
    /// Give the lease back, or stop to stand. Answered by [`Input::Resigned`].
    Resign,
    /// Tell the election that this process is well.
    Alive,
    /// It is over.
    Finished,
}

/// Why the work must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevokeReason {
    /// The lease was not renewed in time: another may soon begin.
    Unrenewed,
    /// The leadership is over.
    Lost,
    /// The work reported no progress.
    Stalled,
    /// Somebody asked this process to step down.
    StepDown,
    /// The process stops.
    Stopping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No work runs.
    Waiting,
    Working(Epoch),
    /// The work was told to end, and is given time until this moment.
    Ending(Moment),
    /// It was aborted, and is given time until this moment.
    Aborted(Moment),
    /// It did not end.
    Stuck,
    /// The lease is given back.
    Resigning,
    Finished,
}

/// What is wanted of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Stand,
    StepDown,
    Stop,
}

/// One process's part in one singleton.
#[derive(Debug, Clone)]
pub struct Singleton {
    rules: SingletonRules,
    now: Moment,
    state: State,
    wish: Wish,
    /// The permit, as far as the election says: whose epoch, until when.
    permit: Option<(Epoch, Moment)>,
    guarded: Option<Moment>,
    /// The last epoch under which work began; the next is above.
    used: Option<Epoch>,
    advancing: bool,
    stands_from: Moment,
    stands: bool,
    alive_due: Moment,
}

impl Singleton {
    /// Begins as one that will stand.
    #[must_use]
    pub const fn new(rules: SingletonRules, now: Moment) -> Self {
        Self {
            rules,
            now,
            state: State::Waiting,
            wish: Wish::Stand,
            permit: None,
            guarded: None,
            used: None,
            advancing: false,
            stands_from: now,
            stands: false,
            alive_due: now,
        }
    }

    /// Takes an input and says what must be done, in this order.
    #[must_use]
    pub fn handle(&mut self, now: Moment, input: Input) -> Vec<Effect> {
        // A clock that went back would lengthen the permit.
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        // What has run out by now has run out before this input came.
        self.settle(&mut effects);
        self.take(input, &mut effects);
        self.settle(&mut effects);
        effects
    }

    /// When to come back with [`Input::Tick`] if nothing else happens before.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        let never = Moment::from_nanos(u64::MAX);
        match self.state {
            State::Working(_) => self.permit.map_or(never, |(_, until)| self.last(until)),
            State::Ending(until) | State::Aborted(until) => until,
            State::Stuck | State::Resigning | State::Finished => never,
            State::Waiting if !self.stands => self.stands_from,
            State::Waiting => self.alive_due,
        }
    }

    /// The last moment of a permit at which work may still go on.
    fn last(&self, until: Moment) -> Moment {
        let end = until.since(Moment::default());
        Moment::default().after(end.saturating_sub(self.rules.wind_up))
    }

    fn take(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::Standing(standing) => {
                self.permit = match standing {
                    Standing::Leading(epoch, until) => Some((epoch, until)),
                    Standing::Follower
                    | Standing::Candidate
                    | Standing::Suspended(_)
                    | Standing::Resigning(_) => None,
                };
                if matches!(standing, Standing::Resigning(_)) {
                    // Nobody here asked for that while the work goes on.
                    self.stall(effects);
                }
                self.advancing &= self
                    .permit
                    .is_some_and(|(epoch, _)| Some(epoch) == self.used);
            }
            Input::Stalled => {
                self.stall(effects);
                self.stand_back();
            }
            Input::Ended => self.ended(effects),
            Input::Resigned => self.resigned(effects),
            Input::StepDown if self.wish == Wish::Stand => {
                self.wish = Wish::StepDown;
                self.revoke(RevokeReason::StepDown, effects);
            }
            Input::StepDown => {}
            Input::Stop => {
                self.wish = Wish::Stop;
                self.revoke(RevokeReason::Stopping, effects);
            }
        }
    }

    fn stall(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.state, State::Working(_)) {
            self.revoke(RevokeReason::Stalled, effects);
            self.stand_back();
        }
    }

    /// Says nothing to the election for a while, which then does not bid.
    fn stand_back(&mut self) {
        self.alive_due = self.now.after(self.rules.stand_back);
    }

    fn revoke(&mut self, why: RevokeReason, effects: &mut Vec<Effect>) {
        match self.state {
            State::Working(_) => {
                let patience = match why {
                    RevokeReason::Stopping | RevokeReason::StepDown => self.rules.end_within,
                    RevokeReason::Unrenewed | RevokeReason::Lost | RevokeReason::Stalled => {
                        self.rules.wind_up
                    }
                };
                self.state = State::Ending(self.now.after(patience));
                effects.push(Effect::Revoke(why));
            }
            State::Waiting | State::Resigning | State::Finished => {}
            State::Ending(_) | State::Aborted(_) | State::Stuck => {}
        }
    }

    fn ended(&mut self, effects: &mut Vec<Effect>) {
        match self.state {
            // It is done with what it had to do.
            State::Working(_) => self.wish = Wish::Stop,
            State::Ending(_) | State::Aborted(_) | State::Stuck => {}
            State::Waiting | State::Resigning | State::Finished => return,
        }
        self.state = State::Waiting;
        self.guard(effects);
    }

    fn resigned(&mut self, effects: &mut Vec<Effect>) {
        if self.state != State::Resigning {
            return;
        }
        self.stands = false;
        self.permit = None;
        match self.wish {
            Wish::Stop => {
                self.state = State::Finished;
                effects.push(Effect::Finished);
            }
            Wish::Stand | Wish::StepDown => {
                self.wish = Wish::Stand;
                self.state = State::Waiting;
                self.stands_from = self.now.after(self.rules.stand_back);
            }
        }
    }

    /// Brings the work in line with permit, wish and time.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        match self.state {
            State::Working(epoch) => {
                match self.permit {
                    Some((held, until)) if held == epoch && self.now < self.last(until) => {}
                    Some((held, _)) if held == epoch => {
                        self.revoke(RevokeReason::Unrenewed, effects);
                    }
                    Some(_) | None => self.revoke(RevokeReason::Lost, effects),
                }
                self.guard(effects);
            }
            State::Ending(until) => {
                self.guard(effects);
                if until <= self.now {
                    self.state = State::Aborted(self.now.after(self.rules.wind_up));
                    effects.push(Effect::Abort);
                }
            }
            State::Aborted(until) => {
                if until <= self.now {
                    self.state = State::Stuck;
                }
            }
            State::Waiting => self.wait(effects),
            State::Stuck | State::Resigning | State::Finished => {}
        }
        if self.state == State::Stuck && self.wish == Wish::Stop {
            self.state = State::Finished;
            effects.push(Effect::GiveUp);
        }
    }

    fn wait(&mut self, effects: &mut Vec<Effect>) {
        match self.wish {
            Wish::Stop | Wish::StepDown => {
                self.state = State::Resigning;
                effects.push(Effect::Resign);
                return;
            }
            Wish::Stand => {}
        }
        if !self.stands && self.stands_from <= self.now {
            self.stands = true;
            self.alive_due = self.now;
            effects.push(Effect::Campaign);
        }
        if self.stands && self.alive_due <= self.now {
            self.alive_due = self.now.after(self.rules.alive_every);
            effects.push(Effect::Alive);
        }
        let Some((epoch, until)) = self
            .permit
            .filter(|(_, until)| self.now < self.last(*until))
        else {
            return;
        };
        if self.used >= Some(epoch) {
            if !self.advancing {
                self.advancing = true;
                effects.push(Effect::Advance(epoch));
            }
            return;
        }
        self.used = Some(epoch);
        self.state = State::Working(epoch);
        self.guarded = Some(until);
        effects.extend([Effect::Guard(until), Effect::Start(epoch)]);
    }

    /// The guard stands at the permit's end; work that was told to end gets no longer than that, and
    /// no longer than it may take.
    fn guard(&mut self, effects: &mut Vec<Effect>) {
        let newest = self.permit.map(|(_, until)| until);
        let wanted = match self.state {
            State::Working(_) => newest.max(self.guarded),
            State::Ending(until) => {
                let longest = until.after(self.rules.wind_up);
                newest.max(self.guarded).map(|until| until.min(longest))
            }
            State::Aborted(_) | State::Stuck => self.guarded,
            State::Waiting | State::Resigning | State::Finished => None,
        };
        if wanted != self.guarded {
            self.guarded = wanted;
            effects.push(wanted.map_or(Effect::Unguard, Effect::Guard));
        }
    }
}
