//! Messages that are not a submission, an outcome or a configuration: control and epoch records,
//! what workers and the leader tell each other, and the answers of the coordinators' API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Key, Kind, QueueName, WorkerId};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::outcome::{Outcome, OutcomeError};
use crate::submission::WIRE_VERSION;
use crate::time::Timestamp;

/// The version of the fold: it changes when the same ledger would fold to another state. A
/// coordinator that meets a newer one in an epoch record stops folding and standing.
pub const FOLD_VERSION: u32 = 1;

/// The body of a control record. All of it is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlBody {
    /// The version of this form.
    pub v: u32,
    /// Why, in the words of who asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl ControlBody {
    /// A body with a reason.
    #[must_use]
    pub fn new(reason: &str) -> Self {
        Self {
            v: WIRE_VERSION,
            reason: reason
                .chars()
                .filter(|c| !c.is_control())
                .take(512)
                .collect(),
        }
    }

    /// The record's body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a version and a text are JSON")
    }

    /// Reads a body; what cannot be read has no reason.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| Self::new(""))
    }
}

/// The body of an epoch record: who led from here on, and by which fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBody {
    /// The version of this form.
    pub v: u32,
    /// The version of the leader's fold.
    pub fold: u32,
    /// The leader's name.
    pub holder: String,
    /// Which start of it.
    pub incarnation: String,
}

impl EpochBody {
    /// The body for a leader.
    #[must_use]
    pub fn new(holder: &str, incarnation: &str) -> Self {
        Self {
            v: WIRE_VERSION,
            fold: FOLD_VERSION,
            holder: holder.to_owned(),
            incarnation: incarnation.to_owned(),
        }
    }

    /// The record's body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("versions and names are JSON")
    }

    /// Reads a body. `None`: no rule of ours made it.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The versions of the form and of the fold, whatever else a newer form says; 0 where there is
    /// none.
    #[must_use]
    pub fn versions(body: &[u8]) -> (u32, u32) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Versions {
            v: u32,
            fold: u32,
        }
        let versions: Versions = serde_json::from_slice(body).unwrap_or_default();
        (versions.v, versions.fold)
    }
}

/// What a worker took from the work queue and has not yet given an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The job.
    #[serde(rename = "n")]
    pub accepted: Accepted,
    /// Which try.
    #[serde(rename = "a")]
    pub attempt: Attempt,
    /// How often the broker handed the attempt out, from 1.
    #[serde(rename = "d")]
    pub delivery: u64,
    /// Where acks of this delivery go.
    #[serde(rename = "k")]
    pub ack: String,
}

/// What a worker handles in one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handles {
    /// The queue.
    pub queue: QueueName,
    /// The kinds it has handlers for; empty: any.
    pub kinds: Vec<Kind>,
    /// How many jobs of it run at once.
    pub slots: u32,
}

/// A worker process as the presence bucket shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The version of this form.
    pub v: u32,
    /// Who.
    pub worker: WorkerId,
    /// What it handles.
    pub handles: Vec<Handles>,
    /// What it runs now.
    pub running: Vec<Taken>,
    /// Its host's name.
    #[serde(default)]
    pub host: String,
    /// Its process id.
    #[serde(default)]
    pub pid: u32,
    /// The version of the SDK.
    #[serde(default)]
    pub sdk: String,
    /// The server that it is connected to, by its name; empty where it is not known.
    #[serde(default)]
    pub server: String,
}

/// What a worker says to all coordinators: a core message, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "lowercase")]
pub enum WorkerSays {
    /// It is here: at its start, on a roll call, after a change and once in a while.
    Here(Presence),
    /// It took these; one message for each pull.
    Took {
        /// Who.
        worker: WorkerId,
        /// What.
        took: Vec<Taken>,
    },
    /// It took these and runs them no longer, for want of a broker that it could reach: they may be
    /// handed on at once. Its own naks could hit whoever holds them by now.
    LetGo {
        /// Who.
        worker: WorkerId,
        /// What.
        let_go: Vec<Taken>,
    },
    /// It stops on purpose and runs nothing any more.
    Gone {
        /// Who.
        worker: WorkerId,
    },
}

/// What the leader tells one worker: a core message, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "kebab-case")]
pub enum WorkerTold {
    /// Somebody asked to cancel the job; the attempt's own outcome decides.
    Cancel {
        /// The job.
        accepted: Accepted,
        /// Which try.
        attempt: Attempt,
    },
    /// While this worker was missing its attempt was handed on; another run may be under way.
    HandedOn {
        /// The job.
        accepted: Accepted,
        /// Which try.
        attempt: Attempt,
    },
}

/// What the front door answers to a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum SubmitAnswer {
    /// It is in the ledger.
    Accepted {
        /// Its acceptance number.
        accepted: Accepted,
    },
    /// The same job was accepted before: nothing was written.
    Duplicate {
        /// The acceptance number of the first one.
        accepted: Accepted,
    },
    /// Another job was accepted under this id: nothing was written.
    Conflict {
        /// The acceptance number of the first one.
        accepted: Accepted,
        /// What differs.
        differs: String,
    },
    /// It was not accepted, or nobody knows.
    Error {
        /// A short stable code, such as `unknown-queue`, `bad-id`, `full`.
        code: String,
        /// A sentence for people: what, where, why, what to do.
        message: String,
        /// Whether the same submission may succeed later.
        retry: bool,
    },
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobPhase {
    /// Its queue has no configuration yet: `coordinator queue add` makes one.
    Unconfigured,
    /// A newer version wrote it; it waits for newer coordinators.
    Parked,
    /// Its run-at time is still to come.
    Scheduled,
    /// It waits for a place, its key or a worker.
    Available,
    /// An attempt is outstanding. Only the leader can tell it from available.
    Dispatched,
    /// Its last attempt failed and the next one waits for its time.
    Retryable,
    /// Done.
    Completed,
    /// Ended by request.
    Cancelled,
    /// Ended because its time to start had passed.
    Expired,
    /// A dead letter: it failed for good or can never run.
    Discarded,
}

