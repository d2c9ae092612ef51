//! Why the broker cannot be used as it is, and what to do about it.

use crate::drift::{Drift, Severity};
use crate::read_error::ReadError;
use crate::settings::{Replicas, SettingsError};
use crate::version::ServerVersion;

/// The broker lacks something, or has something else in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// A setting is impossible; nothing was asked of the broker.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The server is too old.
    #[error("nats-server {found} is too old: {why}; upgrade it to {needed} or newer")]
    ServerTooOld {
        /// What the server says of itself.
        found: String,
        /// The oldest that will do.
        needed: ServerVersion,
        /// What the found one lacks.
        why: &'static str,
    },
    /// JetStream is off.
    #[error(
        "JetStream is off ({text}): add a `jetstream {{ store_dir: … }}` block to the server's configuration (or start it with -js), and `jetstream: enabled` to the account where accounts are used"
    )]
    JetStreamOff {
        /// The server's words.
        text: String,
    },
    /// Something does not exist and was not to be made.
    #[error(
        "{object} does not exist: let the coordinator make it (provisioning `create`), or add it from the files in nats-config, such as `nats stream add --config`"
    )]
    Missing {
        /// Which.
        object: String,
    },
    /// The ledger existed and is gone.
    #[error(
        "stream {stream}, the ledger, is gone, though {why}: what was accepted is lost with it, and an empty one would accept every job again; restore it from a backup (`nats stream restore`), or, to begin anew, stop all coordinators, delete the other streams of this namespace, and start again"
    )]
    LedgerGone {
        /// The ledger.
        stream: String,
        /// Why it must have existed.
        why: String,
    },
    /// A promise does not hold with what is there.
    #[error("altered on the broker: {}; set it back with `nats stream edit` or `nats consumer edit` (what cannot be edited must be moved to a new stream), then start again", listed(.drift))]
    Altered {
        /// All differences found, the harmless ones, too.
        drift: Vec<Drift>,
    },
    /// The server or the account has no room for the size asked for.
    #[error(
        "no room for {object} of {bytes} bytes: {text}; ask for less (the setting of its largest size), or give JetStream more (`max_file_store` of the server, the limits of the account, the disk)"
    )]
    NoRoom {
        /// Which.
        object: String,
        /// The size asked for.
        bytes: u64,
        /// The server's words.
        text: String,
    },
    /// Another stream or consumer already takes the subjects.
    #[error(
        "{object} cannot be made: {text}; another stream or consumer takes its subjects (`nats stream find --subject`, `nats consumer ls`): remove that, or use another namespace"
    )]
    Overlap {
        /// Which.
        object: String,
        /// The server's words.
        text: String,
    },
    /// The cluster knows enough servers, and some are away.
    #[error(
        "{object} cannot be made now: {text}; it can when the servers that are away are back, or seen again by the others"
    )]
    ServersAway {
        /// Which.
        object: String,
        /// The server's words.
        text: String,
    },
    /// There are not so many servers.
    #[error(
        "{object} cannot have {replicas} replicas: {text}; start as many servers with JetStream in one cluster, or set fewer replicas"
    )]
    TooFewServers {
        /// Which.
        object: String,
        /// How many were asked for.
        replicas: Replicas,
        /// The server's words.
        text: String,
    },
    /// No usable answer; what was asked for may have been done.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl ProvisionError {
    /// Whether the same may succeed later without anybody changing a setting.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Read(error) => error.is_retryable(),
            Self::ServersAway { .. } => true,
            Self::Settings(_)
            | Self::ServerTooOld { .. }
            | Self::JetStreamOff { .. }
            | Self::Missing { .. }
            | Self::LedgerGone { .. }
            | Self::Altered { .. }
            | Self::NoRoom { .. }
            | Self::Overlap { .. }
            | Self::TooFewServers { .. } => false,
        }
    }

    /// What the refusal of a new stream means.
    pub(super) fn of_stream(
        error: ReadError,
        object: &str,
        bytes: Option<u64>,
        replicas: Replicas,
    ) -> Self {
        let object = object.to_owned();
        let (code, text) = match &error {
            ReadError::Refused { code, text, .. } | ReadError::Unavailable { code, text, .. } => {
                (*code, text.clone())
            }
            _ => return Self::Read(error),
        };
        match code {
            10_047 | 10_028 | 10_113 | 10_122 => Self::NoRoom {
                object,
                bytes: bytes.unwrap_or_default(),
                text,
            },
            10_065 => Self::Overlap { object, text },
            10_005 if text.contains("offline") => Self::ServersAway { object, text },
            10_005 | 10_074 => Self::TooFewServers {
                object,
                replicas,
                text,
            },
            _ => Self::Read(error),
        }
    }

    /// What the refusal of a new consumer means.
    pub(super) fn of_consumer(error: ReadError, object: &str) -> Self {
        match &error {
            ReadError::Refused {
                code: 10_099 | 10_100,
                text,
                ..
            } => Self::Overlap {
                object: object.to_owned(),
                text: text.clone(),
            },
            _ => Self::Read(error),
        }
    }
}

/// The differences that a promise hangs on, in a sentence.
fn listed(drift: &[Drift]) -> String {
    drift
        .iter()
        .filter(|drift| drift.severity == Severity::Unsafe)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::{ProvisionError, ReadError};
    use crate::Replicas;

    #[test]
    fn servers_that_are_away_are_waited_for_and_missing_ones_are_not() {
        let of = |text: &str| {
            let error = ReadError::Refused {
                subject: "s".to_owned(),
                code: 10_005,
                text: text.to_owned(),
            };
            ProvisionError::of_stream(error, "stream JOBS", None, Replicas::Three)
        };
        assert!(of("no suitable peers for placement, peer offline").is_retryable());
        assert!(!of("no suitable peers for placement").is_retryable());
    }
}
