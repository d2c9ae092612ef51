//! The same roles in accounts of their own: a reply subject that one names then is a subject of its own
//! account, never of the one that holds the streams.
//!
//! What crosses from one account to another stands here, subject by subject: nothing else does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::names::Names;
use crate::roles::{Role, quoted};

/// An account: those in it trust each other with their subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// The streams, and the coordinators.
    Core,
    /// The workers.
    Workers,
    /// Who writes submissions into the ledger itself.
    Trusted,
    /// Who submits by the front door, and who looks.
    Submitters,
}

impl Zone {
    /// All accounts.
    pub const ALL: [Self; 4] = [Self::Core, Self::Workers, Self::Trusted, Self::Submitters];

    /// The name of the account.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "CORE",
            Self::Workers => "WORKERS",
            Self::Trusted => "TRUSTED",
            Self::Submitters => "SUBMITTERS",
        }
    }

    /// The account of a role.
    #[must_use]
    pub const fn of(role: Role) -> Self {
        match role {
            Role::Coordinator => Self::Core,
            Role::Worker => Self::Workers,
            Role::TrustedSubmitter => Self::Trusted,
            Role::Submitter | Role::Viewer => Self::Submitters,
        }
    }

    /// The prefix of the JetStream API for connections of this account, for `--js-api-prefix`. Below
    /// `$JS.API` an account finds its own JetStream, which only [`Zone::Core`] has.
    #[must_use]
    pub fn api_prefix(self, names: &Names) -> String {
        match self {
            Self::Core => "$JS.API".to_owned(),
            Self::Workers | Self::Trusted | Self::Submitters => {
                format!("$JS.{}.API", names.namespace())
            }
        }
    }
}

/// How many answers a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    One,
    Many,
}

/// A request that one account may make of another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    subject: String,
    answers: Answers,
    by: Vec<Zone>,
}

/// Messages that one account hears of another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stream {
    subject: String,
    from: Zone,
    to: Zone,
}

/// The requests that cross into the core.
fn services(names: &Names) -> Vec<Service> {
    let (subjects, work, ledger) = (names.subjects(), names.work(), names.ledger());
    let service = |subject: String, answers, by: &[Zone]| Service {
        subject,
        answers,
        by: by.to_vec(),
    };
    let (workers, trusted) = (Zone::Workers, Zone::Trusted);
    let mut all = vec![
        service(
            format!("$JS.API.CONSUMER.MSG.NEXT.{work}.*"),
            Answers::Many,
            &[workers],
        ),
        service(
            format!("$JS.API.CONSUMER.INFO.{work}.*"),
            Answers::One,
            &[workers],
        ),
        service(
            format!("$JS.API.STREAM.MSG.GET.{ledger}"),
            Answers::One,
            &[workers, trusted],
        ),
        service(format!("$JS.ACK.{work}.*.>"), Answers::One, &[workers]),
        service(format!("$JS.ACK.*.*.{work}.*.>"), Answers::One, &[workers]),
        service(subjects.outcome_all(), Answers::One, &[workers]),
        service(names.workers_key("*"), Answers::One, &[workers]),
        service(subjects.submit_all(), Answers::One, &[trusted]),
        service(
            subjects.api_status(),
            Answers::Many,
            &[trusted, Zone::Submitters],
        ),
    ];
    all.extend(["submit", "get", "cancel"].map(|verb| {
        let by = [trusted, Zone::Submitters];
        service(subjects.api_all(verb), Answers::One, &by)
    }));
    all
}

fn streams(names: &Names) -> Vec<Stream> {
    let subjects = names.subjects();
    [
        (subjects.worker_says_all(), Zone::Workers, Zone::Core),
        (subjects.worker_told_all(), Zone::Core, Zone::Workers),
        (subjects.worker_roll_call(), Zone::Core, Zone::Workers),
        (subjects.outcome_all(), Zone::Core, Zone::Trusted),
    ]
    .map(|(subject, from, to)| Stream { subject, from, to })
    .to_vec()
}

/// What a role may publish to from its own account.
#[must_use]
pub fn publish(role: Role, names: &Names) -> Vec<String> {
    let zone = Zone::of(role);
    let is_inbox = |subject: &String| subject.starts_with("_INBOX_");
    let mut all = role.publish(names);
    match zone {
        // Answers go where the server put the requester's reply subject.
        Zone::Core => {
            let own = format!("{}.>", role.inbox_prefix());
            all.retain(|subject| !is_inbox(subject) || *subject == own);
            all.push("_R_.>".to_owned());
        }
        Zone::Workers | Zone::Trusted | Zone::Submitters => all.retain(|s| !is_inbox(s)),
    }
    let prefix = zone.api_prefix(names);
    all.into_iter()
        .map(|subject| match subject.strip_prefix("$JS.API") {
            Some(rest) => format!("{prefix}{rest}"),
            None => subject,
        })
        .collect()
}

