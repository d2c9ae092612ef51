//! Work that only one process does at a time: the public face. What follows from what is decided in
//! `protocol::singleton` and `protocol::leadership`, and carried out in `engine`.

mod engine;
mod serving;
mod tenure;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use election::{
    DeadManError, Detection, ElectionConfig, Event, Leader, LeaseTimings, Mode, Provision,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use nats_config::Names;
use protocol::id::{NameError, Namespace};
use protocol::number::Epoch;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::identity::{Identity, IdentityError, IdentityProvider};
use crate::opening::host_name;
use crate::place::{Place, ServersError};
use crate::scope::Scope;

pub use serving::{Call, ServeError};
pub use tenure::Tenure;

pub(crate) use serving::Calls;

/// How long work may take to end when it is told to and the lease lasts, unless the program says
/// otherwise.
pub const END_WITHIN_DEFAULT: Duration = Duration::from_secs(30);
const COMMANDS_MAX: usize = 16;

/// The work: called once a run, on the runtime that started the singleton.
pub(crate) type Work = Arc<dyn Fn(Tenure) -> BoxFuture<'static, ()> + Send + Sync>;

/// A singleton that is being put together.
#[must_use = "a singleton does nothing before it is started"]
pub struct SingletonBuilder {
    place: Place,
    mode: Mode,
    timings: LeaseTimings,
    replicas: usize,
    provision: Provision,
    wind_up: Option<Duration>,
    end_within: Duration,
    progress_within: Option<Duration>,
    rank: u16,
    events: Option<mpsc::Sender<Event>>,
}

impl fmt::Debug for SingletonBuilder {
    /// Without the connection options: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingletonBuilder")
            .field("place", &self.place)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Why a singleton did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SingletonError {
    /// Its name is none.
    #[error("start a singleton: {0}")]
    Name(#[from] NameError),
    /// Nobody knows who this process is.
    #[error("start a singleton: {0}")]
    Identity(#[from] IdentityError),
    /// The servers' addresses are none.
    #[error("start a singleton: {0}")]
    Servers(#[from] ServersError),
    /// A renewal that is a little late would end the work.
    #[error(
        "start a singleton: wind-up must be above zero, and renew + 2 x request + wind-up below lease - margin"
    )]
    WindUp,
    /// A strict singleton needs a timer that can kill this process.
    #[error("start a strict singleton: {0}")]
    DeadMan(#[from] DeadManError),
    /// The election did not begin.
    #[error("start a singleton: {0}")]
    Election(#[from] election::StartError),
    /// Not called on a tokio runtime.
    #[error("start a singleton: there is no tokio runtime here to run its work on")]
    NoRuntime,
    /// The singleton's own thread did not start.
    #[error("start a singleton: make its own thread: {0}")]
    Thread(#[source] std::io::Error),
    /// Its thread ended before it was ready.
    #[error("start a singleton: its own thread ended")]
    Ended,
}

/// How a singleton ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SingletonEnd {
    /// The work has ended and the lease was given back, or was another's: the next one begins at once.
    Released,
    /// The work has ended, but the broker did not answer: the next one waits the lease out.
    Unreleased,
    /// The work did not end when it was told to. It may go on as long as this process lives, beside
    /// the next one if the singleton is fenced: end the process.
    StillWorking,
}

/// A process's part in a singleton. Dropped, it stops as [`Singleton::stop`] does, with nobody
/// waiting for it.
#[derive(Debug)]
pub struct Singleton {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<SingletonStatus>,
    ended: watch::Receiver<Option<SingletonEnd>>,
}

/// What a process sees of a singleton.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SingletonStatus {
    /// The epoch under which this process works; none if it does not.
    pub working: Option<Epoch>,
    /// Whom the record names.
    pub leader: Option<Leader>,
}

pub(crate) enum Command {
    Stop,
    StepDown,
}

impl Singleton {
    /// Only one process of each group does this at a time. `name` is 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub fn in_group(name: &str) -> SingletonBuilder {
        SingletonBuilder::new(name, Scope::Group)
    }

    /// Only one process of all that share a broker and a namespace does this at a time.
    pub fn global(name: &str) -> SingletonBuilder {
        SingletonBuilder::new(name, Scope::Global)
    }

    /// What this process sees now.
    #[must_use]
    pub fn status(&self) -> SingletonStatus {
        self.status.borrow().clone()
    }

    /// What this process sees, and its changes; intermediate ones may be skipped.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<SingletonStatus> {
        self.status.clone()
    }

    /// Lets another process work: ends the work here, gives the lease back, and stands again a lease
    /// later. Nothing to do is no error.
    pub async fn step_down(&self) {
        // An error says that it has ended.
        if self.commands.send(Command::StepDown).await.is_err() {
            tracing::debug!("the singleton has ended before it stepped down");
        }
    }

    /// Stops in good order: tells the work to end, gives the lease back when it has, and says how it
    /// went.
    pub async fn stop(mut self) -> SingletonEnd {
        if self.commands.send(Command::Stop).await.is_err() {
            tracing::debug!("the singleton has ended before it was stopped");
        }
        self.wait().await
    }

    /// Waits until the work has returned by itself, or `shutdown` is ready; then stops.
    pub async fn run_until(mut self, shutdown: impl Future) -> SingletonEnd {
        tokio::select! {
            _ = shutdown => self.stop().await,
            ended = self.wait() => ended,
        }
    }

    async fn wait(&mut self) -> SingletonEnd {
        match self.ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.unwrap_or(SingletonEnd::StillWorking),
            // The thread is gone without a word: it panicked. Nothing is known of the work.
            Err(_closed) => SingletonEnd::StillWorking,
        }
    }
}

/// What the engine is made of.
pub(crate) struct Setup {
    pub(crate) config: ElectionConfig,
    pub(crate) work: Work,
    pub(crate) calls: Arc<Calls>,
    pub(crate) user: Handle,
    pub(crate) wind_up: Duration,
    pub(crate) end_within: Duration,
    pub(crate) events: Option<mpsc::Sender<Event>>,
}

impl SingletonBuilder {
    fn new(name: &str, scope: Scope) -> Self {
        Self {
            place: Place::new(name, scope),
            mode: Mode::Strict,
            timings: LeaseTimings::stable(),
            replicas: 1,
            provision: Provision::CreateIfMissing,
            wind_up: None,
            end_within: END_WITHIN_DEFAULT,
            progress_within: None,
            rank: 0,
            events: None,
        }
    }

