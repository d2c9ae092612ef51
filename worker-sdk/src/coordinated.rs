//! Work that is shared out among processes: the public face. Who holds what is decided in
//! `protocol::crew`, and carried out in `engine`.

mod bucket;
mod builder;
mod contact;
mod engine;
mod keys;
mod link;
mod runs;
mod share;
mod watch;

use std::future::Future;

use election::DeadManError;
use protocol::crew::{Grant, RulesError, Sharing};
use protocol::id::NameError;
use protocol::number::Sequence;
use tokio::sync::{oneshot, watch as channel};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::identity::IdentityError;
use crate::place::ServersError;
use contact::OpenError;

pub use builder::{AGAIN_AFTER_DEFAULT, CoordinatedBuilder};
pub use share::{NotHeld, Share};

/// Why a process did not join a crew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinatedError {
    /// The crew's name is none.
    #[error("join a crew: {0}")]
    Name(#[from] NameError),
    /// Nobody knows who this process is.
    #[error("join a crew: {0}")]
    Identity(#[from] IdentityError),
    /// The servers' addresses are none.
    #[error("join a crew: {0}")]
    Servers(#[from] ServersError),
    /// The times do not fit together, or the number of partitions cannot be.
    #[error("join a crew: {0}")]
    Rules(#[from] RulesError),
    /// By then a member is given up.
    #[error("join a crew: end_within must be no longer than the lease")]
    EndWithin,
    /// A strict member needs a timer that can kill this process.
    #[error("join a crew as strict: {0}")]
    DeadMan(#[from] DeadManError),
    /// No server is reached, or it is too old.
    #[error("join a crew: {0}")]
    Connect(#[from] election::ConnectError),
    /// The bucket cannot be used.
    #[error("join a crew: {0}")]
    Bucket(#[from] election::BucketError),
    /// The election of the planner did not begin.
    #[error("join a crew: elect its planner: {0}")]
    Election(#[from] election::StartError),
    /// Not called on a tokio runtime.
    #[error("join a crew: there is no tokio runtime here to run its work on")]
    NoRuntime,
    /// The member's own thread did not start.
    #[error("join a crew: make its own thread: {0}")]
    Thread(#[source] std::io::Error),
    /// Its thread ended before it was ready.
    #[error("join a crew: its own thread ended")]
    Ended,
}

impl From<OpenError> for CoordinatedError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Connect(error) => Self::Connect(error),
            OpenError::Bucket(error) => Self::Bucket(error),
        }
    }
}

/// How a process's part in a crew ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinatedEnd {
    /// All work has ended and the others know: they take over at once.
    Left,
    /// All work has ended, but the broker did not answer: the others wait the lease out.
    Unsaid,
    /// Work did not end when it was told to. It may go on as long as this process lives, beside that of
    /// the next holder if the crew is fenced: end the process.
    StillWorking,
}

/// A process's part in a crew. Dropped, it leaves as by [`Coordinated::stop`], with nobody waiting for
/// it.
#[derive(Debug)]
pub struct Coordinated {
    stop: DropGuard,
    status: channel::Receiver<CrewStatus>,
    ended: channel::Receiver<Option<CoordinatedEnd>>,
}

/// What a process sees of its crew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CrewStatus {
    /// Whether this process is in the crew and may hold shares now.
    pub member: bool,
    /// The shares that it holds now, in the order of their numbers.
    pub shares: Vec<Grant>,
    /// How many members the newest plan gives shares to.
    pub members: u32,
    /// The revision of that plan; 0 before the first.
    pub plan: Sequence,
    /// Why that plan cannot be obeyed, if it cannot: nothing is held until there is another.
    pub unusable: Option<String>,
    /// What is wrong with the connection or the bucket, if anything is.
    pub trouble: Option<String>,
}

impl Coordinated {
    /// Shares so many fixed partitions, 1 to 1024, out among all processes that are here; the choice for
    /// most. Who comes or goes pauses only the partitions that move. All members must name the same
    /// count. `name` is 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub fn partitions(name: &str, count: u32) -> CoordinatedBuilder {
        CoordinatedBuilder::new(name, Sharing::Partitions(count))
    }

    /// Gives each process that is here an index i of n, from 0, without gaps. Who comes or goes ends a
    /// generation: all members stop their work before the next one begins, with another n.
    pub fn index(name: &str) -> CoordinatedBuilder {
        CoordinatedBuilder::new(name, Sharing::Index)
    }

    /// What this process sees now.
    #[must_use]
    pub fn status(&self) -> CrewStatus {
        self.status.borrow().clone()
    }

    /// What this process sees, and its changes; intermediate ones may be skipped.
    #[must_use]
    pub fn watch(&self) -> channel::Receiver<CrewStatus> {
        self.status.clone()
    }

    /// Leaves in good order: tells all work to end, says so to the others when it has, and says how it
    /// went.
    pub async fn stop(self) -> CoordinatedEnd {
        let Self {
            stop,
            status: _,
            mut ended,
        } = self;
        drop(stop);
        match ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.unwrap_or(CoordinatedEnd::StillWorking),
            // The thread is gone without a word: it panicked. Nothing is known of the work.
            Err(_closed) => CoordinatedEnd::StillWorking,
        }
    }

    /// Waits until `shutdown` is ready; then leaves.
    pub async fn run_until(self, shutdown: impl Future) -> CoordinatedEnd {
        shutdown.await;
        self.stop().await
    }
}

async fn launch(setup: engine::Setup) -> Result<Coordinated, CoordinatedError> {
    let stop = CancellationToken::new();
    let (status_in, status) = channel::channel(CrewStatus::default());
    let (ended_in, ended) = channel::channel(None);
    let (ready, is_ready) = oneshot::channel();
    let ends = engine::Ends {
        stop: stop.clone(),
        status: status_in,
    };
    let live = move || engine::live(setup, ends, ready);
    crate::own_thread::run("crew", live, ended_in).map_err(CoordinatedError::Thread)?;
    let stop = stop.drop_guard();
    is_ready.await.unwrap_or(Err(CoordinatedError::Ended))?;
    Ok(Coordinated {
        stop,
        status,
        ended,
    })
}