/// The accounts of one namespace with their users, as a file that a server's configuration includes in
/// place of `permissions.conf`.
///
/// Passwords come from the server's environment ([`Role::password_variable`]).
#[must_use]
pub fn accounts_conf(names: &Names) -> String {
    let prefix = Zone::Workers.api_prefix(names);
    let mut text = HEAD.replace("@PREFIX@", &prefix);
    text.push_str("accounts {\n");
    for zone in Zone::ALL {
        writeln!(text, "  {} {{", zone.name()).expect(WRITTEN);
        if zone == Zone::Core {
            text.push_str("    jetstream: enabled\n");
        }
        let users: String = Role::ALL
            .into_iter()
            .filter(|role| Zone::of(*role) == zone)
            .map(|role| user(role, names))
            .collect();
        write!(text, "    users: [\n{users}    ]\n").expect(WRITTEN);
        write!(text, "    exports: [\n{}    ]\n", exports(zone, names)).expect(WRITTEN);
        write!(
            text,
            "    imports: [\n{}    ]\n  }}\n",
            imports(zone, names)
        )
        .expect(WRITTEN);
    }
    text.push_str("}\n");
    text
}

const WRITTEN: &str = "a text takes all that is written to it";

fn user(role: Role, names: &Names) -> String {
    let responses = match role {
        // It answers pings, wherever the server put their reply subjects.
        Role::Worker => "        allow_responses: { max: 1, expires: \"10s\" }\n",
        Role::Coordinator | Role::Submitter | Role::TrustedSubmitter | Role::Viewer => "",
    };
    format!(
        "      {{\n      user: {}, password: ${}\n      permissions: {{\n        publish: [\n{}        ]\n        subscribe: [\n{}        ]\n{responses}      }}\n      }}\n",
        role.user(),
        role.password_variable(),
        quoted(&publish(role, names)),
        quoted(&role.subscribe(names)),
    )
}

fn exports(zone: Zone, names: &Names) -> String {
    let mut lines = Vec::new();
    let ping = names.subjects().worker_ping_all();
    match zone {
        Zone::Core => {
            for Service {
                subject,
                answers,
                by,
            } in services(names)
            {
                let many = match answers {
                    Answers::One => "",
                    Answers::Many => ", response_type: stream",
                };
                let by: Vec<&str> = by.into_iter().map(Zone::name).collect();
                let by = by.join(", ");
                lines.push(format!(
                    "{{ service: \"{subject}\"{many}, accounts: [{by}] }}"
                ));
            }
        }
        Zone::Workers => {
            let core = Zone::Core.name();
            lines.push(format!("{{ service: \"{ping}\", accounts: [{core}] }}"));
        }
        Zone::Trusted | Zone::Submitters => {}
    }
    let mut heard: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for Stream { subject, from, to } in streams(names) {
        if from == zone {
            heard.entry(subject).or_default().push(to.name());
        }
    }
    lines.extend(heard.into_iter().map(|(subject, to)| {
        format!("{{ stream: \"{subject}\", accounts: [{}] }}", to.join(", "))
    }));
    indented(&lines)
}

fn imports(zone: Zone, names: &Names) -> String {
    let mut lines = Vec::new();
    let core = Zone::Core.name();
    let prefix = zone.api_prefix(names);
    for Service { subject, by, .. } in services(names) {
        if !by.contains(&zone) {
            continue;
        }
        let to = match subject.strip_prefix("$JS.API") {
            Some(rest) => format!(", to: \"{prefix}{rest}\""),
            None => String::new(),
        };
        lines.push(format!(
            "{{ service: {{ account: {core}, subject: \"{subject}\" }}{to} }}"
        ));
    }
    if zone == Zone::Core {
        let ping = names.subjects().worker_ping_all();
        let workers = Zone::Workers.name();
        lines.push(format!(
            "{{ service: {{ account: {workers}, subject: \"{ping}\" }} }}"
        ));
    }
    for Stream { subject, from, to } in streams(names) {
        if to == zone {
            let from = from.name();
            lines.push(format!(
                "{{ stream: {{ account: {from}, subject: \"{subject}\" }} }}"
            ));
        }
    }
    indented(&lines)
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("      {line}\n")).collect()
}

const HEAD: &str = "\
# The roles in accounts of their own, for workers and submitters that are not to be trusted with the
# subjects of the core: included by a server's configuration in place of permissions.conf. Written by
# `UPDATE_FILES=1 cargo test -p nats-config --test files`; change src/accounts.rs, not this file.
#
# Passwords and inbox prefixes are as in permissions.conf. Workers and trusted submitters reach the
# JetStream API of the core by the prefix of its own below, as in
# `--js-api-prefix '@PREFIX@'` of the `nats` command line or the worker's option.
#
# A reply subject that a connection names is one of its own account: what the server answers to it never
# becomes a record. Only what is imported below crosses.
";