    /// The brokers: one address, or several with commas between. Default `nats://127.0.0.1:4222`.
    pub fn servers(mut self, servers: &str) -> Self {
        servers.clone_into(&mut self.place.servers);
        self
    }

    /// Credentials, TLS and so on, made anew for each connection.
    pub fn connect(mut self, options: impl Fn() -> ConnectOptions + Send + Sync + 'static) -> Self {
        self.place.connect = Arc::new(options);
        self
    }

    /// The namespace of the installation; default `jobs`.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.place.namespace = namespace;
        self
    }

    /// Another bucket than `<namespace>_singletons`. All processes of a singleton must name the same.
    pub fn bucket(mut self, bucket: &str) -> Self {
        self.place.bucket = Some(bucket.to_owned());
        self
    }

    /// Who this process is; default: what the environment says.
    pub fn identity(mut self, provider: impl IdentityProvider + Send + 'static) -> Self {
        self.place.identity = Box::new(provider);
        self
    }

    /// Never two at once: a lease that is not renewed is waited out, and a timer of the kernel kills
    /// this process if its work outlasts the lease, also when it is stopped. The default. Not for
    /// process 1 of a container: see [`run_below_init`](crate::run_below_init).
    ///
    /// It holds as long as the clocks of the hosts run at about the same rate (half a per cent), and
    /// for what this process itself does. What it has sent may still arrive later: hand out
    /// [`Tenure::token`].
    pub const fn strict(mut self) -> Self {
        self.mode = Mode::Strict;
        self
    }

    /// The next one begins within about a tenth of a second after a crash. A process that was only
    /// stopped or cut off may work on beside it for a while: only for work all of whose effects go to
    /// systems that refuse a token below the highest they have seen.
    pub const fn fenced(mut self) -> Self {
        self.mode = Mode::Fenced;
        self
    }

    /// Lease, renewal, request and margin; default [`LeaseTimings::stable`], with which a broker
    /// that crashes moves nothing.
    pub const fn timings(mut self, timings: LeaseTimings) -> Self {
        self.timings = timings;
        self
    }

    /// The least number of replicas of the bucket, and how many it is made with; default 1. Use 3
    /// wherever there are three brokers.
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Whether the bucket may be made at the start; default yes.
    pub const fn provision(mut self, provision: Provision) -> Self {
        self.provision = provision;
        self
    }

    /// How long before its right to act ends the work is told to end; default twice the margin.
    pub const fn wind_up(mut self, wind_up: Duration) -> Self {
        self.wind_up = Some(wind_up);
        self
    }

    /// How long work that was told to end may take while the lease lasts, before it is aborted at its
    /// next `.await` and, if the singleton is strict, the process is killed; default
    /// [`END_WITHIN_DEFAULT`].
    pub const fn end_within(mut self, within: Duration) -> Self {
        self.end_within = within;
        self
    }

    /// Work that has not called [`Tenure::alive`] for that long is ended, and another process has its
    /// chance. Default: it need not.
    pub const fn progress_within(mut self, within: Duration) -> Self {
        self.progress_within = Some(within);
        self
    }

