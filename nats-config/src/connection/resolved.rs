//! Settings and context made into one: what is used, and where each part came from.

use std::time::Duration;

use async_nats::ServerAddr;

use super::auth::{self, Auth};
use super::context::{self, Context, set};
use super::environment::Environment;
use super::error::ConnectError;
use super::settings::{ConnectionSettings, ContextChoice};
use crate::broker::Broker;
use crate::names::Names;

/// Where the server is when nothing says so.
const SERVER_DEFAULT: &str = "nats://127.0.0.1:4222";
/// How long to wait for a connection and for each answer when nothing says so.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// A value and where it stands, for errors.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: String,
}

impl<T> Placed<T> {
    pub(super) fn new(value: T, place: impl Into<String>) -> Self {
        Self {
            value,
            place: place.into(),
        }
    }
}

/// What is set, else what the context says.
pub(super) fn pick<T>(
    given: Option<T>,
    names: &str,
    context: Option<T>,
    place: String,
) -> Option<Placed<T>> {
    match given {
        Some(value) => Some(Placed::new(value, names)),
        None => context.map(|value| Placed::new(value, place)),
    }
}

/// How the broker is reached: the settings with their context, checked. Files of credentials are
/// read at each connection, so that a new one is taken up.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(super) servers: Vec<ServerAddr>,
    pub(super) auth: Auth,
    pub(super) tls: Tls,
    pub(super) timeout: Duration,
    pub(super) inbox_prefix: Option<String>,
    pub(super) name: Option<String>,
    api_prefix: Option<String>,
    context: String,
}

/// What the encrypted connection needs.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) pair: Option<(Placed<String>, Placed<String>)>,
    pub(super) ca: Option<Placed<String>>,
    pub(super) first: bool,
}

impl Connection {
    /// Reads the context, if any, fills the gaps and checks the relations.
    ///
    /// # Errors
    /// [`ConnectError::Setting`]: a value, a context file or a relation is wrong.
    pub fn resolve(settings: &ConnectionSettings, env: &Environment) -> Result<Self, ConnectError> {
        let choice = settings.context.as_ref().unwrap_or(&ContextChoice::None);
        Self::with_context(settings, context::load(choice, env)?, env)
    }

    /// The same with a context that was read already.
    ///
    /// # Errors
    /// As [`Connection::resolve`].
    pub fn with_context(
        settings: &ConnectionSettings,
        context: Context,
        env: &Environment,
    ) -> Result<Self, ConnectError> {
        refuse_proxy(settings, &context)?;
        let mut servers = servers(settings, &context)?;
        let auth = auth::resolve(settings, &context, &mut servers, env)?;
        let file = &context.file;
        let prefix = set(&file.inbox_prefix);
        let inbox = pick(
            settings.inbox_prefix.clone(),
            "--inbox-prefix",
            prefix,
            context.place("inbox_prefix"),
        );
        Ok(Self {
            servers,
            auth,
            tls: tls(settings, &context, env)?,
            timeout: timeout(settings)?,
            inbox_prefix: inbox.map(checked_prefix).transpose()?,
            name: settings.connection_name.clone(),
            api_prefix: api_prefix(settings, &context)?,
            context: context.name,
        })
    }

    /// The servers, without user and password.
    #[must_use]
    pub fn servers(&self) -> String {
        let all: Vec<&str> = self.servers.iter().map(ServerAddr::as_url_str).collect();
        all.join(",")
    }

    /// The servers, as the client takes them.
    #[must_use]
    pub fn addresses(&self) -> Vec<ServerAddr> {
        self.servers.clone()
    }

    /// How long to wait for each answer.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The prefix of the `JetStream` API, if it is not `$JS.API`.
    #[must_use]
    pub fn api_prefix(&self) -> Option<&str> {
        self.api_prefix.as_deref()
    }

    /// The raw requests of `names` over a connection, with this time-out and API prefix.
    #[must_use]
    pub fn broker(&self, client: async_nats::Client, names: Names) -> Broker {
        let broker = Broker::new(client, names).with_timeout(self.timeout);
        match &self.api_prefix {
            Some(prefix) => broker.with_api_prefix(prefix),
            None => broker,
        }
    }

    /// One line for the log: servers, context, way of authentication; no secret.
    #[must_use]
    pub fn describe(&self) -> String {
        let context = match self.context.as_str() {
            "" => "no context",
            name => name,
        };
        format!("{} ({context}; {})", self.servers(), self.auth.describe())
    }
}

fn refuse_proxy(settings: &ConnectionSettings, context: &Context) -> Result<(), ConnectError> {
    let proxy = pick(
        settings.socks_proxy.clone(),
        "--socks-proxy or NATS_SOCKS_PROXY",
        set(&context.file.socks_proxy),
        context.place("socks_proxy"),
    );
    match proxy {
        None => Ok(()),
        Some(proxy) => Err(ConnectError::setting(
            proxy.place,
            "connections through a SOCKS proxy are not supported",
            "reach the server directly, or forward a local port to it (`ssh -L 4222:server:4222`) and name that",
        )),
    }
}

