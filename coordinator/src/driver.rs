//! The one loop: takes the next event, lets the rules decide, carries out what they say from the
//! top. It decides nothing about a job.

use std::sync::Arc;
use std::time::Duration;

use election::boot_now;
use election::{Election, Event as Leadership};
use futures::StreamExt;
use nats_config::Broker;
use protocol::coordinator::{Coordinator, Event};
use protocol::effects::{Effects, Stop};
use protocol::leadership::Moment;
use protocol::ledger::Record;
use protocol::number::{Accepted, Epoch, Sequence};
use protocol::subject::LedgerSubject;
use protocol::time::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::connection_watch::{ConnectionWatch, Link};
use crate::drift_watch::{self, DriftWatch};
use crate::follower::Entry;
use crate::inputs::{Done, Inputs, UnderWay};
use crate::ledger_watch::{self, LedgerWatch};
use crate::payloads::Payloads;
use crate::perform;
use crate::presence;
use crate::questions::Question;
use crate::steps::Identity;
use crate::work_queue::WorkQueue;
use crate::write_watch::WriteWatch;

/// A takeover whose ledger makes no progress for this long gets a new consumer.
const NO_PROGRESS: Duration = Duration::from_secs(1);
/// A host's clock that is further off the broker's is told to the operator.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(1);
/// The longest wait for an event.
const IDLE_MAX: Duration = Duration::from_millis(500);

/// The loop and what it owns.
pub(crate) struct Driver {
    pub(crate) broker: Broker,
    pub(crate) me: Identity,
    pub(crate) rules: Coordinator,
    pub(crate) clock: Clock,
    pub(crate) payloads: Payloads,
    pub(crate) work: WorkQueue,
    pub(crate) under_way: UnderWay,
    pub(crate) election: Arc<Election>,
    pub(crate) inputs: Inputs,
    /// The last record that was folded, for who waits for one.
    pub(crate) folded: watch::Sender<Sequence>,
    /// It stands for leadership once it has folded up to here.
    pub(crate) stand_at: Option<Sequence>,
    /// For so long it leaves a leadership to others that it was asked to give up.
    pub(crate) stand_back: Duration,
    pub(crate) progress: Moment,
    pub(crate) watch: LedgerWatch,
    pub(crate) drift: DriftWatch,
    pub(crate) writes: WriteWatch,
    pub(crate) alarms: Vec<String>,
    /// What workers said that no rule of ours made.
    pub(crate) unread_says: u64,
    pub(crate) connection: ConnectionWatch,
}

/// What the loop woke up for.
enum Woke {
    Shutdown,
    Leadership(Option<Leadership>),
    Answer(Option<(u64, protocol::answer::Answer)>),
    Done(Done),
    Entries(Option<Vec<Entry>>),
    Said(Option<async_nats::Message>),
    Question(Option<Question>),
    Timer,
}

