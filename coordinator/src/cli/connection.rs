//! natscli's connection flags and variables, made into connection settings.

use std::str::FromStr;
use std::time::Duration;

use nats_config::connection::{ConnectionSettings, ContextChoice, Secret};

/// The flags that every command shares.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection, as for the nats command line")]
pub(crate) struct ConnectionArguments {
    /// NATS servers, separated by commas [default: nats://127.0.0.1:4222].
    #[arg(
        short,
        long,
        global = true,
        env = "NATS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    server: Option<String>,
    /// User, or a token if there is no password.
    #[arg(long, global = true, env = "NATS_USER", hide_env_values = true)]
    user: Option<String>,
    /// Password; better given by the variable.
    #[arg(long, global = true, env = "NATS_PASSWORD", hide_env_values = true)]
    password: Option<Secret>,
    /// Token; better given by the variable.
    #[arg(long, global = true, env = "NATS_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
    /// Credentials file, or a file://, env:// or data: URI.
    #[arg(
        long,
        global = true,
        env = "NATS_CREDS",
        hide_env_values = true,
        value_name = "FILE"
    )]
    creds: Option<String>,
    /// File with an nkey seed.
    #[arg(
        long,
        global = true,
        env = "NATS_NKEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    nkey: Option<String>,
    /// User JWT; better given by the variable.
    #[arg(long, global = true, env = "NATS_JWT", hide_env_values = true)]
    jwt: Option<Secret>,
    /// The seed that signs for the JWT; better given by the variable.
    #[arg(long, global = true, env = "NATS_SEED", hide_env_values = true)]
    seed: Option<Secret>,
    /// The client's certificate, PEM.
    #[arg(
        long,
        global = true,
        env = "NATS_CERT",
        hide_env_values = true,
        value_name = "FILE"
    )]
    tlscert: Option<String>,
    /// The certificate's private key, PEM.
    #[arg(
        long,
        global = true,
        env = "NATS_KEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    tlskey: Option<String>,
    /// The certificate authorities to trust, PEM.
    #[arg(
        long,
        global = true,
        env = "NATS_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    tlsca: Option<String>,
    /// Shake hands for TLS before the server's first line.
    #[arg(long, visible_alias = "tls-first", global = true)]
    tlsfirst: bool,
    /// How long to wait for a connection and for each answer [default: 5s].
    #[arg(
        long,
        global = true,
        env = "NATS_TIMEOUT",
        hide_env_values = true,
        value_name = "SPAN"
    )]
    timeout: Option<Span>,
    /// A SOCKS proxy; not supported.
    #[arg(
        long,
        global = true,
        env = "NATS_SOCKS_PROXY",
        hide_env_values = true,
        hide = true
    )]
    socks_proxy: Option<String>,
    /// The JetStream domain.
    #[arg(long, global = true, value_name = "DOMAIN")]
    js_domain: Option<String>,
    /// The prefix of the JetStream API.
    #[arg(long, global = true, value_name = "PREFIX")]
    js_api_prefix: Option<String>,
    /// The prefix of inboxes [default: _INBOX].
    #[arg(long, global = true, value_name = "PREFIX")]
    inbox_prefix: Option<String>,
    /// The connection's name on the server.
    #[arg(long, global = true, value_name = "NAME")]
    connection_name: Option<String>,
    /// The context to use: a name, or a path ending in .json.
    #[arg(
        long,
        global = true,
        env = "NATS_CONTEXT",
        hide_env_values = true,
        value_name = "NAME"
    )]
    context: Option<String>,
    /// Use no context, not even the selected one.
    #[arg(long, global = true)]
    no_context: bool,
}

/// A span of time, or nothing where the variable is set to nothing.
#[derive(Debug, Clone, Copy)]
struct Span(Option<Duration>);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        humantime::parse_duration(text)
            .map(|span| Self(Some(span)))
            .map_err(|error| format!("{error}; give a span such as 500ms, 5s or 2m"))
    }
}

/// A variable that is set to nothing is not set, as for natscli.
fn text(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}

fn secret(value: Option<Secret>) -> Option<Secret> {
    value.filter(|secret| !secret.reveal().is_empty())
}

impl ConnectionArguments {
    /// For a process that runs on: a context is used only if it is named.
    pub(crate) fn running(self) -> ConnectionSettings {
        let named = text(self.context).map(ContextChoice::Named);
        let context = match self.no_context {
            true => Some(ContextChoice::None),
            false => named,
        };
        ConnectionSettings {
            server: text(self.server),
            user: text(self.user),
            password: secret(self.password),
            token: secret(self.token),
            creds: text(self.creds),
            nkey: text(self.nkey),
            jwt: secret(self.jwt),
            seed: secret(self.seed),
            tls_cert: text(self.tlscert),
            tls_key: text(self.tlskey),
            tls_ca: text(self.tlsca),
            tls_first: self.tlsfirst.then_some(true),
            timeout: self.timeout.and_then(|span| span.0),
            socks_proxy: text(self.socks_proxy),
            js_domain: text(self.js_domain),
            js_api_prefix: text(self.js_api_prefix),
            inbox_prefix: text(self.inbox_prefix),
            connection_name: text(self.connection_name),
            context,
        }
    }

    /// For a command of a person: the selected context is used unless another is named.
    pub(crate) fn interactive(self) -> ConnectionSettings {
        let mut settings = self.running();
        settings.context.get_or_insert(ContextChoice::Selected);
        settings
    }
}