fn servers(
    settings: &ConnectionSettings,
    context: &Context,
) -> Result<Vec<ServerAddr>, ConnectError> {
    let list = pick(
        settings.server.clone(),
        "-s, --server or NATS_URL",
        set(&context.file.url),
        context.place("url"),
    )
    .unwrap_or_else(|| Placed::new(SERVER_DEFAULT.to_owned(), "the default"));
    let parsed: Result<Vec<ServerAddr>, ConnectError> = list
        .value
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| server(text, &list.place))
        .collect();
    let parsed = parsed?;
    if parsed.is_empty() {
        return Err(bad_server(&list.place, &list.value));
    }
    Ok(parsed)
}

fn server(text: &str, place: &str) -> Result<ServerAddr, ConnectError> {
    let addr: ServerAddr = text.parse().map_err(|_| bad_server(place, text))?;
    let known = matches!(addr.scheme(), "nats" | "tls");
    if addr.is_websocket() {
        return Err(ConnectError::setting(
            place,
            "websocket connections are not supported",
            "name the server's client port with nats:// or tls://",
        ));
    }
    if !known || addr.host().is_empty() {
        return Err(bad_server(place, text));
    }
    Ok(addr)
}

fn bad_server(place: &str, text: &str) -> ConnectError {
    // What stands before the `@` may be a password.
    let shown = text.rsplit('@').next().unwrap_or_default();
    ConnectError::setting(
        place,
        format!("{shown:?} is no address of a server"),
        "give host:port or nats://host:port, several separated by commas",
    )
}

fn timeout(settings: &ConnectionSettings) -> Result<Duration, ConnectError> {
    match settings.timeout {
        Some(span) if span.is_zero() => Err(ConnectError::setting(
            "--timeout or NATS_TIMEOUT",
            "it is 0",
            "give the server time to answer, such as 5s",
        )),
        Some(span) => Ok(span),
        None => Ok(TIMEOUT_DEFAULT),
    }
}

fn tls(
    settings: &ConnectionSettings,
    context: &Context,
    env: &Environment,
) -> Result<Tls, ConnectError> {
    let file = &context.file;
    let path = |given: &Option<String>, names, in_context: &str, field| {
        let picked = pick(given.clone(), names, set(in_context), context.place(field));
        picked.map(|path| Placed::new(env.expand(&path.value), path.place))
    };
    let cert = path(
        &settings.tls_cert,
        "--tlscert or NATS_CERT",
        &file.cert,
        "cert",
    );
    let key = path(&settings.tls_key, "--tlskey or NATS_KEY", &file.key, "key");
    let pair = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(alone), None) => return Err(half_pair(alone.place, "a certificate without its key")),
        (None, Some(alone)) => return Err(half_pair(alone.place, "a key without its certificate")),
    };
    Ok(Tls {
        pair,
        ca: path(&settings.tls_ca, "--tlsca or NATS_CA", &file.ca, "ca"),
        first: settings.tls_first.unwrap_or(file.tls_first),
    })
}

fn half_pair(place: String, problem: &str) -> ConnectError {
    ConnectError::setting(place, problem, "give --tlscert and --tlskey together")
}

fn api_prefix(
    settings: &ConnectionSettings,
    context: &Context,
) -> Result<Option<String>, ConnectError> {
    let file = &context.file;
    let prefix = pick(
        settings.js_api_prefix.clone(),
        "--js-api-prefix",
        set(&file.jetstream_api_prefix),
        context.place("jetstream_api_prefix"),
    );
    let domain = pick(
        settings.js_domain.clone(),
        "--js-domain",
        set(&file.jetstream_domain),
        context.place("jetstream_domain"),
    );
    match (prefix, domain) {
        (Some(prefix), Some(domain)) => Err(ConnectError::setting(
            format!("{} and {}", domain.place, prefix.place),
            "a JetStream domain and an API prefix exclude each other",
            "give one of them",
        )),
        (Some(prefix), None) => checked_prefix(prefix).map(Some),
        (None, Some(domain)) => {
            let token = checked_prefix(domain)?;
            Ok(Some(format!("$JS.{token}.API")))
        }
        (None, None) => Ok(None),
    }
}

/// A prefix goes into subjects: a space or wildcard in it would break the protocol's lines.
fn checked_prefix(prefix: Placed<String>) -> Result<String, ConnectError> {
    let text = prefix.value;
    let bad = text.split('.').any(str::is_empty)
        || text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>'));
    if bad {
        return Err(ConnectError::setting(
            prefix.place,
            format!("{text:?} cannot begin a subject"),
            "give tokens separated by dots, without spaces, `*` and `>`",
        ));
    }
    Ok(text)
}
