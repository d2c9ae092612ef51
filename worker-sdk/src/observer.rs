//! A hook beside each handler, and a log of starts and ends made with it. It never changes a job.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::Serialize;

use crate::clock;
use crate::context::JobInfo;

/// Is told right before a handler is called and right after it ended, on the task of the handler.
/// It must be quick, and must not block: jobs wait for it.
pub trait Observer: Send + Sync {
    /// The handler is about to be called.
    fn started(&self, job: &JobInfo);
    /// The handler ended. Its outcome is not yet recorded.
    fn finished(&self, job: &JobInfo, end: JobEnd);
}

/// How a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobEnd {
    /// It returned a result.
    Completed,
    /// It returned an error.
    Failed,
    /// It said that the job is cancelled.
    Cancelled,
    /// It panicked.
    Panicked,
    /// It was aborted after its cancellation, or its runtime went away.
    Aborted,
}

/// Writes a line of JSON for each start and each end to a file: `t` (nanoseconds since boot,
/// comparable between processes of one machine), `unix` (nanoseconds since 1970), `event` (`start`
/// or `end`), `queue`, `id`, `kind`, `key`, `accepted`, `attempt`, `delivery`, `worker`, `pid`, and
/// for an end `end`.
///
/// Each line is one write to the file, so that what happened before a kill is there to be read.
#[derive(Debug)]
pub struct JobLog {
    file: Mutex<File>,
}

#[derive(Serialize)]
struct Line<'a> {
    t: u64,
    unix: u64,
    event: &'static str,
    queue: &'a str,
    id: &'a str,
    kind: &'a str,
    key: Option<&'a str>,
    accepted: u64,
    attempt: u64,
    delivery: u64,
    worker: &'a str,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<JobEnd>,
}

impl JobLog {
    /// Appends to the file at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    fn write(&self, event: &'static str, job: &JobInfo, end: Option<JobEnd>) {
        let unix = u64::try_from(clock::since_1970().as_nanos()).unwrap_or(u64::MAX);
        let line = Line {
            t: clock::now().as_nanos(),
            unix,
            event,
            queue: job.queue.as_str(),
            id: job.id.as_encoded(),
            kind: job.kind.as_str(),
            key: job.key.as_ref().map(|key| key.as_str()),
            accepted: job.accepted.get(),
            attempt: job.attempt.get(),
            delivery: job.delivery,
            worker: job.worker.as_str(),
            pid: std::process::id(),
            end,
        };
        let mut text = serde_json::to_vec(&line).expect("texts and numbers are JSON");
        text.push(b'\n');
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = file.write_all(&text) {
            tracing::error!(%error, "write the log of jobs; a line is missing");
        }
    }
}

impl Observer for JobLog {
    fn started(&self, job: &JobInfo) {
        self.write("start", job, None);
    }

    fn finished(&self, job: &JobInfo, end: JobEnd) {
        self.write("end", job, Some(end));
    }
}