    /// Who bids first when nobody works: 0, the default, before 1 and so on. It never displaces
    /// anybody who works.
    pub const fn rank(mut self, rank: u16) -> Self {
        self.rank = rank;
        self
    }

    /// Tells each event of the election here, in order, from the start on, none left out. A channel
    /// that is full is waited for, and the lease is not renewed meanwhile: read it, or drop its end.
    pub fn report_to(mut self, events: mpsc::Sender<Event>) -> Self {
        self.events = Some(events);
        self
    }

    /// Connects, and stands. The work is called when this process is the one, and again each time
    /// that it is; it must return soon after [`Tenure::cancelled`]. Work that returns by itself is done:
    /// the lease is given back and the singleton ends here. Work that panics has its process step
    /// down.
    ///
    /// The lease is kept by a thread of its own, whatever the work does.
    ///
    /// # Errors
    /// A name or a time is wrong, the broker or its bucket cannot be used, this is process 1 and the
    /// singleton strict, or there is no tokio runtime here.
    pub async fn start<Fut>(
        self,
        work: impl Fn(Tenure) -> Fut + Send + Sync + 'static,
    ) -> Result<Singleton, SingletonError>
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let user = Handle::try_current().map_err(|_| SingletonError::NoRuntime)?;
        let identity = self.place.identity.identity()?;
        let setup = Setup {
            config: self.election(&identity)?,
            calls: Arc::new(Calls::new(&self.place, self.place.key(identity.group())?)),
            work: Arc::new(move |tenure| work(tenure).boxed()),
            user,
            wind_up: self.checked_wind_up()?,
            end_within: self.end_within,
            events: self.events,
        };
        launch(setup).await
    }

    fn election(&self, identity: &Identity) -> Result<ElectionConfig, SingletonError> {
        let key = self.place.key(identity.group())?.to_string();
        let mut config = ElectionConfig::new(
            self.place.broker()?,
            &self.place.bucket(Names::singletons_bucket),
            &key,
        );
        identity.node().clone_into(&mut config.holder);
        config.host = host_name();
        config.mode = self.mode;
        config.timings = self.timings;
        config.replicas = self.replicas;
        config.provision = self.provision;
        config.progress_within = self.progress_within;
        config.detection = Detection {
            rank: self.rank,
            ..Detection::default()
        };
        Ok(config)
    }

    fn checked_wind_up(&self) -> Result<Duration, SingletonError> {
        let wind_up = self.wind_up.unwrap_or(self.timings.margin * 2);
        let renewal = self.timings.renew + self.timings.request * 2;
        if wind_up.is_zero() || renewal + wind_up >= self.timings.trust() {
            return Err(SingletonError::WindUp);
        }
        Ok(wind_up)
    }
}

async fn launch(setup: Setup) -> Result<Singleton, SingletonError> {
    let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
    let (status_in, status) = watch::channel(SingletonStatus::default());
    let (ended_in, ended) = watch::channel(None);
    let (ready, is_ready) = oneshot::channel();
    let ends = engine::Ends {
        commands: commands_out,
        status: status_in,
    };
    let live = move || engine::live(setup, ends, ready);
    crate::own_thread::run("singleton", live, ended_in).map_err(SingletonError::Thread)?;
    is_ready.await.unwrap_or(Err(SingletonError::Ended))?;
    Ok(Singleton {
        commands,
        status,
        ended,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Singleton, SingletonBuilder, SingletonError};
    use crate::identity::Identity;

    fn key(builder: &SingletonBuilder, group: &str) -> Result<String, SingletonError> {
        let identity = Identity::new("node-a", group)?;
        Ok(builder.election(&identity)?.key)
    }

    #[test]
    fn the_group_is_part_of_the_key_unless_it_is_global() {
        for group in ["eu", "us"] {
            let grouped = key(&Singleton::in_group("report"), group).expect("a key");
            assert_eq!(grouped, format!("group.{group}.report"));
            let global = key(&Singleton::global("report"), group).expect("a key");
            assert_eq!(global, "global.report");
        }
        let dotted = key(&Singleton::in_group("eu.report"), "eu");
        assert!(matches!(dotted, Err(SingletonError::Name(_))), "{dotted:?}");
    }

    #[test]
    fn a_wind_up_must_leave_room_for_a_renewal() {
        // Of the trusted 14 s, a renewal and its repeat may take 5.
        let wind_up = |seconds| {
            let builder = Singleton::in_group("report").wind_up(Duration::from_secs(seconds));
            builder.checked_wind_up()
        };
        assert_eq!(wind_up(8).ok(), Some(Duration::from_secs(8)));
        for refused in [0, 9, 60] {
            let refused = wind_up(refused);
            assert!(
                matches!(refused, Err(SingletonError::WindUp)),
                "{refused:?}"
            );
        }
    }
}
