//! What each role may do, asked of a real server subject by subject, and the work of all of them
//! together under their permissions.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::Request;
use nats_config::{Broker, Ledger, Mode, Moved, Names, ReadError, Role, Settings};
use protocol::answer::Answer;
use protocol::config::QueueConfig;
use protocol::number::Sequence;

use crate::server::{Server, password};

/// Speaks the wire protocol itself: a refusal comes before the answer to the next ping.
pub(crate) struct Wire {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    subscriptions: u32,
}

impl Wire {
    pub(crate) fn connect(server: &Server, role: Role) -> Self {
        let stream = TcpStream::connect(server.url()).expect("a connection");
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).expect("a time-out is set");
        stream.set_nodelay(true).expect("small lines go at once");
        let lines = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut wire = Self {
            stream,
            lines,
            subscriptions: 0,
        };
        let user = role.user();
        wire.send(&format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"user\":\"{user}\",\"pass\":\"{}\"}}",
            password(role)
        ));
        assert!(wire.is_allowed(), "{user} may connect");
        wire
    }

    fn send(&mut self, line: &str) {
        write!(self.stream, "{line}\r\n").expect("the server reads");
    }

    pub(crate) fn may_publish(&mut self, subject: &str) -> bool {
        self.send(&format!("PUB {subject} 0\r\n"));
        self.is_allowed()
    }

    pub(crate) fn may_subscribe(&mut self, subject: &str) -> bool {
        self.subscriptions += 1;
        let id = self.subscriptions;
        self.send(&format!("SUB {subject} {id}"));
        let allowed = self.is_allowed();
        self.send(&format!("UNSUB {id}"));
        allowed
    }

    /// Whether no refusal comes before the answer to a ping.
    fn is_allowed(&mut self) -> bool {
        self.send("PING");
        let mut allowed = true;
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).expect("the server answers");
            match line.split_whitespace().next() {
                Some("PONG") => return allowed,
                Some("-ERR") => {
                    assert!(line.contains("Permissions Violation"), "{line}");
                    allowed = false;
                }
                Some(_) => {}
                None => panic!("the server closed the connection"),
            }
        }
    }
}

/// What no role but the coordinator may publish to.
const COORDINATOR_ALONE: [&str; 22] = [
    "jobs.control.q.1.0.cancel.a",
    "jobs.config.q.1",
    "jobs.epoch.1",
    "jobs.retire.1",
    "jobs.work.q.1.1.a",
    "jobs.fence.1.1",
    "jobs.worker.told.w",
    "jobs.worker.rollcall",
    "jobs.ping.leader.x",
    "jobs.ping.worker.w",
    "$KV.jobs_leader.main",
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.JOBS",
    "$JS.API.STREAM.UPDATE.JOBS",
    "$JS.API.STREAM.MSG.GET.WORK",
    "$JS.API.STREAM.MSG.GET.KV_jobs_leader",
    "$JS.API.STREAM.MSG.DELETE.WORK",
    "$JS.API.CONSUMER.CREATE.JOBS.x.jobs.>",
    "$JS.API.CONSUMER.CREATE.WORK.q.jobs.work.q.>",
    "$JS.API.CONSUMER.MSG.NEXT.JOBS.x",
    "$JS.API.DIRECT.GET.JOBS.jobs.submit.q.a",
    "$JS.API.STREAM.PURGE.WORK",
];

/// What nobody may publish to.
const NOBODY: [&str; 16] = [
    "$JS.API.STREAM.DELETE.JOBS",
    "$JS.API.STREAM.DELETE.WORK",
    "$JS.API.STREAM.DELETE.KV_jobs_leader",
    "$JS.API.STREAM.UPDATE.WORK",
    "$JS.API.STREAM.PURGE.JOBS",
    "$JS.API.STREAM.MSG.DELETE.JOBS",
    "$JS.API.STREAM.RESTORE.JOBS",
    "$JS.API.STREAM.SNAPSHOT.JOBS",
    "$JS.API.STREAM.CREATE.OTHER",
    "$JS.API.STREAM.NAMES",
    "$JS.API.CONSUMER.DELETE.WORK.q",
    "$JS.API.CONSUMER.RESET.WORK.q",
    "$JS.API.CONSUMER.PAUSE.WORK.q",
    "$KV.other.a",
    "$SYS.REQ.SERVER.PING",
    "other.subject",
];

const ACKS: [&str; 2] = [
    "$JS.ACK.WORK.q.1.1.1.0.0",
    "$JS.ACK.hub.hash.WORK.q.1.1.1.0.0.x",
];

