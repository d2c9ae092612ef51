//! What a program holds of an election: wishes in, events and permits out. Never blocks the election.

use std::sync::Arc;

use protocol::leadership::{
    AdvanceRefused, Contest, Identity, Incarnation, Leader, Notice, ResignRefused, Rules, Standing,
    Tally,
};
use protocol::number::Epoch;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bucket::{Bucket, BucketError};
use crate::clock::{boot_now, wall_now};
use crate::config::{ConfigError, ElectionConfig};
use crate::connecting::{ConnectError, connect, verify};
use crate::driver::{Driver, Ends};
use crate::link::Link;
use crate::permit::{Permit, Progress, Trust};

/// Events that may wait for the program. When as many wait, the election itself waits: it renews no
/// more, so a program that has stopped listening loses its lease.
pub const EVENTS_MAX: usize = 64;

const COMMANDS_MAX: usize = 16;

/// The election could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used: correct it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No usable connection: it may be tried again, unless the server is too old.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No usable bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl StartError {
    /// Whether the same start may succeed later, with nobody changing anything.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Connect(ConnectError::Unreachable { .. })
            | Self::Bucket(BucketError::Unanswered { .. }) => true,
            Self::Config(_) | Self::Connect(ConnectError::TooOld { .. }) | Self::Bucket(_) => false,
        }
    }
}

/// No new epoch was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceError {
    /// The rules refused, or the leadership ended.
    #[error(transparent)]
    Refused(#[from] AdvanceRefused),
    /// The election has ended.
    #[error("take a new epoch: the election has ended")]
    Ended,
}

/// The lease was not given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResignError {
    /// The leadership ended otherwise, or no answer came within a lease.
    #[error(transparent)]
    Refused(#[from] ResignRefused),
    /// The election has ended.
    #[error("release the lease: the election has ended")]
    Ended,
}

/// The state of an election as this process sees it. Read without waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What this process is.
    pub standing: Standing,
    /// Whom the record names.
    pub leader: Option<Leader>,
    /// Whether there is a connection on which the bucket was found fit.
    pub connected: bool,
    /// What keeps the election from working, if anything does.
    pub trouble: Option<String>,
    /// Counts since the start.
    pub tally: Tally,
}

/// What the program wants of the election, as long as it wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wishes {
    pub(crate) campaign: bool,
    pub(crate) floor: Epoch,
}

/// What the program asks once.
#[derive(Debug)]
pub(crate) enum Command {
    Advance(Epoch, oneshot::Sender<Result<Epoch, AdvanceRefused>>),
    Resign(oneshot::Sender<Result<(), ResignRefused>>),
}

/// The events of an election, in order, none left out.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Notice>,
}

impl Events {
    /// The next event; `None` when the election has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Notice> {
        self.receiver.recv().await
    }
}

/// One process's part in one election. Dropping it ends it at once, without a release.
#[derive(Debug)]
pub struct Election {
    incarnation: Incarnation,
    trust: Arc<Trust>,
    progress: Arc<Progress>,
    state: watch::Receiver<Snapshot>,
    wishes: watch::Sender<Wishes>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    /// Owns the loop: dropped, it ends the loop.
    _tasks: JoinSet<()>,
}