impl JobPhase {
    /// Whether nothing more happens without a replay.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Cancelled | Self::Expired | Self::Discarded => true,
            Self::Unconfigured
            | Self::Parked
            | Self::Scheduled
            | Self::Available
            | Self::Dispatched
            | Self::Retryable => false,
        }
    }

    /// The word for people and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unconfigured => "unconfigured",
            Self::Parked => "parked",
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Dispatched => "dispatched",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Discarded => "discarded",
        }
    }
}

/// What a coordinator knows of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The queue.
    pub queue: QueueName,
    /// Its id, encoded.
    pub id: String,
    /// Its acceptance number.
    pub accepted: Accepted,
    /// When the ledger stored it.
    pub accepted_at: Timestamp,
    /// Where it stands.
    pub phase: JobPhase,
    /// Which handler runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What it must not run beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Its last recorded attempt; 0 for none.
    pub attempt: Attempt,
    /// How many attempts may fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// When the next attempt may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// A cancel was asked for and not yet decided.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OutcomeError>,
    /// Where the last outcome stands in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome_at: Option<Sequence>,
    /// The last outcome with its result, once the job is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What a coordinator answers to `get` and `cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum JobAnswer {
    /// What is known of it.
    Job {
        /// The job.
        job: Box<JobView>,
    },
    /// The ledger has no such job.
    Unknown,
    /// The request was refused, or could not be carried out.
    Error {
        /// A short stable code.
        code: String,
        /// A sentence for people.
        message: String,
        /// Whether the same request may succeed later.
        retry: bool,
    },
}

/// One queue, as a coordinator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Jobs that wait for their queue's configuration.
    pub unconfigured: u64,
    /// Jobs of a newer version.
    pub parked: u64,
    /// Jobs that wait: scheduled, available, retryable.
    pub waiting: u64,
    /// Jobs with an outstanding attempt; only the leader knows.
    pub dispatched: u64,
    /// Final jobs.
    pub completed: u64,
    /// Final jobs.
    pub cancelled: u64,
    /// Final jobs.
    pub expired: u64,
    /// Final jobs: the dead letters.
    pub discarded: u64,
    /// Slots of the workers that are here.
    pub slots: u64,
    /// Kinds that wait and that no worker here handles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds_without_worker: Vec<Kind>,
}

/// What one coordinator is and sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorStatus {
    /// Its name.
    pub coordinator: String,
    /// Which start of it.
    pub incarnation: String,
    /// Its version.
    pub version: String,
    /// `follower`, `takeover`, `leader`, `suspended` or `stopped`.
    pub role: String,
    /// Its own epoch while it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Who leads, as the lease record says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The last record of the ledger that it folded.
    pub folded: Sequence,
    /// `open`, or `closed` while the ledger is too full for submissions.
    pub door: String,
    /// What an operator should know: drift, a store that went back, no room. Empty is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// Records of the ledger that counted for nothing since its start.
    #[serde(default)]
    pub ignored: u64,
    /// The same by reason: `early-outcome`, `late-outcome`, `job`, `subject`, `control`, `config`, `epoch`;
    /// and `worker-message`, which are no records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored_by: BTreeMap<String, u64>,
    /// What its front door refused since its start, by the code of the answer; `reply-subject` got none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
    /// The workers that are here.
    #[serde(default)]
    pub workers: Vec<WorkerId>,
    /// Each queue by its name.
    pub queues: BTreeMap<String, QueueStatus>,
}

#[cfg(test)]
mod tests {
    use super::{SubmitAnswer, Taken, WorkerSays, WorkerTold};
    use crate::number::{Accepted, Attempt};

    #[test]
    fn messages_keep_their_form_on_the_wire() {
        let took = WorkerSays::Took {
            worker: "w-1".parse().unwrap(),
            took: vec![Taken {
                accepted: Accepted::new(7),
                attempt: Attempt::new(2),
                delivery: 1,
                ack: "$JS.ACK.WORK.q.1.9.3.0.0".into(),
            }],
        };
        let text = serde_json::to_string(&took).unwrap();
        assert_eq!(
            text,
            r#"{"says":"took","worker":"w-1","took":[{"n":7,"a":2,"d":1,"k":"$JS.ACK.WORK.q.1.9.3.0.0"}]}"#
        );
        assert_eq!(serde_json::from_str::<WorkerSays>(&text).unwrap(), took);
        let told = WorkerTold::HandedOn {
            accepted: Accepted::new(7),
            attempt: Attempt::new(2),
        };
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(text, r#"{"told":"handed-on","accepted":7,"attempt":2}"#);
        let answer = SubmitAnswer::Accepted {
            accepted: Accepted::new(1),
        };
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(text, r#"{"status":"accepted","accepted":1}"#);
    }
}
