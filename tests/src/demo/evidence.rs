//! What a demo is judged by: the ledger, the work queue, the workers' logs, and what was done from
//! outside (submissions and kills). It judges nothing.

use invoices::generate::Expected;

use super::clock::Instants;
use super::observer::FirstWork;
use super::records::Record;
use super::runs::Line;

/// All that was recorded.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Every submission that was sent, in its order.
    pub sent: Vec<Sent>,
    /// The ledger from its first record on.
    pub records: Vec<Record>,
    /// What lies in the work queue after the end.
    pub work_left: Vec<String>,
    /// The lines of all workers' logs.
    pub lines: Vec<Line>,
    /// What was killed.
    pub kills: Vec<Kill>,
    /// The first work of each epoch.
    pub first_work: Vec<FirstWork>,
    /// What must come of a job, by its id, where that is known.
    pub expected: Vec<(String, Expected)>,
    /// What went wrong on the way, in sentences: a process that ended by itself, for one.
    pub accidents: Vec<String>,
}

/// A submission that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The job's id, encoded.
    pub id: String,
    /// Its content, as [`super::records::content`] says.
    pub content: u64,
    /// What the submitter was told.
    pub told: Told,
}

/// What a submitter is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Accepted.
    Accepted,
    /// The same was accepted before.
    Duplicate,
    /// Something else was accepted before under this id.
    Conflict,
    /// It was not accepted, or nobody knows.
    Failed(String),
}

/// A process that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Which.
    pub victim: Victim,
    /// Right before the signal was sent.
    pub at: Instants,
}

/// What was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// The coordinator that led.
    Leader {
        /// Its name.
        name: String,
    },
    /// A worker.
    Worker {
        /// Its name.
        name: String,
        /// Its process.
        pid: u32,
    },
}
