//! What is done to whom, and what was seen of it: the lines of `faults.jsonl`.

use std::time::Duration;

use serde::Serialize;

/// A process of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The coordinator that leads when the fault begins.
    Leader,
    /// One of the coordinators, from 0.
    Coordinator(usize),
    /// One of the workers, from 0.
    Worker(usize),
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The one that leads the ledger's stream, or the only one.
    LedgerLeader,
    /// The one that leads the work queue's stream, or the only one.
    WorkLeader,
    /// One by its place.
    Server(usize),
}

/// What passes no more between a server and the two others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Parted {
    /// Nothing passes.
    Both,
    /// What it sends is held back.
    Out,
    /// What it would receive is held back.
    In,
}

/// What a foreign hand does to what exists on the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreign {
    /// The consumer of the queue is deleted.
    ConsumerDeleted,
    /// The consumer of the queue gets another lease.
    ConsumerAltered,
    /// The ledger allows rollups for a while.
    LedgerAltered,
    /// The work queue takes no atomic batches for a while.
    WorkAltered,
    /// The bucket of the leaders' leases is deleted.
    LeadersDeleted,
    /// The bucket of the workers is deleted.
    WorkersDeleted,
}

/// A line between clients and the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// That of a process.
    Of(Who),
    /// That of all submitters.
    Submitters,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL, and a new start after `down_ms`.
    Kill { who: Who, down_ms: u64 },
    /// SIGSTOP, and SIGCONT after `ms`.
    Stop { who: Who, ms: u64 },
    /// SIGTERM, and a new start after `down_ms`.
    Term { who: Who, down_ms: u64 },
    /// SIGTERM and a new start that dies or stands still at a fail point.
    Armed {
        who: Who,
        point: &'static str,
        action: Action,
    },
    /// SIGKILL of a server, and a new start after `down_ms`.
    ServerKill { which: Which, down_ms: u64 },
    /// SIGSTOP of a server, and SIGCONT after `ms`.
    ServerStop { which: Which, ms: u64 },
    /// SIGTERM of a server, and a new start after `down_ms`.
    ServerTerm { which: Which, down_ms: u64 },
    /// SIGKILL of all servers, and new starts in another order.
    ServersKill { down_ms: u64 },
    /// One of three servers is cut off from the two others for `ms`.
    Partition {
        which: Which,
        parted: Parted,
        ms: u64,
    },
    /// Somebody else changes what exists on the broker; what nobody sets back, he does after `ms`.
    Foreign { hand: Foreign, ms: u64 },
    /// All connections of a line are closed.
    Cut { line: Line },
    /// Nothing passes in either direction, and nothing is closed.
    BlackHole { line: Line, ms: u64 },
    /// What the client sends passes, what the server sends does not.
    HalfOpen { line: Line, ms: u64 },
    /// All comes later by `by_ms`.
    Delay { line: Line, ms: u64, by_ms: u64 },
    /// Of the ledger's and the work queue's answers, one in `one_in` is swallowed.
    DropAcks { line: Line, ms: u64, one_in: u64 },
}

/// What a process does when it comes to the fail point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It sends itself SIGKILL.
    Kill,
    /// It sends itself SIGSTOP.
    Stop,
    /// Its thread stands still for a moment.
    Pause,
}

impl Action {
    /// As the variable `FAIL_POINT` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Pause => "pause",
        }
    }
}

impl Fault {
    /// Its kind in a word, for a table.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Kill { who, .. } => match who {
                Who::Worker(_) => "worker killed",
                Who::Leader | Who::Coordinator(_) => "coordinator killed",
            },
            Self::Stop { who, .. } => match who {
                Who::Worker(_) => "worker stopped",
                Who::Leader | Who::Coordinator(_) => "coordinator stopped",
            },
            Self::Term { who, .. } => match who {
                Who::Worker(_) => "worker told to end",
                Who::Leader | Who::Coordinator(_) => "coordinator told to end",
            },
            Self::Armed { .. } => "at a fail point",
            Self::ServerKill { .. } => "server killed",
            Self::ServerStop { .. } => "server stopped",
            Self::ServerTerm { .. } => "server told to end",
            Self::ServersKill { .. } => "all servers killed",
            Self::Partition { .. } => "servers parted",
            Self::Foreign { hand, .. } => match hand {
                Foreign::ConsumerDeleted => "consumer deleted",
                Foreign::ConsumerAltered => "consumer altered",
                Foreign::LedgerAltered | Foreign::WorkAltered => "stream altered",
                Foreign::LeadersDeleted | Foreign::WorkersDeleted => "bucket deleted",
            },
            Self::Cut { .. } => "connections cut",
            Self::BlackHole { .. } => "black hole",
            Self::HalfOpen { .. } => "half open",
            Self::Delay { .. } => "delay",
            Self::DropAcks { .. } => "answers dropped",
        }
    }

    /// Whether a process or a server comes to its end by it.
    #[must_use]
    pub const fn ends_somebody(self) -> bool {
        matches!(
            self,
            Self::Kill { .. }
                | Self::Term { .. }
                | Self::Armed { .. }
                | Self::ServerKill { .. }
                | Self::ServerTerm { .. }
                | Self::ServersKill { .. }
        )
    }

    /// Whether a server was killed or paused by it.
    #[must_use]
    pub const fn is_of_a_server(self) -> bool {
        matches!(
            self,
            Self::ServerKill { .. }
                | Self::ServerStop { .. }
                | Self::ServerTerm { .. }
                | Self::ServersKill { .. }
        )
    }
}

/// A fault at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// After the start of the load.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// A fault as it was done.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// Its number in the plan, from 1.
    pub n: usize,
    /// What.
    #[serde(flatten)]
    pub fault: Fault,
    /// The process or server that it met.
    pub target: String,
    /// Its start, in nanoseconds since boot.
    pub start_ns: u64,
    /// Its end, in nanoseconds since boot.
    pub end_ns: u64,
    /// Why it was not done; none where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What was seen of it; nothing means that it did not bite.
    pub bites: Vec<String>,
}

impl Done {
    /// Whether it was done.
    #[must_use]
    pub const fn was_done(&self) -> bool {
        self.failed.is_none()
    }

    /// Whether it was done and seen.
    #[must_use]
    pub fn bit(&self) -> bool {
        self.was_done() && !self.bites.is_empty()
    }
}
