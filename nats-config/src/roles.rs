//! Who may do what on the broker: five roles, each with exactly the subjects that its programs use.
//!
//! Lists are of what is allowed; there is nothing to deny. Two facts of NATS shape them:
//! * The server publishes answers to whatever reply subject a request names, without asking whether
//!   the requester may publish there. Whoever may call the JetStream API can so place a record of
//!   the server's making on any subject of the account. The submitter and the viewer, who are not
//!   trusted with that, get nothing of the JetStream API; coordinators answer them.
//! * Who shares an inbox prefix reads each other's answers. Each role has its own.

use std::fmt::Write as _;

use crate::names::Names;

/// What a user of the broker is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the coordinator, or commands of it that change queues.
    Coordinator,
    /// Runs jobs and records their outcomes.
    Worker,
    /// Submits through the front door, which checks each submission.
    Submitter,
    /// Writes submissions into the ledger directly: needs no coordinator to be up.
    TrustedSubmitter,
    /// Looks, through the coordinators.
    Viewer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Coordinator,
        Self::Worker,
        Self::Submitter,
        Self::TrustedSubmitter,
        Self::Viewer,
    ];

    /// The name of its user.
    #[must_use]
    pub const fn user(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Submitter => "submitter",
            Self::TrustedSubmitter => "trusted_submitter",
            Self::Viewer => "viewer",
        }
    }

    /// The environment variable in which the server finds its password.
    #[must_use]
    pub fn password_variable(self) -> String {
        format!("{}_PASSWORD", self.user().to_ascii_uppercase())
    }

    /// Where its answers go; every connection of the role must use it.
    #[must_use]
    pub const fn inbox_prefix(self) -> &'static str {
        match self {
            Self::Coordinator => "_INBOX_coordinator",
            Self::Worker => "_INBOX_worker",
            Self::Submitter => "_INBOX_submitter",
            Self::TrustedSubmitter => "_INBOX_trusted_submitter",
            Self::Viewer => "_INBOX_viewer",
        }
    }

    /// What it is trusted with, in a sentence.
    const fn trust(self) -> &'static str {
        match self {
            Self::Coordinator => {
                "Makes the streams, writes all records, and answers the front door."
            }
            Self::Worker => {
                "Runs jobs and records outcomes, of any queue. To keep pools apart, give each a user of its own\n# and put the queue's name for `*` after WORK and after outcome."
            }
            Self::Submitter => "Submits and asks through the front door; no JetStream at all.",
            Self::TrustedSubmitter => {
                "Writes submissions into the ledger itself and reads back what became of them."
            }
            Self::Viewer => "Looks, through the coordinators; no JetStream at all.",
        }
    }

    /// The subjects that it may publish to.
    #[must_use]
    pub fn publish(self, names: &Names) -> Vec<String> {
        match self {
            Self::Coordinator => coordinator_publishes(names),
            Self::Worker => worker_publishes(names),
            Self::Submitter => requests(names, &["submit", "get", "cancel"]),
            Self::TrustedSubmitter => {
                let mut all = requests(names, &["submit", "get", "cancel"]);
                all.extend([
                    names.subjects().api_status(),
                    names.subjects().submit_all(),
                    format!("$JS.API.STREAM.MSG.GET.{}", names.ledger()),
                ]);
                all
            }
            Self::Viewer => {
                let mut all = requests(names, &["get"]);
                all.push(names.subjects().api_status());
                all
            }
        }
    }

    /// The subjects that it may subscribe to.
    #[must_use]
    pub fn subscribe(self, names: &Names) -> Vec<String> {
        let subjects = names.subjects();
        let mut all = vec![format!("{}.>", self.inbox_prefix())];
        match self {
            Self::Coordinator => all.extend([
                subjects.api_everything(),
                subjects.leader_ping_all(),
                subjects.worker_says_all(),
                names.leader_key(">"),
            ]),
            Self::Worker => all.extend([
                subjects.worker_ping_all(),
                subjects.worker_told_all(),
                subjects.worker_roll_call(),
                subjects.worker_echo_all(),
            ]),
            // It sees at once what became of its jobs.
            Self::TrustedSubmitter => all.push(subjects.outcome_all()),
            Self::Submitter | Self::Viewer => {}
        }
        all
    }
}

fn requests(names: &Names, verbs: &[&str]) -> Vec<String> {
    verbs
        .iter()
        .map(|verb| names.subjects().api_all(verb))
        .collect()
}

fn worker_publishes(names: &Names) -> Vec<String> {
    let (subjects, work) = (names.subjects(), names.work());
    vec![
        format!("$JS.API.CONSUMER.MSG.NEXT.{work}.*"),
        format!("$JS.API.CONSUMER.INFO.{work}.*"),
        // Servers may use either form of an ack's subject.
        format!("$JS.ACK.{work}.*.>"),
        format!("$JS.ACK.*.*.{work}.*.>"),
        format!("$JS.API.STREAM.MSG.GET.{}", names.ledger()),
        subjects.outcome_all(),
        subjects.worker_says_all(),
        subjects.worker_echo_all(),
        names.workers_key("*"),
        // It answers pings and roll calls.
        format!("{}.>", Role::Coordinator.inbox_prefix()),
    ]
}

