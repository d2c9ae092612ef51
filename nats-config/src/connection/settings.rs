//! The settings of a connection as flags, environment and files give them, before any file is
//! read: names and meaning are those of the `nats` command line.

use std::time::Duration;

use super::environment::Environment;
use super::error::ConnectError;
use super::secret::Secret;

/// Which context file fills what is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextChoice {
    /// None, whatever is selected.
    None,
    /// The one that `nats context select` chose, if any.
    Selected,
    /// This one: a name, or a path that ends in `.json`.
    Named(String),
}

/// How to reach the broker. `None` is "not set": the context fills it, then the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionSettings {
    /// Servers separated by commas (`-s`, `NATS_URL`); default `nats://127.0.0.1:4222`.
    pub server: Option<String>,
    /// User name (`--user`, `NATS_USER`). Without a password it is a token.
    pub user: Option<String>,
    /// Password (`--password`, `NATS_PASSWORD`).
    pub password: Option<Secret>,
    /// Token (`--token`, `NATS_TOKEN`).
    pub token: Option<Secret>,
    /// Credentials file (`--creds`, `NATS_CREDS`), or a `file://`, `env://` or `data:` URI.
    pub creds: Option<String>,
    /// File with an nkey seed (`--nkey`, `NATS_NKEY`).
    pub nkey: Option<String>,
    /// User JWT (`--jwt`, `NATS_JWT`).
    pub jwt: Option<Secret>,
    /// Seed that signs for the JWT (`--seed`, `NATS_SEED`).
    pub seed: Option<Secret>,
    /// File with the client's certificate (`--tlscert`, `NATS_CERT`).
    pub tls_cert: Option<String>,
    /// File with the certificate's key (`--tlskey`, `NATS_KEY`).
    pub tls_key: Option<String>,
    /// File with the authorities to trust (`--tlsca`, `NATS_CA`).
    pub tls_ca: Option<String>,
    /// Shake hands for TLS before the server's first line (`--tlsfirst`).
    pub tls_first: Option<bool>,
    /// How long to wait for a connection and for each answer (`--timeout`, `NATS_TIMEOUT`);
    /// default 5 s.
    pub timeout: Option<Duration>,
    /// A SOCKS proxy (`--socks-proxy`, `NATS_SOCKS_PROXY`): refused, the client has none.
    pub socks_proxy: Option<String>,
    /// The `JetStream` domain (`--js-domain`).
    pub js_domain: Option<String>,
    /// The prefix of the `JetStream` API (`--js-api-prefix`).
    pub js_api_prefix: Option<String>,
    /// The prefix of inboxes (`--inbox-prefix`); default `_INBOX`.
    pub inbox_prefix: Option<String>,
    /// The connection's name on the server (`--connection-name`).
    pub connection_name: Option<String>,
    /// Which context file fills the rest (`--context`, `NATS_CONTEXT`, `--no-context`); not set is
    /// none.
    pub context: Option<ContextChoice>,
}

impl ConnectionSettings {
    /// What the environment says, as `natscli` reads it, for programs without flags of their own.
    /// A context is used only if `NATS_CONTEXT` names one.
    ///
    /// # Errors
    /// `NATS_TIMEOUT` is no span of time.
    pub fn from_environment(env: &Environment) -> Result<Self, ConnectError> {
        let text = |name: &str| env.get(name).map(str::to_owned);
        let secret = |name: &str| env.get(name).map(Secret::new);
        Ok(Self {
            server: text("NATS_URL"),
            user: text("NATS_USER"),
            password: secret("NATS_PASSWORD"),
            token: secret("NATS_TOKEN"),
            creds: text("NATS_CREDS"),
            nkey: text("NATS_NKEY"),
            jwt: secret("NATS_JWT"),
            seed: secret("NATS_SEED"),
            tls_cert: text("NATS_CERT"),
            tls_key: text("NATS_KEY"),
            tls_ca: text("NATS_CA"),
            timeout: env.get("NATS_TIMEOUT").map(timeout).transpose()?,
            socks_proxy: text("NATS_SOCKS_PROXY"),
            context: text("NATS_CONTEXT").map(ContextChoice::Named),
            ..Self::default()
        })
    }

    /// These settings, with what they leave open taken from `below`.
    #[must_use]
    pub fn or(self, below: Self) -> Self {
        Self {
            server: self.server.or(below.server),
            user: self.user.or(below.user),
            password: self.password.or(below.password),
            token: self.token.or(below.token),
            creds: self.creds.or(below.creds),
            nkey: self.nkey.or(below.nkey),
            jwt: self.jwt.or(below.jwt),
            seed: self.seed.or(below.seed),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            tls_ca: self.tls_ca.or(below.tls_ca),
            tls_first: self.tls_first.or(below.tls_first),
            timeout: self.timeout.or(below.timeout),
            socks_proxy: self.socks_proxy.or(below.socks_proxy),
            js_domain: self.js_domain.or(below.js_domain),
            js_api_prefix: self.js_api_prefix.or(below.js_api_prefix),
            inbox_prefix: self.inbox_prefix.or(below.inbox_prefix),
            connection_name: self.connection_name.or(below.connection_name),
            context: self.context.or(below.context),
        }
    }
}

fn timeout(text: &str) -> Result<Duration, ConnectError> {
    protocol::submission::parse_span(text)
        .filter(|span| !span.is_zero())
        .ok_or_else(|| {
            ConnectError::setting(
                "NATS_TIMEOUT",
                format!("{text:?} is no span of time"),
                "give a number with a unit: 500ms, 5s, 2m",
            )
        })
}
