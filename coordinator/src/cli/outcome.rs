//! How a job ended, in print and as an exit code.

use protocol::message::JobPhase;
use protocol::outcome::{Outcome, Status};

use super::exit::{Exit, Failure};
use super::output::Output;

/// Prints the outcome of a job that has ended.
pub(crate) fn tell(output: Output, outcome: &Outcome) -> Result<Exit, Failure> {
    output.data(outcome, || text(outcome))?;
    Ok(match outcome.status {
        Status::Completed => Exit::Done,
        Status::Cancelled => Exit::JobCancelled,
        Status::Failed | Status::Expired | Status::Discarded => Exit::JobDead,
    })
}

/// The outcome in a line: its status and its result, or why.
pub(crate) fn text(outcome: &Outcome) -> String {
    let status = match outcome.status {
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Expired => "expired",
        Status::Discarded => "discarded",
    };
    match (&outcome.error, outcome.result.is_null()) {
        (Some(error), _) => format!("{status} {}: {}", error.code, error.message),
        (None, false) => format!("{status} {}", outcome.result),
        (None, true) => status.to_owned(),
    }
}

/// What a watcher of the job ends with.
pub(crate) const fn exit(phase: JobPhase) -> Exit {
    match phase {
        JobPhase::Completed => Exit::Done,
        JobPhase::Cancelled => Exit::JobCancelled,
        JobPhase::Expired | JobPhase::Discarded => Exit::JobDead,
        JobPhase::Unconfigured
        | JobPhase::Parked
        | JobPhase::Scheduled
        | JobPhase::Available
        | JobPhase::Dispatched
        | JobPhase::Retryable => Exit::StillRunning,
    }
}
