//! A message of the work queue, read once at the border: who the job is, where its acks go, what
//! its headers say. It decides nothing.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use protocol::id::{JobId, Key, Kind, QueueName};
use protocol::outcome::{Outcome, OutcomeError, Status};
use protocol::subject::{AttemptName, JobName, Subjects, WorkSubject};
use protocol::submission::{Parsed, Submission};
use protocol::time::Timestamp;

/// A delivery as it came.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) name: AttemptName,
    pub(crate) queue: QueueName,
    pub(crate) id: JobId,
    pub(crate) ack: Subject,
    pub(crate) count: u64,
    pub(crate) stored: Timestamp,
    pub(crate) orders: Orders,
    pub(crate) headers: Arc<HeaderMap>,
    pub(crate) payload: Bytes,
}

/// What the headers ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Orders {
    /// To run it.
    Run {
        kind: Kind,
        key: Option<Key>,
        timeout: Option<Duration>,
    },
    /// A newer version wrote it.
    Newer(u32),
    /// They cannot be read: the outcome that says so.
    Unreadable(Vec<u8>),
}

/// A message that is no work of ours. It is left to the coordinators, who find foreign writes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWork {
    #[error("no rule makes the subject `{0}`")]
    Subject(Subject),
    #[error("`{subject}` came with the reply subject {reply:?}, which is none for acks")]
    Reply {
        subject: Subject,
        reply: Option<Subject>,
    },
}

/// What the broker says about a delivery in the subject for its acks.
#[derive(Debug, PartialEq, Eq)]
struct AckSubject {
    count: u64,
    stored: Timestamp,
}

impl Work {
    pub(crate) fn parse(subjects: &Subjects, message: Message) -> Result<Self, NoWork> {
        let Message {
            subject,
            reply,
            payload,
            headers,
            ..
        } = message;
        let (name, queue, id) = match subjects.parse_work(&subject) {
            WorkSubject::Work(name) => match &name.job {
                JobName::Named { queue, id } => {
                    let (queue, id) = (queue.clone(), id.clone());
                    (name, queue, id)
                }
                JobName::Malformed => return Err(NoWork::Subject(subject)),
            },
            WorkSubject::Fence { .. } | WorkSubject::Unknown => {
                return Err(NoWork::Subject(subject));
            }
        };
        let told = reply.as_ref().and_then(|reply| parse_ack(reply));
        let (Some(ack), Some(told)) = (reply.clone(), told) else {
            return Err(NoWork::Reply { subject, reply });
        };
        let headers = headers.unwrap_or_default();
        let orders = orders(&queue, &headers);
        Ok(Self {
            name,
            queue,
            id,
            ack,
            count: told.count,
            stored: told.stored,
            orders,
            headers: Arc::new(headers),
            payload,
        })
    }
}

fn orders(queue: &QueueName, headers: &HeaderMap) -> Orders {
    let unreadable = |why: String| {
        let error = OutcomeError::permanent("bad-headers", &why);
        Orders::Unreadable(Outcome::ended(Status::Failed, error).to_body())
    };
    match Submission::parse(|name| nats_config::header(headers, name)) {
        Ok(Parsed::Newer(version)) => Orders::Newer(version),
        Ok(Parsed::Known(submission)) => {
            match submission
                .kind
                .map_or_else(|| Kind::new(queue.as_str()), Ok)
            {
                Ok(kind) => Orders::Run {
                    kind,
                    key: submission.key,
                    timeout: submission.timeout,
                },
                Err(error) => unreadable(error.to_string()),
            }
        }
        Err(error) => unreadable(error.to_string()),
    }
}

/// Reads `$JS.ACK.<stream>.<consumer>.<count>.<sequence>.<place>.<stored>.<pending>`, or the longer
/// form of newer servers with domain and account before the stream.
fn parse_ack(subject: &str) -> Option<AckSubject> {
    let rest = subject.strip_prefix("$JS.ACK.")?;
    let tokens: Vec<&str> = rest.split('.').collect();
    let from = match tokens.len() {
        7 => 2,
        9.. => 4,
        _ => return None,
    };
    let nanos: u64 = tokens[from + 3].parse().ok()?;
    Some(AckSubject {
        count: tokens[from].parse().ok()?,
        stored: Timestamp::from_millis(nanos / 1_000_000),
    })
}

impl Work {
    /// What names this run, for handlers and observers.
    pub(crate) fn info(
        &self,
        worker: &protocol::id::WorkerId,
        kind: &Kind,
        key: Option<&Key>,
    ) -> Arc<crate::context::JobInfo> {
        Arc::new(crate::context::JobInfo {
            queue: self.queue.clone(),
            id: self.id.clone(),
            kind: kind.clone(),
            key: key.cloned(),
            accepted: self.name.accepted,
            attempt: self.name.attempt,
            delivery: self.count,
            worker: worker.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use protocol::time::Timestamp;

    use super::{AckSubject, Orders, orders, parse_ack};

    #[test]
    fn both_forms_of_an_ack_subject_are_read() {
        let expected = AckSubject {
            count: 2,
            stored: Timestamp::from_millis(1_795_336_200_250),
        };
        for subject in [
            "$JS.ACK.WORK.invoices.2.17.20.1795336200250999999.5",
            "$JS.ACK._.ACCHASH.WORK.invoices.2.17.20.1795336200250999999.5",
            "$JS.ACK.hub.ACCHASH.WORK.invoices.2.17.20.1795336200250999999.5.token",
        ] {
            assert_eq!(parse_ack(subject).as_ref(), Some(&expected), "{subject}");
        }
        for subject in [
            "",
            "_INBOX.x",
            "$JS.ACK.WORK.q.1.2.3",
            "$JS.ACK.W.q.a.2.3.4.5",
        ] {
            assert_eq!(parse_ack(subject), None, "{subject}");
        }
    }

    #[test]
    fn headers_that_cannot_be_read_are_an_outcome() {
        let queue = "invoices".parse().unwrap();
        let read = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = async_nats::HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, *value);
            }
            orders(&queue, &headers)
        };
        let plain = Orders::Run {
            kind: "invoices".parse().unwrap(),
            key: None,
            timeout: None,
        };
        assert_eq!(read(&[]), plain);
        assert_eq!(read(&[("Jobs-Version", "7")]), Orders::Newer(7));
        let Orders::Unreadable(body) = read(&[("Jobs-Timeout", "soon")]) else {
            panic!("it was read");
        };
        let text = String::from_utf8(body).unwrap();
        assert!(
            text.contains("bad-headers") && text.contains("Jobs-Timeout"),
            "{text}"
        );
    }
}
