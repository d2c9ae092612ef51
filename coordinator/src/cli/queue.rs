//! `coordinator queue`: configurations as records of the ledger.

use crate::queue_record::{self, QueueRecord};
use protocol::config::{ConfigError, QueueConfig};
use protocol::id::QueueName;
use protocol::number::{Revision, Sequence};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output::table;
use super::queue_fields::QueueFields;
use super::{Global, Session};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum QueueCommand {
    /// Make a queue.
    Add {
        /// Its name: 1 to 64 of A-Z a-z 0-9 _ -.
        queue: QueueName,
        #[command(flatten)]
        fields: Box<QueueFields>,
    },
    /// Change a queue: what is not given stays as it is. Jobs accepted before keep their kind, key,
    /// attempts, backoff and time-out.
    Edit {
        /// Its name.
        queue: QueueName,
        #[command(flatten)]
        fields: Box<QueueFields>,
    },
    /// List the queues with their newest configurations.
    Ls,
}

#[derive(Serialize)]
struct Written<'a> {
    queue: &'a QueueName,
    revision: Revision,
    sequence: Option<Sequence>,
    config: &'a QueueConfig,
}

#[derive(Serialize)]
struct Listed {
    queue: String,
    revision: Revision,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<QueueConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn queue(global: Global, command: QueueCommand) -> Result<Exit, Failure> {
    let session = Session::open(global).await?;
    match command {
        QueueCommand::Add { queue, fields } => add(&session, &queue, *fields).await,
        QueueCommand::Edit { queue, fields } => edit(&session, &queue, *fields).await,
        QueueCommand::Ls => list(&session).await,
    }
}

pub(super) fn checked(queue: &QueueName, config: QueueConfig) -> Result<QueueConfig, Failure> {
    match config.validate() {
        Ok(()) => Ok(config),
        Err(why) => Err(Failure::new(Exit::Usage, format!("queue {queue}: {why}"))),
    }
}

async fn add(session: &Session, queue: &QueueName, fields: QueueFields) -> Result<Exit, Failure> {
    if let Some(record) = queue_record::newest(&session.broker, queue).await? {
        return Err(Failure::new(
            Exit::Conflict,
            format!(
                "queue {queue} exists already, at revision {}: change it with `coordinator queue edit {queue}`",
                record.revision.get()
            ),
        ));
    }
    let config = checked(queue, fields.over(QueueConfig::default()))?;
    write(session, queue, Revision::new(1), &config).await
}

async fn edit(session: &Session, queue: &QueueName, fields: QueueFields) -> Result<Exit, Failure> {
    let Some(record) = queue_record::newest(&session.broker, queue).await? else {
        return Err(Failure::new(
            Exit::NotFound,
            format!(
                "there is no queue {queue}: make it with `coordinator queue add {queue}`, or look at `coordinator queue ls`"
            ),
        ));
    };
    let old = match record.config {
        Ok(config) => config,
        // The coordinators ignore it: start from the defaults, as they do.
        Err(ConfigError::Form(_) | ConfigError::Rule { .. }) => QueueConfig::default(),
        Err(error @ ConfigError::Newer(_)) => {
            return Err(Failure::new(
                Exit::Conflict,
                format!("queue {queue}: {error}"),
            ));
        }
    };
    let config = checked(queue, fields.over(old.clone()))?;
    if config == old {
        session
            .output
            .note("nothing changes, so nothing was written");
        return show(session, queue, record.revision, None, &config);
    }
    write(session, queue, record.revision.next(), &config).await
}

async fn write(
    session: &Session,
    queue: &QueueName,
    revision: Revision,
    config: &QueueConfig,
) -> Result<Exit, Failure> {
    let sequence = queue_record::write(&session.broker, queue, revision, config).await?;
    show(session, queue, revision, Some(sequence), config)
}

fn show(
    session: &Session,
    queue: &QueueName,
    revision: Revision,
    sequence: Option<Sequence>,
    config: &QueueConfig,
) -> Result<Exit, Failure> {
    let written = Written {
        queue,
        revision,
        sequence,
        config,
    };
    session.output.data(&written, || {
        format!("queue {queue} is at revision {}", revision.get())
    })?;
    Ok(Exit::Done)
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let records = queue_record::all(&session.broker).await?;
    let listed: Vec<Listed> = records
        .into_iter()
        .map(|(queue, QueueRecord { revision, config })| Listed {
            queue,
            revision,
            error: config.as_ref().err().map(ToString::to_string),
            config: config.ok(),
        })
        .collect();
    session.output.data(&listed, || {
        if listed.is_empty() {
            return "no queues: `coordinator queue add NAME` makes one".to_owned();
        }
        let mut rows = table(&[
            "queue",
            "revision",
            "kinds",
            "key",
            "attempts",
            "backoff",
            "time-out",
            "lease",
            "rescue",
            "outstanding",
        ]);
        for queue in &listed {
            rows.add_row(row(queue));
        }
        rows.to_string()
    })?;
    Ok(Exit::Done)
}

fn row(listed: &Listed) -> Vec<String> {
    let mut cells = vec![listed.queue.clone(), listed.revision.get().to_string()];
    let Some(config) = &listed.config else {
        cells.push(format!(
            "ignored: {}",
            listed.error.clone().unwrap_or_default()
        ));
        return cells;
    };
    let span =
        |ms: u64| humantime::format_duration(std::time::Duration::from_millis(ms)).to_string();
    let or = |value: Option<String>, word: &str| value.unwrap_or_else(|| word.to_owned());
    let kinds: Vec<&str> = config.kinds.iter().map(|kind| kind.as_str()).collect();
    cells.extend([
        match kinds.is_empty() {
            true => "any".to_owned(),
            false => kinds.join(","),
        },
        or(config.key_pointer.clone(), "header"),
        config.max_attempts.to_string(),
        format!(
            "{} to {}",
            span(config.backoff_base_ms),
            span(config.backoff_max_ms)
        ),
        or(config.timeout_ms.map(span), "none"),
        span(config.work_lease_ms),
        format!(
            "{}, keyed {}",
            or(config.rescue_ms.map(span), "lease"),
            or(config.rescue_keyed_ms.map(span), "lease")
        ),
        or(config.max_outstanding.map(|max| max.to_string()), "any"),
    ]);
    cells
}
