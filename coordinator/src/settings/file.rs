//! The configuration file: where it lies, what it may say, and on which line it is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nats_config::connection::{ConnectionSettings, ContextChoice, Environment, Secret};
use protocol::id::Namespace;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::Layer;
use super::value::{
    ByteSize, CoordinatorName, LeaseProfile, LogFormat, Provision, Replicas, Window,
};

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(
        "configuration file {path} cannot be read: {why}; name one that exists with --config or COORDINATOR_CONFIG, or leave both out"
    )]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        why: std::io::Error,
    },
    /// It is no TOML, or has a key or value that is not taken; the text shows the line.
    #[error("configuration file {path}: {why}")]
    Content {
        /// The file.
        path: String,
        /// The line, marked, and what it takes.
        why: String,
    },
}

/// A configuration file, read; an empty one where there is none.
#[derive(Debug, Clone, Default)]
pub struct ConfigFile {
    /// What it says.
    pub layer: Layer,
    path: String,
    /// On which line each key stands.
    lines: BTreeMap<&'static str, usize>,
}

/// One value: a text in the form that the flag takes, or a bare number.
struct Value<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueText).and_then(|text| {
            text.parse()
                .map(Self)
                .map_err(|error: T::Err| D::Error::custom(error))
        })
    }
}

struct ValueText;

impl Visitor<'_> for ValueText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

/// A span of time such as `5s`.
struct Span(Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Self).map_err(|error| {
            format!("{text:?} is not a span of time such as 500ms, 5s or 2m: {error}")
        })
    }
}

type Field<T> = Option<Spanned<Value<T>>>;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    name: Field<CoordinatorName>,
    namespace: Field<Namespace>,
    provision: Field<Provision>,
    replicas: Field<Replicas>,
    ledger_max_bytes: Field<ByteSize>,
    lease: Field<LeaseProfile>,
    window: Field<Window>,
    log_format: Field<LogFormat>,
    nats: Nats,
}

/// The connection, by the names of natscli's flags.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Nats {
    server: Field<String>,
    user: Field<String>,
    password: Field<Secret>,
    token: Field<Secret>,
    creds: Field<String>,
    nkey: Field<String>,
    jwt: Field<Secret>,
    seed: Field<Secret>,
    tlscert: Field<String>,
    tlskey: Field<String>,
    tlsca: Field<String>,
    tlsfirst: Option<Spanned<bool>>,
    timeout: Field<Span>,
    socks_proxy: Field<String>,
    js_domain: Field<String>,
    js_api_prefix: Field<String>,
    inbox_prefix: Field<String>,
    connection_name: Field<String>,
    context: Field<String>,
}

impl ConfigFile {
    /// Reads the file that is named, else the first that exists of `./coordinator.toml`,
    /// `$XDG_CONFIG_HOME/coordinator/config.toml` and `/etc/coordinator/config.toml`.
    ///
    /// # Errors
    /// The named file does not exist, or the file cannot be read or used.
    pub fn find(named: Option<PathBuf>, env: &Environment) -> Result<Self, FileError> {
        if let Some(path) = named {
            return Self::read(&path);
        }
        let usual = [
            Some(PathBuf::from("coordinator.toml")),
            env.config_home()
                .map(|home| home.join("coordinator").join("config.toml")),
            Some(PathBuf::from("/etc/coordinator/config.toml")),
        ];
        match usual.into_iter().flatten().find(|path| path.exists()) {
            Some(path) => Self::read(&path),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self, FileError> {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &shown),
            Err(why) => Err(FileError::Read { path: shown, why }),
        }
    }

    /// Reads the text of a file that is called `path` in errors.
    ///
    /// # Errors
    /// [`FileError::Content`].
    pub fn parse(text: &str, path: &str) -> Result<Self, FileError> {
        let document: Document = toml::from_str(text).map_err(|error| FileError::Content {
            path: path.to_owned(),
            why: without_secret(&error, text),
        })?;
        let mut lines = Lines {
            text,
            found: BTreeMap::new(),
        };
        let layer = Layer {
            name: lines.take("name", document.name),
            namespace: lines.take("namespace", document.namespace),
            provision: lines.take("provision", document.provision),
            replicas: lines.take("replicas", document.replicas),
            ledger_max_bytes: lines.take("ledger_max_bytes", document.ledger_max_bytes),
            lease: lines.take("lease", document.lease),
            window: lines.take("window", document.window),
            log_format: lines.take("log_format", document.log_format),
            connection: lines.connection(document.nats),
        };
        Ok(Self {
            layer,
            path: path.to_owned(),
            lines: lines.found,
        })
    }

    /// Where the file says what `error` is about: ` (FILE:LINE says KEY)`, or nothing.
    #[must_use]
    pub fn stands(&self, error: &str) -> String {
        let places: Vec<String> = self
            .lines
            .iter()
            .filter(|(key, _)| {
                let flag = key.strip_prefix("nats.").map(|name| format!("--{name}"));
                let word = flag.as_deref().unwrap_or(key);
                error.split([' ', ',', ':', ';']).any(|part| part == word)
            })
            .map(|(key, line)| format!("{}:{line} sets {key}", self.path))
            .collect();
        if places.is_empty() {
            return String::new();
        }
        format!(" ({})", places.join(", "))
    }
}

/// The parser's text quotes the line, and a line may hold a secret.
fn without_secret(error: &toml::de::Error, text: &str) -> String {
    let Some(span) = error.span() else {
        return error.to_string();
    };
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let secret = ["password", "token", "jwt", "seed", "creds", "@"]
        .iter()
        .any(|word| line.contains(word));
    if secret {
        let number = line_of(text, span.start);
        format!("line {number}: {}", error.message())
    } else {
        error.to_string().trim_end().to_owned()
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

struct Lines<'a> {
    text: &'a str,
    found: BTreeMap<&'static str, usize>,
}

impl Lines<'_> {
    fn note<T>(&mut self, key: &'static str, field: Spanned<T>) -> T {
        let line = line_of(self.text, field.span().start);
        self.found.insert(key, line);
        field.into_inner()
    }

    fn take<T>(&mut self, key: &'static str, field: Field<T>) -> Option<T> {
        field.map(|field| self.note(key, field).0)
    }

    fn connection(&mut self, nats: Nats) -> ConnectionSettings {
        ConnectionSettings {
            server: self.take("nats.server", nats.server),
            user: self.take("nats.user", nats.user),
            password: self.take("nats.password", nats.password),
            token: self.take("nats.token", nats.token),
            creds: self.take("nats.creds", nats.creds),
            nkey: self.take("nats.nkey", nats.nkey),
            jwt: self.take("nats.jwt", nats.jwt),
            seed: self.take("nats.seed", nats.seed),
            tls_cert: self.take("nats.tlscert", nats.tlscert),
            tls_key: self.take("nats.tlskey", nats.tlskey),
            tls_ca: self.take("nats.tlsca", nats.tlsca),
            tls_first: nats.tlsfirst.map(|field| self.note("nats.tlsfirst", field)),
            timeout: self.take("nats.timeout", nats.timeout).map(|span| span.0),
            socks_proxy: self.take("nats.socks-proxy", nats.socks_proxy),
            js_domain: self.take("nats.js-domain", nats.js_domain),
            js_api_prefix: self.take("nats.js-api-prefix", nats.js_api_prefix),
            inbox_prefix: self.take("nats.inbox-prefix", nats.inbox_prefix),
            connection_name: self.take("nats.connection-name", nats.connection_name),
            context: self
                .take("nats.context", nats.context)
                .map(ContextChoice::Named),
        }
    }
}