fn coordinator_publishes(names: &Names) -> Vec<String> {
    let (ledger, work) = (names.ledger(), names.work());
    let streams = [ledger, work, names.leader_stream(), names.workers_stream()];
    let mut all = vec!["$JS.API.INFO".to_owned()];
    for verb in ["CREATE", "INFO", "MSG.GET"] {
        all.extend(
            streams
                .iter()
                .map(|stream| format!("$JS.API.STREAM.{verb}.{stream}")),
        );
    }
    all.extend([
        // The door; no other stream is ever updated.
        format!("$JS.API.STREAM.UPDATE.{ledger}"),
        // Fences of former leaders, and work whose outcome is recorded.
        format!("$JS.API.STREAM.MSG.DELETE.{work}"),
        format!("$JS.API.STREAM.PURGE.{work}"),
        // The consumers of the queues; none is ever deleted.
        format!("$JS.API.CONSUMER.CREATE.{work}.>"),
        format!("$JS.API.CONSUMER.INFO.{work}.*"),
        format!("$JS.ACK.{work}.>"),
        format!("$JS.ACK.*.*.{work}.>"),
    ]);
    // Followers: of the ledger, and of both buckets.
    for stream in [ledger, names.leader_stream(), names.workers_stream()] {
        all.extend([
            format!("$JS.API.CONSUMER.CREATE.{stream}"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
            format!("$JS.API.CONSUMER.INFO.{stream}.*"),
            format!("$JS.API.CONSUMER.DELETE.{stream}.*"),
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
            format!("$JS.FC.{stream}.>"),
            format!("$JS.FC.*.*.{stream}.>"),
        ]);
    }
    for stream in [ledger, names.workers_stream()] {
        all.push(format!("$JS.API.DIRECT.GET.{stream}"));
        all.push(format!("$JS.API.DIRECT.GET.{stream}.>"));
    }
    all.extend([
        names.leader_key(">"),
        names.workers_key(">"),
        format!("{}.>", names.namespace()),
    ]);
    // It answers the front door. A list instead of `allow_responses`, which would let a requester
    // name any subject of the coordinator's choice of answers.
    all.extend(
        Role::ALL
            .iter()
            .map(|role| format!("{}.>", role.inbox_prefix())),
    );
    all
}

/// The users of one namespace, as a file that a server's configuration includes.
///
/// Passwords come from the server's environment ([`Role::password_variable`]).
#[must_use]
pub fn permissions_conf(names: &Names) -> String {
    let mut text = String::from(HEAD);
    text.push_str("authorization {\n  users: [\n");
    for role in Role::ALL {
        let trust = role.trust().replace('\n', "\n    ");
        let user = role.user();
        let variable = role.password_variable();
        let written = write!(
            text,
            "    # {trust}\n    {{\n      user: {user}, password: ${variable}\n      permissions: {{\n        publish: [\n{}        ]\n        subscribe: [\n{}        ]\n      }}\n    }}\n",
            quoted(&role.publish(names)),
            quoted(&role.subscribe(names)),
        );
        written.expect("a text takes all that is written to it");
    }
    text.push_str("  ]\n}\n");
    text
}

pub(crate) fn quoted(subjects: &[String]) -> String {
    subjects
        .iter()
        .map(|subject| format!("          \"{subject}\"\n"))
        .collect()
}

const HEAD: &str = "\
# Who may do what: included by the servers' configurations. Written by `UPDATE_FILES=1 cargo test -p
# nats-config --test files`; change src/roles.rs, not this file.
#
# The server takes the passwords from its environment: COORDINATOR_PASSWORD, WORKER_PASSWORD,
# SUBMITTER_PASSWORD, TRUSTED_SUBMITTER_PASSWORD, VIEWER_PASSWORD. It reads each as a value of its own
# configuration language, so put double quotes around one that begins with a digit or holds a space,
# `#`, `;`, `,` or a bracket, as in VIEWER_PASSWORD='\"7 dwarfs\"'. dev.env holds some for trying out. A bcrypt
# hash (`nats server passwd`) may stand for a password. Better than passwords: replace `user: …, password: …`
# by `nkey: U…`.
#
# A connection must use the inbox prefix of its role: `_INBOX_` and the user's name, such as
# `nats --inbox-prefix _INBOX_viewer`.
#
# Coordinator, worker and trusted submitter may call the JetStream API, and the server sends the answers
# to any reply subject that they name, unchecked: within this account they must be trusted not to forge.
# Who is not so trusted is a submitter or a viewer. Include accounts.conf in place of this file to take that
# trust from workers and trusted submitters.
";
