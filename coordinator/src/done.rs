//! What was under way on the driver's behalf and is done, as events for the rules, and what is told
//! of the broker's answers to writes. It decides nothing about a job.

use election::boot_now;
use futures::{FutureExt, StreamExt};
use protocol::coordinator::{Event, Ground};
use protocol::leadership::Moment;
use protocol::number::Epoch;

use crate::drift_watch;
use crate::driver::Driver;
use crate::inputs::Done;
use crate::ledger_watch::{self, LedgerAnswer};
use crate::steps::Taken;

impl Driver {
    pub(crate) async fn done(&mut self, done: Done) {
        let mut next = Some(done);
        while let Some(done) = next {
            match done {
                Done::Step(epoch, taken) => self.step(epoch, taken).await,
                Done::Advanced(Ok(epoch)) => self.event(Event::Won(epoch)).await,
                Done::Advanced(Err(error)) => {
                    tracing::info!(%error, "no new epoch");
                    self.event(Event::NotAdvanced).await;
                }
                Done::Wrote(accepted, answer) => {
                    self.writes.wrote(boot_now(), &answer);
                    self.event(Event::Wrote { accepted, answer }).await
                }
                Done::Ponged(worker, pong) => self.event(Event::Ponged(worker, pong)).await,
                Done::Reread(accepted, payload) => {
                    let payload = &payload;
                    self.event(Event::Reread { accepted, payload }).await;
                }
                Done::Ledger(answer) => self.ledger_answered(answer).await,
                Done::Probed(answer) => self.writes.probed(boot_now(), &answer),
                Done::Unanswered(why) => self.watch.unanswered(boot_now(), why),
                Done::NoLedger if self.watch.is_gone(boot_now()) => {
                    self.event(Event::Ground(Ground::LedgerGone)).await;
                }
                Done::NoLedger => {}
                Done::LookedOver(found) => {
                    if let Some(ground) = drift_watch::looked_over(self, found) {
                        self.event(Event::Ground(ground)).await;
                    }
                }
                Done::WorkMade => self.event(Event::Ground(Ground::WorkMade)).await,
                Done::Consumer(queue, trouble) => self.drift.tended(&queue, trouble),
                Done::StandAgain => self.election.campaign(),
                Done::Nothing => {}
            }
            next = self.under_way.next().now_or_never().flatten();
        }
    }

    async fn ledger_answered(&mut self, answer: LedgerAnswer) {
        let LedgerAnswer {
            usage,
            is_open,
            facts,
            then,
            server,
        } = answer;
        self.watch.answered(boot_now(), server);
        self.event(Event::Usage(vec![usage], Some(is_open))).await;
        self.event(Event::LedgerSeen { facts, then }).await;
    }

    async fn step(&mut self, epoch: Epoch, taken: Taken) {
        if let Taken::Fenced(answer) | Taken::Barred(answer) = &taken {
            self.writes.wrote(boot_now(), answer);
        }
        let event = match taken {
            Taken::Looked(tail, ledger) => Event::Looked {
                epoch,
                tail,
                ledger,
            },
            Taken::Fenced(answer) => Event::Fenced(epoch, answer),
            Taken::Listed(listing) => Event::Listed(epoch, listing),
            Taken::Barred(answer) => Event::Barred(epoch, answer),
            Taken::Audited(listing, last) => Event::Audited(epoch, listing, last),
        };
        self.progress = boot_now();
        self.event(event).await;
    }

    /// What an operator should know of the broker's answers to writes.
    pub(crate) fn write_alarm(&self, now: Moment) -> Option<String> {
        self.writes.alarm(now, self.watch.reader(now)?)
    }

    /// Counts the lease's writes, tells an alarm once, and asks a quiet ledger whether it takes writes.
    pub(crate) fn look_at_writes(&mut self, now: Moment) {
        if self.writes.is_due(now) {
            self.writes.lease(now, &self.election.snapshot().tally);
            let alarm = self.write_alarm(now);
            self.writes.tell(alarm.as_deref());
            if let Some(epoch) = self.rules.epoch().filter(|_| self.rules.is_leading())
                && self.writes.is_probe_due(now, self.progress)
            {
                let probe = ledger_watch::probe(self.broker.clone(), self.me.clone(), epoch);
                self.under_way.push(probe.boxed());
            }
        }
    }
}
