//! The exit codes, and failures that carry one. docs/cli.md lists them; a test compares.

use std::io::Write;
use std::process::ExitCode;

use nats_config::ReadError;
use nats_config::connection::ConnectError;

use crate::RunError;
use crate::dev::DevError;
use crate::queue_record::QueueRecordError;
use crate::roll_call::RollCallError;
use crate::settings::SettingsError;
use crate::verify::VerifyError;

use super::output::printable;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; with `--wait`, the job completed.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// A conflict, or refused.
    Conflict = 4,
    /// Nobody to ask, or no answer in time: the same command may succeed later.
    Unreachable = 5,
    /// The job ended without success: it is a dead letter, or its time had passed.
    JobDead = 10,
    /// The job was cancelled.
    JobCancelled = 11,
    /// The job has not ended.
    StillRunning = 12,
    /// Bad configuration.
    Config = 78,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// With this code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// With the code of all that went wrong in a way of its own.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Says it on stderr and gives the code to end with.
    #[must_use]
    pub fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            let message = printable(&self.message);
            let said = writeln!(std::io::stderr(), "coordinator: {message}");
            // Nobody listens any more; the code still says it.
            drop(said);
        }
        self.exit.into()
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match &error {
            ConnectError::Setting { .. } | ConnectError::Tls { .. } => Exit::Config,
            ConnectError::Unreachable { .. } => Exit::Unreachable,
            ConnectError::Unauthorized { .. } => Exit::Conflict,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::new(Exit::Config, error.to_string())
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::new(of_read(&error), error.to_string())
    }
}

fn of_read(error: &ReadError) -> Exit {
    match error {
        ReadError::NoResponders { .. }
        | ReadError::Unanswered { .. }
        | ReadError::Unavailable { .. }
        | ReadError::NoStream { .. } => Exit::Unreachable,
        ReadError::Refused { .. } => Exit::Conflict,
        ReadError::Unreadable { .. } => Exit::Failed,
    }
}

impl From<QueueRecordError> for Failure {
    fn from(error: QueueRecordError) -> Self {
        let exit = match &error {
            QueueRecordError::Read(read) => of_read(read),
            QueueRecordError::Taken { .. } | QueueRecordError::Refused { .. } => Exit::Conflict,
            QueueRecordError::Later { .. } => Exit::Unreachable,
            QueueRecordError::Invalid { .. } => Exit::Usage,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        let exit = match &error {
            VerifyError::Read { source, .. } => of_read(source),
            VerifyError::Stalled { .. } => Exit::Unreachable,
            VerifyError::TooMuchWork { .. } => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<RollCallError> for Failure {
    fn from(error: RollCallError) -> Self {
        Self::new(Exit::Unreachable, error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let message = error.to_string();
        match error {
            RunError::Connect(error) => error.into(),
            RunError::Provision(error) if error.is_retryable() => {
                Self::new(Exit::Unreachable, message)
            }
            // What must exist is altered, absent or not allowed: an operator has to act.
            RunError::Provision(_) | RunError::Setting(_) => Self::new(Exit::Config, message),
            RunError::Election(_) | RunError::Subscribe { .. } | RunError::Stopped(_) => {
                Self::failed(message)
            }
        }
    }
}

impl From<DevError> for Failure {
    fn from(error: DevError) -> Self {
        let message = error.to_string();
        match error {
            DevError::Connect(error) => error.into(),
            DevError::Queue(error) => error.into(),
            DevError::NoNatsServer { .. } => Self::new(Exit::Config, message),
            DevError::FolderInUse(_) => Self::new(Exit::Conflict, message),
            DevError::NotReady { .. } | DevError::RollCall(_) => {
                Self::new(Exit::Unreachable, message)
            }
            DevError::Files { .. }
            | DevError::Spawn { .. }
            | DevError::NoProcess(_)
            | DevError::Signal { .. } => Self::failed(message),
        }
    }
}

impl From<std::io::Error> for Failure {
    /// Writing to stdout failed: whoever read it has gone.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::failed(String::new());
        }
        Self::failed(format!("write to stdout: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_page_lists_every_code() {
        let page = include_str!("../../../docs/cli.md");
        let listed: Vec<u8> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
            .collect();
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Conflict,
            Exit::Unreachable,
            Exit::JobDead,
            Exit::JobCancelled,
            Exit::StillRunning,
            Exit::Config,
            Exit::Interrupted,
        ];
        assert_eq!(listed, codes.map(|exit| exit as u8));
    }
}
