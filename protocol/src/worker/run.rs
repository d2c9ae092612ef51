//! The life of one delivery in a worker, from its arrival to its ack. It decides; the worker acts.

use std::time::Duration;

use crate::leadership::Moment;
use crate::outcome::{Outcome, OutcomeError, Status};

use super::record::{Asking, Asks, Decided, Question};
use super::{
    Ask, CancelReason, DELIVERIES_MAX, Delivery, Effect, Event, Finish, Found, LOST_GRACE, Lease,
    Plan, STUCK_AFTER, UNKNOWN_KIND_DELAY, UNKNOWN_KIND_DELAY_MAX,
};

/// One delivery of one attempt.
#[derive(Debug, Clone)]
pub struct Run {
    stage: Stage,
    handler: Handler,
    lease: Lease,
    asks: u32,
    count: u64,
    plan: Plan,
    keyed: bool,
    /// The ledger is not asked and the handler not called before.
    start_at: Moment,
    timeout: Option<Duration>,
    /// How long a handler may wind up after its cancellation.
    grace: Duration,
    /// Whether a nak can hit nobody else: the connection stood since the delivery.
    may_nak: bool,
    /// Until when the delivery is nobody else's unless the leader handed it on, after the broker
    /// was lost.
    lost_until: Option<Moment>,
    /// Somebody asked to cancel the job before it was known whether it is to run here.
    unwanted: bool,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Nothing is done yet: whoever held it before may not have stopped, and may record it, or its lease
    /// is not backed yet.
    Held,
    /// Is there an outcome already?
    Checking(Asking),
    /// It may run as soon as there is a slot.
    Ready,
    /// The handler runs.
    Running,
    /// The outcome goes to the ledger.
    Recording { body: Vec<u8>, asking: Asking },
    /// Nothing more is to be sent.
    Over,
}

#[derive(Debug, Clone)]
enum Handler {
    /// Not called yet.
    Idle,
    /// Called and not yet back.
    Alive {
        started: Moment,
        cancel: Option<Cancel>,
    },
    /// Back, or never to be called.
    Gone,
}

#[derive(Debug, Clone, Copy)]
struct Cancel {
    reason: CancelReason,
    abort_at: Moment,
    aborted: bool,
}

impl Run {
    /// Takes a delivery. The handler has `grace` to wind up when it is cancelled.
    #[must_use]
    pub fn new(delivery: Delivery, grace: Duration, now: Moment, out: &mut Vec<Effect>) -> Self {
        let mut run = Self {
            stage: Stage::Ready,
            handler: Handler::Idle,
            lease: delivery.lease,
            asks: 0,
            count: delivery.count,
            plan: delivery.plan,
            keyed: delivery.keyed,
            start_at: delivery.start_at,
            timeout: delivery.timeout,
            grace,
            may_nak: true,
            lost_until: None,
            unwanted: false,
        };
        #[cfg(feature = "planted")]
        if planted!(LeaseFromArrival) {
            run.lease = run.lease.from_arrival(now);
        }
        if !run.lease.may_be_backed(now) {
            run.end(out);
        } else if now < delivery.start_at || run.lease.needs_witness(now) {
            run.stage = Stage::Held;
            run.keep_lease(now, out);
        } else if (delivery.suspect || delivery.count > 1) && !planted!(NoCheckOnRedelivery) {
            run.check(now, out);
        } else {
            run.ready(now, out);
        }
        run
    }

    /// The outcome that [`Effect::Write`] is about.
    #[must_use]
    pub fn outcome(&self) -> Option<&[u8]> {
        match &self.stage {
            Stage::Recording { body, .. } => Some(body),
            Stage::Checking(_) | Stage::Held | Stage::Ready | Stage::Running | Stage::Over => None,
        }
    }

