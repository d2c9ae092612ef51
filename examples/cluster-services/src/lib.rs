//! What a node and those who ask for the manager's status share: names, the source, the job.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use worker_sdk::Job;

/// The singleton.
pub const MANAGER: &str = "job-manager";
/// The queue of the runs.
pub const QUEUE: &str = "markets";
/// The call that [`Status`] answers.
pub const STATUS: &str = "status";

/// One invoice run of one market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketRun {
    /// Which market: no two runs of it at a time, in the whole cluster.
    pub market: String,
    /// Which run of it, such as a date.
    pub run: String,
}

impl MarketRun {
    /// The same for the same run, whoever finds it and however often: so it is accepted once.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.market, self.run)
    }
}

impl Job for MarketRun {
    const KIND: &'static str = "market.run";
    type Output = ();

    fn key(&self) -> Option<String> {
        Some(self.market.clone())
    }
}

/// What the manager says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node that it runs on.
    pub node: String,
    /// Under which epoch.
    pub epoch: u64,
    /// How often it has asked the source under this epoch.
    pub asked: u64,
    /// How many runs it has handed in under this epoch, that nobody had before.
    pub accepted: u64,
}

/// A source of markets: a text file with a line for each run that is due, `<market> <run>`.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
}

impl Source {
    /// The file need not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path }
    }

    /// What is due. A line of another form is left out, with a warning.
    ///
    /// # Errors
    /// The file cannot be read; one that is missing has nothing due.
    pub fn due(&self) -> io::Result<Vec<MarketRun>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let read = |line: &str| {
            let run = line.split_once(' ');
            if run.is_none() {
                tracing::warn!(line, "a line of the source is not `<market> <run>`");
            }
            let (market, run) = run?;
            let (market, run) = (market.to_owned(), run.trim().to_owned());
            Some(MarketRun { market, run })
        };
        Ok(text.lines().filter_map(read).collect())
    }
}

/// How long a node that was told to stop lets its runs finish.
pub const PATIENCE: Duration = Duration::from_secs(5);