fn allowed(role: Role) -> Vec<&'static str> {
    let api = [
        "jobs.api.submit.q.a",
        "jobs.api.get.q.a",
        "jobs.api.cancel.q.a",
    ];
    match role {
        Role::Coordinator => COORDINATOR_ALONE
            .into_iter()
            .chain(api)
            .chain(ACKS)
            .chain([
                "jobs.submit.q.b.c",
                "jobs.outcome.q.1.1.a",
                "_INBOX_viewer.x",
            ])
            .collect(),
        Role::Worker => ACKS
            .into_iter()
            .chain([
                "jobs.outcome.q.1.1.a",
                "jobs.worker.says.w",
                "jobs.worker.echo.w",
                "$KV.jobs_workers.w",
                "$JS.API.CONSUMER.MSG.NEXT.WORK.q",
                "$JS.API.CONSUMER.INFO.WORK.q",
                "$JS.API.STREAM.MSG.GET.JOBS",
                "_INBOX_coordinator.x",
            ])
            .collect(),
        Role::Submitter => api.to_vec(),
        Role::TrustedSubmitter => api
            .into_iter()
            .chain([
                "jobs.api.status",
                "jobs.submit.q.b.c",
                "$JS.API.STREAM.MSG.GET.JOBS",
            ])
            .collect(),
        Role::Viewer => vec!["jobs.api.get.q.a", "jobs.api.status"],
    }
}

fn denied(role: Role) -> Vec<&'static str> {
    let mut all = NOBODY.to_vec();
    let more: &[&str] = match role {
        Role::Coordinator => return all,
        Role::Worker => &["jobs.submit.q.a", "jobs.api.cancel.q.a", "_INBOX_viewer.x"],
        Role::Submitter => &[
            "jobs.submit.q.a",
            "jobs.outcome.q.1.1.a",
            "jobs.api.status",
            "$JS.API.STREAM.MSG.GET.JOBS",
            "$JS.API.CONSUMER.MSG.NEXT.WORK.q",
            "$KV.jobs_workers.w",
            "_INBOX_coordinator.x",
        ],
        Role::TrustedSubmitter => &[
            "jobs.outcome.q.1.1.a",
            "$JS.API.CONSUMER.MSG.NEXT.WORK.q",
            "$KV.jobs_workers.w",
            "_INBOX_coordinator.x",
        ],
        Role::Viewer => &[
            "jobs.api.submit.q.a",
            "jobs.api.cancel.q.a",
            "jobs.submit.q.a",
            "jobs.outcome.q.1.1.a",
            "$JS.API.STREAM.MSG.GET.JOBS",
            "_INBOX_coordinator.x",
        ],
    };
    all.extend(COORDINATOR_ALONE);
    all.extend(more);
    if role != Role::Worker {
        all.extend(ACKS);
    }
    all
}

#[test]
fn each_role_publishes_where_its_programs_do_and_nowhere_else() {
    let server = Server::with_roles();
    for role in Role::ALL {
        let mut wire = Wire::connect(&server, role);
        for subject in allowed(role) {
            assert!(wire.may_publish(subject), "{role:?} may: {subject}");
        }
        for subject in denied(role) {
            assert!(!wire.may_publish(subject), "{role:?} may not: {subject}");
        }
    }
}

#[test]
fn each_role_listens_to_what_its_programs_need_and_nothing_else() {
    let server = Server::with_roles();
    for role in Role::ALL {
        let mut wire = Wire::connect(&server, role);
        let more: &[&str] = match role {
            Role::Coordinator => &[
                "jobs.api.submit.>",
                "jobs.api.status",
                "jobs.ping.leader.x",
                "jobs.worker.says.*",
                "$KV.jobs_leader.main",
            ],
            Role::Worker => &[
                "jobs.ping.worker.w",
                "jobs.worker.told.w",
                "jobs.worker.rollcall",
                "jobs.worker.echo.w",
            ],
            Role::TrustedSubmitter => &["jobs.outcome.q.1.*.a"],
            Role::Submitter | Role::Viewer => &[],
        };
        let own = format!("{}.a.>", role.inbox_prefix());
        for subject in more.iter().copied().chain([own.as_str()]) {
            assert!(wire.may_subscribe(subject), "{role:?} may: {subject}");
        }
        let others = Role::ALL.into_iter().filter(|other| *other != role);
        let mut not: Vec<String> = others
            .map(|other| format!("{}.>", other.inbox_prefix()))
            .collect();
        let common = [
            ">",
            "_INBOX.>",
            "jobs.>",
            "jobs.submit.>",
            "jobs.work.>",
            "$JS.>",
            "$SYS.>",
        ];
        not.extend(common.map(str::to_owned));
        for subject in not {
            assert!(!wire.may_subscribe(&subject), "{role:?} may not: {subject}");
        }
    }
}

/// A subject that a permission allows.
pub(crate) fn sample(pattern: &str) -> String {
    pattern.replace('>', "x.y").replace('*', "x")
}

