//! `coordinator submit`: one job, and if asked for, its outcome.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use protocol::id::{JobId, Key, Kind, QueueName};
use protocol::message::SubmitAnswer;
use protocol::submission::Priority;
use protocol::time::Timestamp;
use serde::Serialize;
use worker_sdk::{Client, SubmitError, SubmitRequest, Submitted};

use super::exit::{Exit, Failure};
use super::{Global, Session, outcome};

/// How long a bare `--wait` waits: longer than any job may run.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// The largest payload that is read at all; the server says what it takes.
const PAYLOAD_LEN_MAX: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct SubmitArguments {
    /// The queue.
    queue: QueueName,
    /// What you call the job: any text of 1 to 256 bytes. Accepted once for each queue.
    id: String,
    /// The payload; @FILE reads a file, @@ begins a text with @, - reads stdin [default: empty].
    payload: Option<String>,
    /// Which handler runs it [default: what the queue says].
    #[arg(long)]
    kind: Option<Kind>,
    /// What no other job of may run at the same time [default: what the queue says].
    #[arg(long)]
    key: Option<Key>,
    /// Its place among others that are due: 0 (first) to 9 [default: 5].
    #[arg(long, value_name = "0-9", value_parser = priority)]
    priority: Option<Priority>,
    /// Not before this time, RFC 3339 such as 2026-11-22T08:30:00Z.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    run_at: Option<Timestamp>,
    /// Not started after this time, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    expires_at: Option<Timestamp>,
    /// The longest run of one attempt, up to 7 days [default: what the queue says].
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    job_timeout: Option<Duration>,
    /// How many attempts may fail, 1 to 1000 [default: what the queue says].
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// Wait until the job has ended, at most this long if a span is given (--wait=30s).
    #[arg(long, value_name = "SPAN", num_args = 0..=1, require_equals = true, value_parser = humantime::parse_duration)]
    wait: Option<Option<Duration>>,
    /// Ask a coordinator to check and write it, for users who may not write the ledger.
    #[arg(long)]
    front_door: bool,
}

fn priority(text: &str) -> Result<Priority, String> {
    let number: Option<u8> = text.parse().ok();
    number
        .and_then(Priority::new)
        .ok_or_else(|| "it must be 0 (first) to 9".to_owned())
}

#[derive(Serialize)]
struct Answered<'a> {
    queue: &'a QueueName,
    id: &'a str,
    #[serde(flatten)]
    answer: SubmitAnswer,
}

pub(crate) async fn submit(global: Global, arguments: SubmitArguments) -> Result<Exit, Failure> {
    let (raw, wait, front_door) = (arguments.id.clone(), arguments.wait, arguments.front_door);
    let payload = payload(arguments.payload.as_deref())?;
    let request = bare(&arguments)?.payload(payload);
    let (queue, id) = (request.queue().clone(), request.id().clone());
    let session = Session::open(global).await?;
    let client = Client::with_broker(session.broker.clone());
    let door = match front_door {
        true => client.front_door(),
        false => client.clone(),
    };
    let submitted = door.submit_raw(request).await?;
    let exit = tell(&session, &queue, &id, &submitted)?;
    let is_ours = !matches!(submitted, Submitted::Conflict { .. });
    match wait {
        Some(patience) if is_ours => {
            let patience = patience.unwrap_or(WAIT_MAX);
            let ended = client.wait(queue.as_str(), &raw, patience).await?;
            outcome::tell(session.output, &ended)
        }
        Some(_) | None => Ok(exit),
    }
}

/// The job without its payload, which may have to be read from somewhere.
pub(super) fn bare(arguments: &SubmitArguments) -> Result<SubmitRequest, SubmitError> {
    let mut request = SubmitRequest::new(arguments.queue.as_str(), &arguments.id)?;
    if let Some(kind) = &arguments.kind {
        request = request.kind(kind.as_str())?;
    }
    if let Some(key) = &arguments.key {
        request = request.key(key.as_str())?;
    }
    if let Some(priority) = arguments.priority {
        request = request.priority(priority);
    }
    if let Some(at) = arguments.run_at {
        request = request.run_at(at);
    }
    if let Some(at) = arguments.expires_at {
        request = request.expires_at(at);
    }
    if let Some(timeout) = arguments.job_timeout {
        request = request.timeout(timeout);
    }
    if let Some(count) = arguments.max_attempts {
        request = request.max_attempts(count);
    }
    Ok(request)
}

fn payload(given: Option<&str>) -> Result<Vec<u8>, Failure> {
    let unreadable = |what: &str, error: std::io::Error| {
        let message = format!("the payload cannot be read from {what}: {error}");
        Failure::new(Exit::Usage, message)
    };
    match given {
        None => Ok(Vec::new()),
        Some("-") => {
            if std::io::stdin().is_terminal() {
                return Err(Failure::new(
                    Exit::Usage,
                    "the payload `-` is read from stdin, which is a terminal: pipe it in, or give it as an argument or as @FILE",
                ));
            }
            read(std::io::stdin().lock()).map_err(|error| unreadable("stdin", error))
        }
        Some(text) => match text.strip_prefix('@') {
            Some(literal) if literal.starts_with('@') => Ok(literal.as_bytes().to_vec()),
            Some(path) => std::fs::File::open(path)
                .and_then(read)
                .map_err(|error| unreadable(path, error)),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

/// Reads up to the limit and a byte, which the server's own limit then refuses.
fn read(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(PAYLOAD_LEN_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn tell(
    session: &Session,
    queue: &QueueName,
    id: &JobId,
    submitted: &Submitted,
) -> Result<Exit, Failure> {
    let accepted = submitted.accepted();
    let number = accepted.get();
    let (answer, text, exit) = match submitted {
        Submitted::Accepted { .. } => (
            SubmitAnswer::Accepted { accepted },
            format!("accepted {queue} {id} as number {number}"),
            Exit::Done,
        ),
        Submitted::Duplicate { .. } => (
            SubmitAnswer::Duplicate { accepted },
            format!(
                "duplicate {queue} {id}: the same job was accepted before, as number {number}; nothing was written"
            ),
            Exit::Conflict,
        ),
        Submitted::Conflict { differs, .. } => (
            SubmitAnswer::Conflict {
                accepted,
                differs: differs.clone(),
            },
            format!(
                "conflict {queue} {id}: another job was accepted under this id before, as number {number}, which differs in {differs}; nothing was written"
            ),
            Exit::Conflict,
        ),
    };
    let answered = Answered {
        queue,
        id: id.as_encoded(),
        answer,
    };
    session.output.data(&answered, || text)?;
    Ok(exit)
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        let exit = match &error {
            SubmitError::Name(_) | SubmitError::Submission(_) | SubmitError::Encode(_) => {
                Exit::Usage
            }
            SubmitError::Rejected { code, .. } if code == "unknown-queue" => Exit::NotFound,
            error if error.is_retryable() => Exit::Unreachable,
            _ => Exit::Conflict,
        };
        Self::new(exit, error.to_string())
    }
}
