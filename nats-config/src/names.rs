//! The names of the streams, buckets and consumers of one namespace. Subjects are made in
//! `protocol`, never here.

use protocol::id::{Namespace, QueueName};
use protocol::subject::Subjects;

/// The namespace whose streams carry no prefix.
const PLAIN: &str = "jobs";

/// What the things of one namespace are called on the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    subjects: Subjects,
    ledger: String,
    work: String,
    leader_bucket: String,
    leader_stream: String,
    singletons_bucket: String,
    crews_bucket: String,
    workers_bucket: String,
    workers_stream: String,
}

impl Names {
    /// The names below `namespace`: `JOBS` and `WORK` for `jobs`, else `<NS>_JOBS` and `<NS>_WORK`.
    #[must_use]
    pub fn new(namespace: Namespace) -> Self {
        let prefix = if namespace.as_str() == PLAIN {
            String::new()
        } else {
            format!("{}_", namespace.as_str().to_ascii_uppercase())
        };
        let leader_bucket = format!("{namespace}_leader");
        let workers_bucket = format!("{namespace}_workers");
        Self {
            ledger: format!("{prefix}JOBS"),
            work: format!("{prefix}WORK"),
            leader_stream: format!("KV_{leader_bucket}"),
            leader_bucket,
            singletons_bucket: format!("{namespace}_singletons"),
            crews_bucket: format!("{namespace}_crews"),
            workers_stream: format!("KV_{workers_bucket}"),
            workers_bucket,
            subjects: Subjects::new(namespace),
        }
    }

    /// The subjects of the namespace.
    #[must_use]
    pub const fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        self.subjects.namespace()
    }

    /// The stream of the ledger, where everything that decides stands.
    #[must_use]
    pub fn ledger(&self) -> &str {
        &self.ledger
    }

    /// The stream of the work queue, which only the leader writes.
    #[must_use]
    pub fn work(&self) -> &str {
        &self.work
    }

    /// The bucket of the elections.
    #[must_use]
    pub fn leader_bucket(&self) -> &str {
        &self.leader_bucket
    }

    /// The stream below the bucket of the elections.
    #[must_use]
    pub fn leader_stream(&self) -> &str {
        &self.leader_stream
    }

    /// The subject of one key of the bucket of the elections.
    #[must_use]
    pub fn leader_key(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.leader_bucket)
    }

    /// The bucket of the elections of singletons, which the first of them makes.
    #[must_use]
    pub fn singletons_bucket(&self) -> &str {
        &self.singletons_bucket
    }

    /// The bucket of the crews: members, plans, and the elections of planners. The first member of
    /// any crew makes it.
    #[must_use]
    pub fn crews_bucket(&self) -> &str {
        &self.crews_bucket
    }

    /// The bucket of the workers' presence.
    #[must_use]
    pub fn workers_bucket(&self) -> &str {
        &self.workers_bucket
    }

    /// The stream below the bucket of the workers' presence.
    #[must_use]
    pub fn workers_stream(&self) -> &str {
        &self.workers_stream
    }

    /// The subject of one key of the bucket of the workers' presence.
    #[must_use]
    pub fn workers_key(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.workers_bucket)
    }

    /// Whether a program of ours may answer on `reply`, a subject that a requester chose.
    ///
    /// Coordinators may publish where their requesters may not. An answer on a subject of ours or
    /// of the server's would be stored as a record or obeyed as a command in the requester's place.
    #[must_use]
    pub fn may_answer(&self, reply: &str) -> bool {
        let root = reply.split('.').next().unwrap_or_default();
        !root.is_empty() && !root.starts_with('$') && root != self.namespace().as_str()
    }

    /// The durable consumer of a queue on the work stream: it is called as the queue is.
    #[must_use]
    pub fn consumer<'a>(&self, queue: &'a QueueName) -> &'a str {
        queue.as_str()
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new(Namespace::default())
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn the_plain_namespace_has_short_names() {
        let names = Names::default();
        assert_eq!(
            (names.ledger(), names.work()),
            ("JOBS", "WORK"),
            "the streams of `jobs`"
        );
        assert_eq!(names.leader_bucket(), "jobs_leader");
        assert_eq!(names.leader_stream(), "KV_jobs_leader");
        assert_eq!(names.workers_key("w-1"), "$KV.jobs_workers.w-1");
    }

    #[test]
    fn nobody_is_answered_on_a_subject_that_means_something() {
        let names = Names::default();
        for reply in ["_INBOX.a.b", "_INBOX_viewer.a", "jobsreply.a", "r"] {
            assert!(names.may_answer(reply), "{reply}");
        }
        for reply in [
            "",
            "jobs",
            "jobs.control.q.1.0.cancel.a",
            "jobs.submit.q.a",
            "$JS.API.STREAM.PURGE.WORK",
            "$KV.jobs_leader.main",
            "$SYS.REQ.SERVER.PING",
        ] {
            assert!(!names.may_answer(reply), "{reply}");
        }
    }

    #[test]
    fn another_namespace_stands_in_its_names() {
        let names = Names::new("eu-1".parse().unwrap());
        assert_eq!((names.ledger(), names.work()), ("EU-1_JOBS", "EU-1_WORK"));
        assert_eq!(names.leader_key("main"), "$KV.eu-1_leader.main");
        assert_eq!(names.singletons_bucket(), "eu-1_singletons");
        assert_eq!(names.crews_bucket(), "eu-1_crews");
        assert_eq!(
            names.consumer(&"invoices".parse().unwrap()),
            "invoices",
            "a consumer is called as its queue"
        );
    }
}
