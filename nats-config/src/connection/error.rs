//! Why the broker could not be reached, in the words of who has to repair it.

use std::io;

/// No connection. No text of it holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A flag, a variable, a field of a file, or a file that one of them names, is wrong. Another
    /// try does not help.
    #[error("{place}: {problem}; {advice}")]
    Setting {
        /// Which one, and where it stands.
        place: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// No server answered. Another try may.
    #[error(
        "no connection to {servers}: {why}; check the address (-s, NATS_URL or the context's url) and that the server runs there"
    )]
    Unreachable {
        /// The addresses, without user and password.
        servers: String,
        /// What the network said.
        why: String,
    },
    /// A server answered and refused the credentials, or asked for some.
    #[error(
        "{servers} refused the credentials: {why}; check --user, --password, --token, --creds, --nkey (or the context), used here: {used}"
    )]
    Unauthorized {
        /// The addresses, without user and password.
        servers: String,
        /// What the server said.
        why: String,
        /// Which way of authentication was used, and where it came from.
        used: String,
    },
    /// The encrypted connection could not be set up.
    #[error(
        "no encrypted connection to {servers}: {why}; check --tlsca, --tlscert and --tlskey (or the context), and --tlsfirst if the server shakes hands first"
    )]
    Tls {
        /// The addresses, without user and password.
        servers: String,
        /// What was wrong.
        why: String,
    },
}

impl ConnectError {
    /// A wrong setting.
    pub(super) fn setting(
        place: impl Into<String>,
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::Setting {
            place: place.into(),
            problem: problem.into(),
            advice: advice.into(),
        }
    }

    /// A file that a setting names cannot be read.
    pub(super) fn file(place: impl Into<String>, path: &str, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "name a file that exists",
            io::ErrorKind::PermissionDenied => "let this user read it",
            _ => "name a readable file",
        };
        Self::setting(place, format!("{path} cannot be read: {error}"), advice)
    }

    /// Whether the same settings may work later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