    /// Whether it waits for a slot.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    /// Whether its handler was called and is not back.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.handler, Handler::Alive { .. })
    }

    /// Takes over a newer delivery of the same attempt: the broker handed it to this worker again,
    /// so what is under way here goes on under the new lease. `false`: what is under way was told
    /// to stop; the new delivery must wait until it is forgotten.
    pub fn adopt(&mut self, delivery: &Delivery) -> bool {
        let goes_on = match (&self.stage, &self.handler) {
            (Stage::Over, _) => false,
            (_, Handler::Alive { cancel, .. }) => cancel.is_none(),
            (_, Handler::Idle | Handler::Gone) => true,
        };
        if goes_on {
            self.lease = delivery.lease.following(&self.lease);
            self.count = delivery.count;
            self.may_nak = true;
            self.lost_until = None;
        }
        goes_on
    }

    /// Decides what follows from `event`.
    pub fn handle(&mut self, now: Moment, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Look => self.look(now, out),
            Event::Room => self.start(now, out),
            Event::Read(ask, found) => self.read(ask, found, now, out),
            Event::Written(ask, answer) => {
                let mut asks = Asks {
                    now,
                    count: &mut self.asks,
                    out,
                };
                if let Stage::Recording { asking, .. } = &mut self.stage
                    && asking.written(ask, &answer, &mut asks) == Decided::Recorded
                {
                    self.ack(out);
                }
            }
            Event::Confirmed(ask) => {
                if self.lease.progress_confirmed(ask, now) {
                    out.push(Effect::Witness);
                }
            }
            Event::Witnessed(sent) => self.lease.witnessed(sent, now),
            Event::Finished(finish) => self.finished(finish, now, out),
            Event::Cancel => self.cancel_requested(now, out),
            Event::HandedOn => {
                if !planted!(LetGoAfterHandedOn) {
                    self.lost_until = None;
                }
                self.lose(now, out);
            }
            Event::Lost => {
                self.may_nak = false;
                if self.keyed && !planted!(LostIsIgnored) {
                    let deadline = self.lease.holds(now).then_some(self.lease.deadline());
                    self.lost_until = self.lost_until.or(deadline);
                    self.lose(now, out);
                }
            }
            Event::Reconnected => self.may_nak = false,
            Event::Stop => {
                if matches!(self.stage, Stage::Checking(_) | Stage::Held | Stage::Ready) {
                    self.release(Duration::ZERO, now, out);
                }
            }
            Event::StopNow => self.cancel(CancelReason::Stopping, now, out),
        }
    }

    fn look(&mut self, now: Moment, out: &mut Vec<Effect>) {
        // What is held has not begun: it may wait until its lease is backed.
        let waits = matches!(self.stage, Stage::Held) && self.lease.may_be_backed(now);
        if waits || self.lease.holds(now) {
            self.keep_lease(now, out);
        } else {
            self.lose(now, out);
        }
        let mut asks = Asks {
            now,
            count: &mut self.asks,
            out,
        };
        match &mut self.stage {
            Stage::Checking(asking) | Stage::Recording { asking, .. } => asking.look(&mut asks),
            Stage::Held if now >= self.start_at && !self.lease.needs_witness(now) => {
                self.check(now, out);
            }
            Stage::Running => self.watch_handler(now, out),
            Stage::Held | Stage::Ready | Stage::Over => {}
        }
    }

    /// Asks the ledger whether it was done already.
    fn check(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let asking = Asking::start(Question::Read, &mut self.asks(now, out));
        self.stage = Stage::Checking(asking);
    }

    fn keep_lease(&mut self, now: Moment, out: &mut Vec<Effect>) {
        if now < self.lease.progress_due() || matches!(self.stage, Stage::Over) {
            return;
        }
        let ask = self.asks(now, out).next();
        self.lease.progress_sent(ask, now);
        out.push(Effect::Progress(ask));
    }

    /// Looks after the time-out, the abort, and a handler that does not end.
    fn watch_handler(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let Handler::Alive { started, cancel } = &mut self.handler else {
            return;
        };
        let started = *started;
        match cancel {
            None => {
                if self
                    .timeout
                    .is_some_and(|timeout| now >= started.after(timeout))
                {
                    self.cancel(CancelReason::TimedOut, now, out);
                }
            }
            Some(cancel) if !cancel.aborted => {
                if now >= cancel.abort_at {
                    cancel.aborted = true;
                    out.push(Effect::Abort);
                }
            }
            Some(cancel) => {
                if now >= cancel.abort_at.after(STUCK_AFTER) {
                    let reason = cancel.reason;
                    out.push(Effect::Alarm(format!(
                        "a handler goes on {STUCK_AFTER:?} after its abort ({}): it blocks its thread; its slot stays taken",
                        reason.as_str()
                    )));
                    self.cut_short(reason, now, out);
                }
            }
        }
    }

    fn read(&mut self, ask: Ask, found: Found, now: Moment, out: &mut Vec<Effect>) {
        match &mut self.stage {
            Stage::Checking(asking) => match asking.read(ask, found, now) {
                Decided::Recorded => self.ack(out),
                Decided::Absent => self.ready(now, out),
                Decided::Open => {}
            },
            Stage::Recording { asking, .. } => match asking.read(ask, found, now) {
                Decided::Recorded => self.ack(out),
                Decided::Absent => asking.pause(Question::Write, now),
                Decided::Open => {}
            },
            // The answer to an older question, which was not waited for any more: what is recorded
            // is not run.
            Stage::Held | Stage::Ready if found == Found::Outcome => self.ack(out),
            Stage::Held | Stage::Ready | Stage::Running | Stage::Over => {}
        }
    }

    /// Nothing speaks against running it, as far as the ledger goes.
    fn ready(&mut self, now: Moment, out: &mut Vec<Effect>) {
        if self.count > DELIVERIES_MAX && !planted!(RunsForEver) {
            let text = match self.plan {
                Plan::PassOn => {
                    "handed out 5 times without an outcome; the last worker has no handler for its kind, or does not know its version"
                }
                Plan::Run | Plan::Record(_) => "handed out 5 times without an outcome",
            };
            return self.record(failed("handed-out-too-often", text), now, out);
        }
        match std::mem::replace(&mut self.plan, Plan::Run) {
            Plan::Run if self.unwanted => self.cut_short(CancelReason::Requested, now, out),
            Plan::Run => self.stage = Stage::Ready,
            Plan::Record(body) => self.record(body, now, out),
            Plan::PassOn => self.release(pass_on_delay(self.count), now, out),
        }
    }

    fn start(&mut self, now: Moment, out: &mut Vec<Effect>) {
        if !self.is_ready() {
            return;
        }
        if !self.lease.holds(now) {
            return self.end(out);
        }
        self.stage = Stage::Running;
        self.handler = Handler::Alive {
            started: now,
            cancel: None,
        };
        out.push(Effect::Start);
    }

    fn finished(&mut self, finish: Finish, now: Moment, out: &mut Vec<Effect>) {
        let reason = match &self.handler {
            Handler::Alive { cancel, .. } => cancel.map(|cancel| cancel.reason),
            Handler::Idle | Handler::Gone => return,
        };
        self.handler = Handler::Gone;
        match self.stage {
            Stage::Running => {}
            // It was stuck and its end comes late: what was decided then holds.
            Stage::Over => return out.push(Effect::Forget),
            Stage::Recording { .. } | Stage::Checking(_) | Stage::Held | Stage::Ready => return,
        }
        match (finish, reason) {
            (Finish::Completed(body), _)
            | (Finish::Failed(body), None)
            | (Finish::Cancelled(body), None | Some(CancelReason::Requested)) => {
                self.record(body, now, out);
            }
            (Finish::Aborted, None) => self.release(Duration::ZERO, now, out),
            (Finish::Failed(_) | Finish::Aborted | Finish::Cancelled(_), Some(reason)) => {
                self.cut_short(reason, now, out);
            }
        }
    }

    /// The handler did not get to its own end.
    fn cut_short(&mut self, reason: CancelReason, now: Moment, out: &mut Vec<Effect>) {
        match reason {
            CancelReason::Stopping => self.release(Duration::ZERO, now, out),
            CancelReason::LeaseLost => self.abandon(out),
            CancelReason::Requested => {
                let error = OutcomeError::new("cancelled", "somebody asked to cancel it");
                let body = Outcome::ended(Status::Cancelled, error).to_body();
                self.record(body, now, out);
            }
            CancelReason::TimedOut => {
                let text = format!(
                    "it ran longer than {:?}, its time-out",
                    self.timeout.unwrap_or_default()
                );
                self.record(failed("timeout", &text), now, out);
            }
        }
    }

    fn cancel_requested(&mut self, now: Moment, out: &mut Vec<Effect>) {
        match self.stage {
            Stage::Running => self.cancel(CancelReason::Requested, now, out),
            Stage::Ready => self.cut_short(CancelReason::Requested, now, out),
            Stage::Held | Stage::Checking(_) => self.unwanted = true,
            Stage::Recording { .. } | Stage::Over => {}
        }
    }

    fn cancel(&mut self, reason: CancelReason, now: Moment, out: &mut Vec<Effect>) {
        let grace = match reason {
            CancelReason::LeaseLost => self.grace.min(LOST_GRACE),
            CancelReason::Stopping | CancelReason::TimedOut | CancelReason::Requested => self.grace,
        };
        let Handler::Alive { cancel, .. } = &mut self.handler else {
            return;
        };
        let abort_at = now.after(grace);
        match cancel {
            None => {
                *cancel = Some(Cancel {
                    reason,
                    abort_at,
                    aborted: false,
                });
                out.push(Effect::Cancel(reason));
            }
            Some(earlier) => {
                earlier.reason = earlier.reason.max(reason);
                earlier.abort_at = earlier.abort_at.min(abort_at);
            }
        }
    }

    /// The delivery may be somebody else's.
    fn lose(&mut self, now: Moment, out: &mut Vec<Effect>) {
        self.lease.end(now);
        match self.stage {
            Stage::Checking(_) | Stage::Held | Stage::Ready => self.abandon(out),
            Stage::Running => {
                let told = matches!(
                    &self.handler,
                    Handler::Alive { cancel: Some(cancel), .. }
                        if cancel.reason == CancelReason::LeaseLost
                );
                if !told {
                    self.cancel(CancelReason::LeaseLost, now, out);
                }
            }
            #[cfg(feature = "planted")]
            Stage::Recording { .. } if planted!(NakAfterDeadline) => {
                out.push(Effect::Nak(Duration::ZERO))
            }
            // The outcome is still worth writing: the first one wins.
            Stage::Recording { .. } | Stage::Over => {}
        }
    }

    fn record(&mut self, body: Vec<u8>, now: Moment, out: &mut Vec<Effect>) {
        if planted!(AckFirst) {
            out.push(Effect::Ack);
        }
        let asking = Asking::start(Question::Write, &mut self.asks(now, out));
        self.stage = Stage::Recording { body, asking };
    }

    fn ack(&mut self, out: &mut Vec<Effect>) {
        out.push(Effect::Ack);
        self.end(out);
    }

    /// Gives the delivery back, if it is certainly still ours.
    fn release(&mut self, delay: Duration, now: Moment, out: &mut Vec<Effect>) {
        if self.lease.holds(now) || planted!(NakAfterDeadline) {
            if self.may_nak || planted!(NakAfterDeadline) {
                out.push(Effect::Nak(delay));
            } else if !self.is_running() {
                out.push(Effect::LetGo(self.lease.deadline()));
            }
        }
        self.end(out);
    }

    /// Ends a run that was told to stop. Nobody else runs it before its lease ends, unless the
    /// leader hears of it; while its handler still runs here, the leader must not.
    fn abandon(&mut self, out: &mut Vec<Effect>) {
        let is_running = self.is_running() && !planted!(LetGoBesideHandler);
        if let Some(until) = self.lost_until.filter(|_| !is_running) {
            out.push(Effect::LetGo(until));
        }
        self.end(out);
    }

    fn end(&mut self, out: &mut Vec<Effect>) {
        self.stage = Stage::Over;
        match self.handler {
            Handler::Idle | Handler::Gone => {
                self.handler = Handler::Gone;
                out.push(Effect::Forget);
            }
            Handler::Alive { .. } => {}
        }
    }

    fn asks<'a>(&'a mut self, now: Moment, out: &'a mut Vec<Effect>) -> Asks<'a> {
        Asks {
            now,
            count: &mut self.asks,
            out,
        }
    }
}

fn failed(code: &str, text: &str) -> Vec<u8> {
    Outcome::ended(Status::Failed, OutcomeError::new(code, text)).to_body()
}

/// How long a delivery waits that this worker cannot take, by how often it was handed out.
#[must_use]
pub fn pass_on_delay(count: u64) -> Duration {
    let doublings = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
    UNKNOWN_KIND_DELAY
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(UNKNOWN_KIND_DELAY_MAX)
}
