//! `coordinator jobs`: what became of a job, its changes as they come, and a request to cancel it.

use futures::StreamExt;
use protocol::id::{JobId, QueueName};
use protocol::message::{JobPhase, JobView};
use worker_sdk::{Client, ClientError};

use super::exit::{Exit, Failure};
use super::output::printable;
use super::{Global, Session, outcome};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum JobsCommand {
    /// Show a job: where it stands, and its result once it has ended.
    Get(Job),
    /// Print each change of a job until it has ended.
    Watch(Job),
    /// Ask to cancel a job: no further attempt is made, and a running one is told.
    Cancel(Job),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Job {
    /// The queue.
    queue: QueueName,
    /// The job's id, as it was submitted.
    id: String,
}

impl JobsCommand {
    /// Which job.
    pub(super) fn job(&self) -> Result<(QueueName, JobId), Failure> {
        let (Self::Get(job) | Self::Watch(job) | Self::Cancel(job)) = self;
        let id = JobId::from_raw(&job.id);
        let id = id.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        Ok((job.queue.clone(), id))
    }
}

pub(crate) async fn jobs(global: Global, command: JobsCommand) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let client = Client::with_broker(session.broker.clone());
    match &command {
        JobsCommand::Get(job) => get(&session, &client, job).await,
        JobsCommand::Watch(job) => watch(&session, &client, job).await,
        JobsCommand::Cancel(job) => cancel(&session, &client, job).await,
    }
}

async fn get(session: &Session, client: &Client, job: &Job) -> Result<Exit, Failure> {
    match client.status(job.queue.as_str(), &job.id).await? {
        Some(view) => {
            session.output.data(&view, || page(&view))?;
            Ok(Exit::Done)
        }
        None => Err(Failure::new(
            Exit::NotFound,
            format!("the ledger has no job {:?} in queue {}", job.id, job.queue),
        )),
    }
}

async fn watch(session: &Session, client: &Client, job: &Job) -> Result<Exit, Failure> {
    let mut changes = Box::pin(client.watch(job.queue.as_str(), &job.id));
    let mut seen = None;
    while let Some(change) = changes.next().await {
        match change {
            Ok(view) => {
                session.output.data(&view, || line(&view))?;
                seen = Some(view.phase);
            }
            // Once a coordinator has answered, others may come and go.
            Err(error) if error.is_retryable() && seen.is_some() => {
                session.output.note(&format!("{error}; still trying"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seen.map_or(Exit::Failed, outcome::exit))
}

async fn cancel(session: &Session, client: &Client, job: &Job) -> Result<Exit, Failure> {
    let view = client.cancel(job.queue.as_str(), &job.id).await?;
    session.output.data(&view, || line(&view))?;
    match view.phase {
        JobPhase::Completed | JobPhase::Expired | JobPhase::Discarded => Err(Failure::new(
            Exit::Conflict,
            format!("it has ended before: {}", view.phase.as_str()),
        )),
        _ => Ok(Exit::Done),
    }
}

/// One change in a line.
fn line(view: &JobView) -> String {
    let mut out = format!(
        "{} {} {}, attempt {}",
        view.queue,
        view.id,
        view.phase.as_str(),
        attempts(view)
    );
    if let Some(due) = view.due.filter(|_| !view.phase.is_final()) {
        out = format!("{out}, due {due}");
    }
    if view.cancel_requested {
        out.push_str(", cancel requested");
    }
    match (&view.outcome, &view.error) {
        (Some(ended), _) => format!("{out}: {}", outcome::text(ended)),
        (None, Some(error)) => format!("{out}: {} {}", error.code, error.message),
        (None, None) => out,
    }
}

fn attempts(view: &JobView) -> String {
    let of = view
        .max_attempts
        .map_or_else(String::new, |count| format!(" of {count}"));
    format!("{}{of}", view.attempt.get())
}

/// All that is known of a job, a line each, whatever it holds.
#[must_use]
pub fn page(view: &JobView) -> String {
    printable(&describe(view))
}

fn describe(view: &JobView) -> String {
    let mut rows = vec![
        ("queue", view.queue.to_string()),
        ("id", view.id.clone()),
        ("state", view.phase.as_str().to_owned()),
        (
            "accepted",
            format!("number {} at {}", view.accepted.get(), view.accepted_at),
        ),
    ];
    let optional = [
        ("kind", view.kind.as_ref().map(ToString::to_string)),
        ("key", view.key.as_ref().map(ToString::to_string)),
        ("attempts", Some(attempts(view))),
        ("due", view.due.map(|due| due.to_string())),
        (
            "cancel",
            view.cancel_requested.then(|| "requested".to_owned()),
        ),
        (
            "error",
            view.error
                .as_ref()
                .map(|error| format!("{}: {}", error.code, error.message)),
        ),
        ("outcome", view.outcome.as_ref().map(outcome::text)),
    ];
    rows.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let lines: Vec<String> = rows
        .into_iter()
        .map(|(name, value)| format!("{name:<9} {value}"))
        .collect();
    lines.join("\n")
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Name(_) => Exit::Usage,
            ClientError::UnknownJob { .. } => Exit::NotFound,
            ClientError::NotYet { .. } => Exit::StillRunning,
            ClientError::Rejected { code, .. } if code.starts_with("unknown-") => Exit::NotFound,
            error if error.is_retryable() => Exit::Unreachable,
            ClientError::Rejected { .. } => Exit::Conflict,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}