impl Driver {
    /// Runs until `shutdown`, or until the rules stop it.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Option<Stop> {
        // An empty ledger has no record to wait for.
        self.stand();
        self.heed_connection().await;
        loop {
            self.election.alive();
            let wait = self.wait();
            let woke = tokio::select! {
                biased;
                () = shutdown.cancelled() => Woke::Shutdown,
                event = self.inputs.elections.next() => Woke::Leadership(event),
                answer = self.work.next() => Woke::Answer(answer),
                Some(done) = self.under_way.next(), if !self.under_way.is_empty() => Woke::Done(done),
                entries = self.inputs.entries.recv() => Woke::Entries(entries),
                message = self.inputs.says.next() => Woke::Said(message),
                question = self.inputs.questions.recv() => Woke::Question(question),
                () = tokio::time::sleep(wait) => Woke::Timer,
            };
            self.heed_connection().await;
            match woke {
                Woke::Shutdown
                | Woke::Leadership(None)
                | Woke::Entries(None)
                | Woke::Said(None) => {
                    perform::leave(&mut self).await;
                    return None;
                }
                Woke::Leadership(Some(event)) => self.leadership(&event).await,
                Woke::Answer(answer) => self.answers(answer).await,
                Woke::Done(done) => self.done(done).await,
                Woke::Entries(Some(entries)) => self.entries(entries).await,
                Woke::Said(Some(message)) => match presence::said(&message) {
                    Some(says) => self.event(Event::Said(says)).await,
                    None => self.unread_says += 1,
                },
                Woke::Question(Some(question)) => self.answer(question),
                Woke::Question(None) => {}
                Woke::Timer => self.event(Event::Tick).await,
            }
            let ledger = self.rules.ledger();
            let ahead = self.work.take_ahead();
            self.payloads.keep_ahead(ahead, |job| ledger.is_open(job));
            self.work.write().await;
            self.look_around().await;
            if let Some(stop) = self.rules.stopped() {
                return Some(stop.clone());
            }
        }
    }

    fn wait(&self) -> Duration {
        let now = self.clock.now();
        let wake = self
            .rules
            .wake_at(now)
            .map_or(IDLE_MAX, |at| self.clock.until(at));
        // A timer has a grain of 1 ms; zero would spin until the millisecond has passed.
        wake.clamp(Duration::from_millis(1), IDLE_MAX)
    }

    /// One event: decide at once, then carry out.
    pub(crate) fn event(&mut self, event: Event<'_>) -> impl Future<Output = ()> + Send {
        let effects = self.rules.handle(self.clock.now(), event);
        self.perform(effects)
    }

    async fn perform(&mut self, effects: Effects) {
        if !effects.is_empty() {
            perform::perform(self, effects).await;
        }
    }

    async fn leadership(&mut self, event: &Leadership) {
        tracing::info!(?event, "leadership");
        fail_point!("coordinator.election-heard");
        match event {
            Leadership::Acquired { epoch } => self.event(Event::Won(*epoch)).await,
            Leadership::Suspended { .. } => self.event(Event::Suspended).await,
            Leadership::Resumed { .. } => self.event(Event::Resumed).await,
            Leadership::Released { .. } | Leadership::Lost { .. } => self.event(Event::Lost).await,
            Leadership::StepDownAsked { .. } => perform::step_down(self).await,
            Leadership::Candidate | Leadership::LeaderChanged(_) => {}
        }
    }

    /// An answer to a dispatch, and all that are there already.
    async fn answers(&mut self, first: Option<(u64, protocol::answer::Answer)>) {
        let mut next = first;
        while let Some((tag, answer)) = next {
            self.writes.wrote(boot_now(), &answer);
            self.event(Event::Dispatched { tag, answer }).await;
            next = self.work.try_next();
        }
    }

    async fn entries(&mut self, entries: Vec<Entry>) {
        self.progress = boot_now();
        fail_point!("coordinator.fold-before");
        for entry in entries {
            let effects = self.fold(&entry);
            self.perform(effects).await;
        }
        self.folded
            .send_replace(self.rules.ledger().last_sequence());
        self.stand();
    }

    fn fold(&mut self, entry: &Entry) -> Effects {
        let headers = entry.headers.as_ref();
        let header = |name: &str| nats_config::header(headers?, name);
        let record = Record {
            sequence: entry.sequence,
            time: entry.time,
            subject: entry.subject.as_str(),
            header: &header,
            payload: &entry.payload,
        };
        let subject = self.broker.subjects().parse_ledger(&entry.subject);
        if let LedgerSubject::Epoch(epoch) = subject {
            self.set_clock(epoch, entry.time);
        }
        let now = self.clock.now();
        let effects = self.rules.handle(now, Event::Record(&record));
        // Before anything is written: what was just decided may need it.
        match subject {
            LedgerSubject::Submit { .. } => {
                let accepted = Accepted::from(entry.sequence);
                self.payloads.keep(accepted, headers, &entry.payload);
            }
            LedgerSubject::Outcome(name) => drop(self.payloads.take(name.accepted)),
            LedgerSubject::Control { .. }
            | LedgerSubject::Config { .. }
            | LedgerSubject::Epoch(_)
            | LedgerSubject::Unknown => {}
        }
        effects
    }

    /// A barrier is there. Our own was stored since it was asked for: that tells the broker's time.
    fn set_clock(&mut self, epoch: Epoch, stored: Timestamp) {
        self.election.raise_floor(epoch);
        let off = self.clock.hears(epoch, stored);
        if off > CLOCK_OFF_MAX {
            let text = format!("this host's clock was {off:?} off the broker's");
            tracing::warn!("{text}");
            self.alarm(text);
        }
    }

    /// Before anything is decided: what was said before this connection was made is not known.
    async fn heed_connection(&mut self) {
        match self.connection.look(self.broker.client()) {
            Some(Link::New) => {
                presence::call_roll(&self.broker).await;
                self.event(Event::Connected).await;
            }
            Some(Link::Gone) => self.event(Event::Disconnected).await,
            None => {}
        }
    }

    /// Stands for leadership once it is a hot standby.
    fn stand(&mut self) {
        let folded = self.rules.ledger().last_sequence();
        if self.stand_at.is_some_and(|at| folded >= at) {
            self.stand_at = None;
            tracing::info!(%folded, "caught up with the ledger: standing for leadership");
            fail_point!("coordinator.election-campaign");
            self.election.campaign();
        }
    }

    /// What is due by the clock of the hands: overdue answers, a stuck consumer, the door.
    async fn look_around(&mut self) {
        while let Some((tag, answer)) = self.work.overdue() {
            self.writes.wrote(boot_now(), &answer);
            self.event(Event::Dispatched { tag, answer }).await;
        }
        while let Some((tag, why)) = self.work.unsendable() {
            self.event(Event::Unsendable { tag, why }).await;
            let ledger = self.rules.ledger();
            let ahead = self.work.take_ahead();
            self.payloads.keep_ahead(ahead, |job| ledger.is_open(job));
            self.work.write().await;
        }
        let now = boot_now();
        if self.rules.is_catching_up() && now.since(self.progress) >= NO_PROGRESS {
            self.progress = now;
            // A full channel means that it is being rebuilt already.
            if self.inputs.rebuild.try_send(()).is_err() {
                tracing::debug!("the ledger's consumer is being made anew already");
            }
        }
        ledger_watch::look(self, now);
        drift_watch::look(self, now);
        self.look_at_writes(now);
    }
}
