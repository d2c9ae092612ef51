//! The one loop of a singleton: picks what happens next, gives it to the rules, and carries out what
//! follows from the top. It decides nothing itself. The work runs on the user's runtime.

use std::sync::Arc;
use std::time::Duration;

use election::{
    AdvanceError, DeadMan, Election, ElectionConfig, Event, Events, LostReason, Mode, ResignError,
    Snapshot, boot_now,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::number::Epoch;
use protocol::singleton::{Effect, Input, RevokeReason, Singleton as Rules, SingletonRules};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Calls, Command, Setup, SingletonEnd, SingletonError, SingletonStatus, Tenure, Work};
use crate::under_way::under_way;

/// The longest sleep: on a clock that stands still in suspension, a timer may be late by that.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);
/// How often a process whose work must report progress says that it is well while it waits: so often
/// in the time that it has for one report.
const REPORTS_IN_TIME: u32 = 4;

/// The ends of the channels to the program.
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) status: watch::Sender<SingletonStatus>,
}

/// What happened next.
enum Turn {
    State,
    Event(Event),
    /// The election has ended: its thread is this one, so only we end it.
    NoEvents,
    Ended(Result<(), JoinError>),
    Command(Option<Command>),
    Resigned(Result<(), ResignError>),
    Advanced(Result<Epoch, AdvanceError>),
    Tick,
}

struct Engine {
    rules: Rules,
    election: Arc<Election>,
    state: watch::Receiver<Snapshot>,
    elected: Events,
    ends: Ends,
    /// In strict mode only. It lives on this thread.
    dead_man: Option<DeadMan>,
    work: Work,
    calls: Arc<Calls>,
    user: Handle,
    runs: JoinSet<()>,
    cancelled: CancellationToken,
    resigning: Option<BoxFuture<'static, Result<(), ResignError>>>,
    advancing: Option<BoxFuture<'static, Result<Epoch, AdvanceError>>>,
    /// Where the program wants to be told.
    events: Option<mpsc::Sender<Event>>,
    released: SingletonEnd,
    stopping: bool,
    finished: bool,
    name: String,
}

/// The life of the singleton's thread. `None`: it did not begin.
pub(crate) async fn live(
    setup: Setup,
    ends: Ends,
    ready: oneshot::Sender<Result<(), SingletonError>>,
) -> Option<SingletonEnd> {
    let told = |told: Result<(), SingletonError>| {
        if let Err(Err(error)) = ready.send(told) {
            tracing::warn!(%error, "nobody waits for the singleton any more");
        }
    };
    match Engine::begin(setup, ends).await {
        Ok(engine) => {
            told(Ok(()));
            Some(engine.run().await)
        }
        Err(error) => {
            told(Err(error));
            None
        }
    }
}

fn rules(config: &ElectionConfig, wind_up: Duration, end_within: Duration) -> SingletonRules {
    let progress = config.progress_within.unwrap_or(SLEEP_MAX);
    SingletonRules {
        wind_up,
        end_within,
        stand_back: config.timings.lease,
        alive_every: progress / REPORTS_IN_TIME,
    }
}

impl Engine {
    async fn begin(setup: Setup, ends: Ends) -> Result<Self, SingletonError> {
        let Setup {
            config,
            work,
            calls,
            user,
            wind_up,
            end_within,
            events,
        } = setup;
        let dead_man = match config.mode {
            Mode::Strict => Some(DeadMan::new()?),
            Mode::Fenced => None,
        };
        let rules = rules(&config, wind_up, end_within);
        let name = config.key.clone();
        let (election, elected) = Election::start(config).await?;
        Ok(Self {
            rules: Rules::new(rules, boot_now()),
            state: election.watch(),
            election: Arc::new(election),
            elected,
            ends,
            dead_man,
            work,
            calls,
            user,
            runs: JoinSet::new(),
            cancelled: CancellationToken::new(),
            resigning: None,
            advancing: None,
            events,
            released: SingletonEnd::Released,
            stopping: false,
            finished: false,
            name,
        })
    }

    async fn run(mut self) -> SingletonEnd {
        self.give(Input::Tick);
        while !self.finished {
            match self.next().await {
                Turn::State => self.look(),
                Turn::Event(event) => self.take_event(event).await,
                Turn::NoEvents => break,
                Turn::Ended(ended) => self.take_end(&ended),
                Turn::Command(Some(Command::StepDown)) => self.give(Input::StepDown),
                // Whoever drops its end wants it stopped.
                Turn::Command(Some(Command::Stop) | None) => {
                    self.stopping = true;
                    self.give(Input::Stop);
                }
                Turn::Resigned(resigned) => self.take_resigned(&resigned),
                Turn::Advanced(advanced) => {
                    if let Err(error) = advanced {
                        tracing::info!(name = self.name, %error, "no new epoch");
                    }
                    self.look();
                }
                Turn::Tick => self.give(Input::Tick),
            }
        }
        if self.released != SingletonEnd::StillWorking {
            self.election.stop().await;
        }
        self.released
    }

