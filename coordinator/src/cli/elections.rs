//! `coordinator elections`: who holds what, and what an operator may do about it.

use std::time::Duration;

use protocol::leadership::LeaseState;
use protocol::number::{Epoch, Sequence};
use protocol::time::Timestamp;
use protocol::workers::Pong;
use serde::Serialize;

use crate::elections::{self, ActError, Seen};

use super::exit::{Exit, Failure};
use super::output::table;
use super::{Global, Session};

#[derive(Debug, clap::Args)]
pub(crate) struct ElectionsArguments {
    /// Those of the namespace's singletons instead of the coordinators'.
    #[arg(long, global = true, conflicts_with = "bucket")]
    singletons: bool,
    /// Those of this bucket.
    #[arg(long, global = true)]
    bucket: Option<String>,
    #[command(subcommand)]
    command: ElectionsCommand,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ElectionsCommand {
    /// List the coordinators' election, or those of singletons.
    Ls,
    /// Show one; ends with 3 if nobody holds it.
    Show {
        /// Its key, as `ls` shows it.
        election: String,
    },
    /// Ask the holder to end its work and hand over, and wait until it has. It stands again a lease
    /// later.
    StepDown {
        /// Its key, as `ls` shows it.
        election: String,
        /// Only if it is held in this epoch.
        #[arg(long)]
        epoch: Option<u64>,
        /// How long to wait.
        #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = humantime::parse_duration)]
        within: Duration,
    },
    /// Take the lease away from a holder that does not answer. A strict election waits a whole lease
    /// before the next one begins.
    Evict {
        /// Its key, as `ls` shows it.
        election: String,
        /// The epoch that `show` told: nothing is done if it is another by now.
        #[arg(long)]
        epoch: u64,
    },
}

/// One election, for people and programs.
#[derive(Serialize)]
struct Row<'a> {
    bucket: &'a str,
    key: &'a str,
    revision: Sequence,
    written: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_ms: Option<u64>,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pulse: Option<&'static str>,
}

impl<'a> Row<'a> {
    fn new(seen: &'a Seen, pulse: Option<Pong>) -> Self {
        let record = seen.record.as_ref().ok();
        let state = match &seen.record {
            Ok(record) => match record.state {
                LeaseState::Held => "held",
                LeaseState::Released => "released",
            },
            Err(why) => why,
        };
        Self {
            bucket: &seen.bucket,
            key: &seen.key,
            revision: seen.revision,
            written: seen.written,
            holder: record.map(|record| record.holder.as_str()),
            incarnation: record.map(|record| record.incarnation.as_str()),
            host: record.map(|record| record.host.as_str()),
            epoch: record.map(|record| record.epoch),
            since: record.map(|record| record.acquired),
            lease_ms: record.map(|record| record.lease_ms),
            state,
            pulse: pulse.map(|pong| match pong {
                Pong::Answered => "answers",
                Pong::NoResponders => "nobody",
                Pong::Silent => "silent",
            }),
        }
    }

    fn cells(&self) -> Vec<String> {
        let text = |value: Option<String>| value.unwrap_or_default();
        let lease = self.lease_ms.map(Duration::from_millis);
        vec![
            format!("{}/{}", self.bucket, self.key),
            text(self.holder.map(str::to_owned)),
            text(self.host.map(str::to_owned)),
            text(self.epoch.map(|epoch| epoch.get().to_string())),
            self.state.to_owned(),
            text(self.since.map(|since| since.to_string())),
            self.written.to_string(),
            text(lease.map(|lease| humantime::format_duration(lease).to_string())),
            text(self.pulse.map(str::to_owned)),
        ]
    }
}

const HEADINGS: [&str; 9] = [
    "election", "holder", "host", "epoch", "state", "since", "written", "lease", "ping",
];

fn page(rows: &[Row<'_>]) -> String {
    let mut out = table(&HEADINGS);
    for row in rows {
        out.add_row(row.cells());
    }
    out.to_string()
}

pub(crate) async fn elections(
    global: Global,
    arguments: ElectionsArguments,
) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    let names = session.broker.names();
    let bucket = match arguments.bucket {
        Some(bucket) => bucket,
        None if arguments.singletons => names.singletons_bucket().to_owned(),
        None => names.leader_bucket().to_owned(),
    };
    match arguments.command {
        ElectionsCommand::Ls => list(&session, &bucket).await,
        ElectionsCommand::Show { election } => {
            let seen = find(&session, &bucket, &election).await?;
            show(&session, &seen).await?;
            Ok(seen.held().map_or(Exit::NotFound, |_| Exit::Done))
        }
        ElectionsCommand::StepDown {
            election,
            epoch,
            within,
        } => {
            let seen = find(&session, &bucket, &election).await?;
            same_epoch(&seen, epoch)?;
            let now = elections::step_down(&session.broker, &seen, within).await?;
            show(&session, &now).await?;
            Ok(Exit::Done)
        }
        ElectionsCommand::Evict { election, epoch } => {
            let seen = find(&session, &bucket, &election).await?;
            same_epoch(&seen, Some(epoch))?;
            elections::evict(&session.broker, &seen, "operator").await?;
            let now = find(&session, &bucket, &election).await?;
            show(&session, &now).await?;
            Ok(Exit::Done)
        }
    }
}

async fn list(session: &Session, bucket: &str) -> Result<Exit, Failure> {
    let seen = elections::all(&session.broker, bucket).await?;
    let mut rows = Vec::new();
    for seen in &seen {
        rows.push(Row::new(seen, pulse(session, seen).await));
    }
    session.output.data(&rows, || {
        if rows.is_empty() {
            return format!("no elections: nobody stood in bucket {bucket} lately");
        }
        page(&rows)
    })?;
    Ok(Exit::Done)
}

async fn pulse(session: &Session, seen: &Seen) -> Option<Pong> {
    match seen.held() {
        Some(record) => Some(elections::ping(&session.broker, seen, record).await),
        None => None,
    }
}

async fn show(session: &Session, seen: &Seen) -> Result<(), Failure> {
    let row = Row::new(seen, pulse(session, seen).await);
    session
        .output
        .data(&row, || page(std::slice::from_ref(&row)))
}

/// The election that is meant.
async fn find(session: &Session, bucket: &str, key: &str) -> Result<Seen, Failure> {
    let one = elections::one(&session.broker, bucket, key).await?;
    one.ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            format!(
                "there is no election {key} in bucket {bucket}: look at `coordinator elections ls`, with --singletons for those of singletons"
            ),
        )
    })
}

fn same_epoch(seen: &Seen, epoch: Option<u64>) -> Result<(), Failure> {
    let Some(epoch) = epoch.map(Epoch::new) else {
        return Ok(());
    };
    let held = seen.held().map(|record| record.epoch);
    if held == Some(epoch) {
        return Ok(());
    }
    let now = held.map_or("held by nobody".to_owned(), |held| {
        format!("in epoch {}", held.get())
    });
    Err(Failure::new(
        Exit::Conflict,
        format!(
            "{}/{} is {now}, not in epoch {}: nothing was done",
            seen.bucket,
            seen.key,
            epoch.get()
        ),
    ))
}

impl From<ActError> for Failure {
    fn from(error: ActError) -> Self {
        let exit = match &error {
            ActError::NotHeld(_) => Exit::NotFound,
            ActError::Changed(_) | ActError::Refused(_) => Exit::Conflict,
            ActError::Unreachable(_) => Exit::Unreachable,
        };
        Self::new(exit, error.to_string())
    }
}