/// Whether one of the permissions allows the subject.
pub(crate) fn is_allowed(permissions: &[String], subject: &str) -> bool {
    permissions.iter().any(|pattern| {
        let mut tokens = subject.split('.');
        for expected in pattern.split('.') {
            match (expected, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (expected, Some(token)) if expected == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    })
}

/// Each permission of each role, asked for by every role: who has it may, nobody else.
#[test]
fn each_permission_is_asked_for_by_every_role() {
    let (server, names) = (Server::with_roles(), Names::default());
    for role in Role::ALL {
        let (may_publish, may_hear) = (role.publish(&names), role.subscribe(&names));
        let mut wire = Wire::connect(&server, role);
        for subject in Role::ALL.iter().flat_map(|of| of.publish(&names)) {
            let subject = sample(&subject);
            let expected = is_allowed(&may_publish, &subject);
            assert_eq!(wire.may_publish(&subject), expected, "{role:?}: {subject}");
        }
        for subject in Role::ALL.iter().flat_map(|of| of.subscribe(&names)) {
            let subject = sample(&subject);
            let expected = is_allowed(&may_hear, &subject);
            assert_eq!(
                wire.may_subscribe(&subject),
                expected,
                "{role:?}: {subject}"
            );
        }
    }
}

async fn broker(server: &Server, role: Role) -> Broker {
    Broker::new(server.connect_as(role).await, Names::default())
}

async fn write(broker: &Broker, subject: &str, payload: &'static str) -> Answer {
    broker
        .write(subject.into(), HeaderMap::new(), payload.into())
        .await
}

#[tokio::test]
async fn a_job_takes_its_path_under_the_roles() {
    let server = Server::with_roles();
    let coordinator = broker(&server, Role::Coordinator).await;
    let settings = Settings {
        ledger_bytes_max: 64 << 20,
        work_bytes_max: 16 << 20,
        ..Settings::default()
    };
    for mode in [Mode::Create, Mode::Verify] {
        coordinator
            .provision(&settings, mode, Ledger::MayBeNew)
            .await
            .expect("the coordinator makes and compares");
    }
    let queue = "q".parse().unwrap();
    for config in [30_000, 20_000].map(|work_lease_ms| QueueConfig {
        work_lease_ms,
        ..QueueConfig::default()
    }) {
        let ensured = coordinator.ensure_consumer(&queue, &config).await;
        ensured.expect("the coordinator makes and updates the consumer");
    }
    assert_eq!(coordinator.close_door().await, Ok(Moved::Changed));
    assert_eq!(coordinator.open_door().await, Ok(Moved::Changed));

    let submitter = broker(&server, Role::TrustedSubmitter).await;
    let first = Answer::Stored(Sequence::new(1));
    assert_eq!(write(&submitter, "jobs.submit.q.a", "x").await, first);
    assert_eq!(
        write(&submitter, "jobs.submit.q.a", "x").await,
        Answer::Occupied
    );
    assert!(
        submitter
            .last("JOBS", "jobs.submit.q.a")
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(write(&coordinator, "jobs.work.q.1.1.a", "x").await, first);

    let worker = broker(&server, Role::Worker).await;
    let pull = Request::new()
        .payload(r#"{"batch":1,"expires":5000000000}"#.into())
        .inbox(worker.client().new_inbox());
    let next = "$JS.API.CONSUMER.MSG.NEXT.WORK.q";
    let work = worker.client().send_request(next, pull).await.unwrap();
    assert_eq!(work.subject.as_str(), "jobs.work.q.1.1.a");
    assert_eq!(worker.last("JOBS", "jobs.outcome.q.1.1.a").await, Ok(None));
    let outcome = write(&worker, "jobs.outcome.q.1.1.a", "").await;
    assert_eq!(outcome, Answer::Stored(Sequence::new(2)));
    let ack = work.reply.expect("a delivery says where to ack");
    worker
        .client()
        .request(ack, "+ACK".into())
        .await
        .expect("it is acked");
    assert_eq!(
        coordinator.list_subjects("WORK", "jobs.work.>").await,
        Ok(vec![])
    );
}

#[tokio::test]
async fn what_is_denied_says_which_subject_and_where_to_look() {
    let server = Server::with_roles();
    let viewer = broker(&server, Role::Viewer).await;
    let viewer = viewer.with_timeout(Duration::from_millis(200));
    let error = viewer
        .state("JOBS")
        .await
        .expect_err("a viewer has no JetStream");
    assert!(matches!(error, ReadError::Unanswered { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("$JS.API.STREAM.INFO.JOBS") && text.contains("permissions.conf"),
        "{text}"
    );
    assert_eq!(
        write(&viewer, "jobs.submit.q.a", "").await,
        Answer::Unanswered
    );
}