    async fn next(&mut self) -> Turn {
        let sleep = self.rules.wake_at().since(boot_now()).min(SLEEP_MAX);
        let stopping = self.stopping;
        tokio::select! {
            biased;
            Ok(()) = self.state.changed() => Turn::State,
            event = self.elected.next() => event.map_or(Turn::NoEvents, Turn::Event),
            Some(ended) = self.runs.join_next() => Turn::Ended(ended),
            resigned = under_way(self.resigning.as_mut()) => {
                self.resigning = None;
                Turn::Resigned(resigned)
            }
            advanced = under_way(self.advancing.as_mut()) => {
                self.advancing = None;
                Turn::Advanced(advanced)
            }
            command = self.ends.commands.recv(), if !stopping => Turn::Command(command),
            () = tokio::time::sleep(sleep) => Turn::Tick,
        }
    }

    fn look(&mut self) {
        let snapshot = self.state.borrow_and_update().clone();
        self.give(Input::Standing(snapshot.standing));
        self.ends.status.send_if_modified(|status| {
            let changed = status.leader != snapshot.leader;
            status.leader.clone_from(&snapshot.leader);
            changed
        });
    }

    async fn take_event(&mut self, event: Event) {
        let stalled = matches!(
            &event,
            Event::Lost {
                reason: LostReason::Stalled,
                ..
            }
        );
        if stalled {
            self.give(Input::Stalled);
        }
        if matches!(&event, Event::StepDownAsked { .. }) {
            self.give(Input::StepDown);
        }
        if let Some(events) = &self.events
            && events.send(event).await.is_err()
        {
            self.events = None;
        }
        self.look();
    }

    fn take_end(&mut self, ended: &Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(name = self.name, %error, "the work panicked: stepping down");
            self.give(Input::StepDown);
        }
        self.set_working(None);
        self.give(Input::Ended);
    }

    fn take_resigned(&mut self, resigned: &Result<(), ResignError>) {
        if let Err(error) = resigned {
            tracing::info!(name = self.name, %error, "the lease is left to run out");
            self.released = SingletonEnd::Unreleased;
        }
        self.give(Input::Resigned);
    }

    fn give(&mut self, input: Input) {
        for effect in self.rules.handle(boot_now(), input) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Guard(at) => {
                if let Some(dead_man) = &mut self.dead_man {
                    dead_man.arm(at);
                }
            }
            Effect::Unguard => {
                if let Some(dead_man) = &mut self.dead_man {
                    dead_man.disarm();
                }
            }
            Effect::Start(epoch) => self.start(epoch),
            Effect::Revoke(why) => self.revoke(why),
            Effect::Abort => self.runs.abort_all(),
            Effect::GiveUp => self.give_up(),
            Effect::Advance(epoch) => {
                let election = Arc::clone(&self.election);
                self.advancing = Some(async move { election.advance(epoch).await }.boxed());
            }
            Effect::Campaign => self.election.campaign(),
            Effect::Resign => {
                let election = Arc::clone(&self.election);
                self.resigning = Some(async move { election.resign().await }.boxed());
            }
            Effect::Alive => self.election.alive(),
            Effect::Finished => self.finished = true,
        }
    }

    fn start(&mut self, epoch: Epoch) {
        self.cancelled = CancellationToken::new();
        let permit = self.election.permit(epoch);
        let tenure = Tenure::new(
            permit,
            self.cancelled.clone(),
            Arc::clone(&self.election),
            Arc::clone(&self.calls),
        );
        tracing::info!(name = self.name, %epoch, "the work begins");
        self.election.alive();
        self.set_working(Some(epoch));
        self.runs.spawn_on((self.work)(tenure), &self.user);
    }

    fn revoke(&mut self, why: RevokeReason) {
        tracing::info!(name = self.name, ?why, "the work must end");
        self.cancelled.cancel();
    }

    /// Work that was aborted and still runs holds a thread of the user's: it cannot be ended from
    /// here. The lease is left to run out, and the program told.
    fn give_up(&mut self) {
        tracing::error!(name = self.name, "the work does not end: ending without it");
        if let Some(dead_man) = &mut self.dead_man {
            // Nobody else may begin beside it.
            dead_man.arm(boot_now());
        }
        self.released = SingletonEnd::StillWorking;
        self.finished = true;
    }

    fn set_working(&self, working: Option<Epoch>) {
        self.ends
            .status
            .send_modify(|status| status.working = working);
    }
}
