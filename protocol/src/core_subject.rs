//! Subjects of core messages: asked and answered, or said once, never stored.

use crate::id::{JobId, QueueName, SingletonKey, WorkerId};
use crate::proxy::TenureName;
use crate::subject::Subjects;

impl Subjects {
    /// Where the front door takes a submission.
    #[must_use]
    pub fn api_submit(&self, queue: &QueueName, id: &JobId) -> String {
        format!("{}.api.submit.{queue}.{id}", self.root)
    }

    /// Where any coordinator says what it knows of a job.
    #[must_use]
    pub fn api_get(&self, queue: &QueueName, id: &JobId) -> String {
        format!("{}.api.get.{queue}.{id}", self.root)
    }

    /// Where any coordinator takes a request to cancel a job.
    #[must_use]
    pub fn api_cancel(&self, queue: &QueueName, id: &JobId) -> String {
        format!("{}.api.cancel.{queue}.{id}", self.root)
    }

    /// Where each coordinator says what it is and what it sees.
    #[must_use]
    pub fn api_status(&self) -> String {
        format!("{}.api.status", self.root)
    }

    /// The requests of one verb (`submit`, `get`, `cancel`), for all queues.
    #[must_use]
    pub fn api_all(&self, verb: &str) -> String {
        format!("{}.api.{verb}.>", self.root)
    }

    /// Parses a request's subject: its verb, the queue's token and the rest, not yet checked.
    #[must_use]
    pub fn parse_api<'a>(&self, subject: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
        let (what, rest) = self.after_root(subject)?;
        let (verb, rest) = rest.split_once('.')?;
        let (queue, id) = rest.split_once('.')?;
        (what == "api").then_some((verb, queue, id))
    }

    /// What answers as long as the process that holds the leadership lives; its incarnation follows
    /// as a further token.
    #[must_use]
    pub fn leader_ping(&self) -> String {
        format!("{}.ping.leader", self.root)
    }

    /// What answers as long as a worker's connection lives.
    #[must_use]
    pub fn worker_ping(&self, worker: &WorkerId) -> String {
        format!("{}.ping.worker.{worker}", self.root)
    }

    /// Where a worker says what it took, and what it is.
    #[must_use]
    pub fn worker_says(&self, worker: &WorkerId) -> String {
        format!("{}.worker.says.{worker}", self.root)
    }

    /// What all workers say.
    #[must_use]
    pub fn worker_says_all(&self) -> String {
        format!("{}.worker.says.*", self.root)
    }

    /// Where the leader tells one worker something: cancel, job handed on.
    #[must_use]
    pub fn worker_told(&self, worker: &WorkerId) -> String {
        format!("{}.worker.told.{worker}", self.root)
    }

    /// Where a coordinator asks all workers to say what they are and run.
    #[must_use]
    pub fn worker_roll_call(&self) -> String {
        format!("{}.worker.rollcall", self.root)
    }

    /// What a worker publishes to itself to see that its connection carries messages.
    #[must_use]
    pub fn worker_echo(&self, worker: &WorkerId) -> String {
        format!("{}.worker.echo.{worker}", self.root)
    }

    /// Where the holder of a singleton answers calls under one epoch: a call that was meant for
    /// another tenure arrives nowhere.
    #[must_use]
    pub fn call(&self, singleton: &SingletonKey, tenure: &TenureName) -> String {
        let TenureName { incarnation, epoch } = tenure;
        format!("{}.call.{singleton}.{incarnation}.{epoch}", self.root)
    }

    /// Where all holders of one singleton answer calls.
    #[must_use]
    pub fn call_all(&self, singleton: &SingletonKey) -> String {
        format!("{}.call.{singleton}.>", self.root)
    }

    /// All requests to the coordinators.
    #[must_use]
    pub fn api_everything(&self) -> String {
        format!("{}.api.>", self.root)
    }

    /// The pings of all leaders.
    #[must_use]
    pub fn leader_ping_all(&self) -> String {
        format!("{}.ping.leader.>", self.root)
    }

    /// The pings of all workers.
    #[must_use]
    pub fn worker_ping_all(&self) -> String {
        format!("{}.ping.worker.*", self.root)
    }

    /// What all workers are told.
    #[must_use]
    pub fn worker_told_all(&self) -> String {
        format!("{}.worker.told.*", self.root)
    }

    /// What all workers publish to themselves.
    #[must_use]
    pub fn worker_echo_all(&self) -> String {
        format!("{}.worker.echo.*", self.root)
    }
}