impl Election {
    /// Connects, checks server and bucket, and begins to watch. Stands from
    /// [`campaign`](Self::campaign) on.
    ///
    /// Read the events, or drop them: unread ones stop the election, see [`EVENTS_MAX`].
    ///
    /// # Errors
    /// The configuration, the server or the bucket cannot be used, or no server is reached.
    pub async fn start(config: ElectionConfig) -> Result<(Self, Events), StartError> {
        config.validate()?;
        let incarnation =
            Incarnation::try_from(nuid::next().to_string()).expect("a nuid is letters and digits");
        let (link, turn) = first_link(&config, &incarnation).await?;
        let bucket = verify(link.client.clone(), config.clone(), config.provision).await?;
        let contest = Contest::new(rules(&config, &bucket), identity(&config, &incarnation))
            .map_err(ConfigError::from)?;

        let (state, state_out) = watch::channel(Snapshot {
            standing: contest.standing(),
            leader: None,
            connected: false,
            trouble: None,
            tally: contest.tally(),
        });
        let (wishes, wishes_out) = watch::channel(Wishes::default());
        let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let stop = CancellationToken::new();
        let trust = Arc::new(Trust::default());
        let progress = Arc::new(Progress::default());
        let ends = Ends {
            trust: Arc::clone(&trust),
            progress: Arc::clone(&progress),
            state,
            events,
            wishes: wishes_out,
            commands: commands_out,
            stop: stop.clone(),
        };
        let driver = Driver::new(
            config,
            (incarnation.clone(), contest),
            (link, turn, bucket),
            ends,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        let election = Self {
            incarnation,
            trust,
            progress,
            state: state_out,
            wishes,
            commands,
            stop,
            _tasks: tasks,
        };
        Ok((election, Events { receiver }))
    }

    /// Which life of this process takes part.
    #[must_use]
    pub const fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Says that the program's own loop does what it should. Where
    /// [`progress_within`](ElectionConfig::progress_within) is set, whoever has not said so for that
    /// long neither takes over nor renews: as a leader it loses its permits at once, gives the lease
    /// back if it is fenced and lets it run out if it is strict. It stands again as soon as it says
    /// so again. Costs next to nothing: call it where the work gets done, leading or not.
    pub fn alive(&self) {
        self.progress.note(boot_now());
    }

    /// Stands for election from now on.
    pub fn campaign(&self) {
        self.wishes.send_modify(|wishes| wishes.campaign = true);
    }

    /// Stands no longer. A leader goes on leading: see [`resign`](Self::resign).
    pub fn withdraw(&self) {
        self.wishes.send_modify(|wishes| wishes.campaign = false);
    }

    /// Says that epochs up to this one are used up, as records elsewhere show: the next leadership
    /// of this process is above it.
    pub fn raise_floor(&self, floor: Epoch) {
        self.wishes
            .send_modify(|wishes| wishes.floor = wishes.floor.max(floor));
    }

    /// As leader, takes a new epoch above `floor` and above the own one, by compare-and-set on the
    /// own record. Permits of the old epoch end when it is stored. If the caller gives up waiting,
    /// the new epoch may be taken all the same.
    ///
    /// # Errors
    /// This process does not lead, or leads no longer.
    pub async fn advance(&self, floor: Epoch) -> Result<Epoch, AdvanceError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Advance(floor, reply);
        self.commands
            .send(command)
            .await
            .map_err(|_| AdvanceError::Ended)?;
        Ok(answer.await.map_err(|_| AdvanceError::Ended)??)
    }

    /// Gives the lease back, after the caller has stopped what it did as leader, and stands no
    /// longer. All permits end at once; the next leader may begin at once. Nothing to do is no
    /// error.
    ///
    /// # Errors
    /// The leadership was over, or the broker did not answer within a lease: others wait it out.
    pub async fn resign(&self) -> Result<(), ResignError> {
        self.withdraw();
        let (reply, answer) = oneshot::channel();
        let command = Command::Resign(reply);
        self.commands
            .send(command)
            .await
            .map_err(|_| ResignError::Ended)?;
        Ok(answer.await.map_err(|_| ResignError::Ended)??)
    }

    /// Ends the election: gives a held lease back if the broker answers within two requests' time,
    /// and closes the connection. Stop the work of the leader before.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut state = self.state.clone();
        // The loop drops its end of the channel when it has ended.
        while state.changed().await.is_ok() {}
    }

    /// The state as of now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.state.borrow().clone()
    }

    /// The state and its changes; intermediate ones may be skipped.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.state.clone()
    }

    /// The permit of one epoch: take a new one after each `Acquired`, `Resumed` and
    /// [`advance`](Self::advance).
    #[must_use]
    pub fn permit(&self, epoch: Epoch) -> Permit {
        Permit::new(Arc::clone(&self.trust), epoch, self.state.clone())
    }
}

/// Tries each server once; says whose turn it was.
async fn first_link(
    config: &ElectionConfig,
    incarnation: &Incarnation,
) -> Result<(Link, usize), ConnectError> {
    let tries = config.broker.turns().await;
    let mut turn = 0;
    loop {
        let link = connect(config.clone(), incarnation.clone(), turn).await;
        if link.is_ok() || turn + 1 >= tries {
            return link.map(|link| (link, turn));
        }
        turn += 1;
    }
}

fn rules(config: &ElectionConfig, bucket: &Bucket) -> Rules {
    Rules {
        timings: config.timings,
        mode: config.mode,
        lease_max: bucket.lease_max,
        detection: config.detection,
        progress_within: config.progress_within,
    }
}

fn identity(config: &ElectionConfig, incarnation: &Incarnation) -> Identity {
    Identity {
        holder: config.holder.clone(),
        incarnation: incarnation.clone(),
        host: config.host.clone(),
        started: (boot_now(), wall_now()),
    }
}
