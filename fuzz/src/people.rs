//! What comes in from people and their files: command lines, configuration, addresses, contexts,
//! credentials. It is refused with a text that holds no secret, or taken as it will be used.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use coordinator::cli::{self, Asked};
use coordinator::settings::{ConfigFile, Layer, RunSettings};
use nats_config::connection::{
    Connection, ConnectionSettings, Context, ContextChoice, Environment, Secret, seed_in,
};
use protocol::config::QueueConfig;
use protocol::id::JobId;
use protocol::submission::{Parsed, Submission};

/// Most words of a command line.
const WORDS_MAX: usize = 40;

/// A command line: a word each line.
pub fn arguments(data: &[u8]) {
    let words = data.split(|byte| *byte == b'\n').take(WORDS_MAX);
    let words = words.map(|word| OsStr::from_bytes(word).to_owned());
    let line = std::iter::once(OsString::from("coordinator")).chain(words);
    let arguments = match cli::read(line) {
        Ok(arguments) => arguments,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    match arguments.asked() {
        Ok(Asked::Run(layer)) => run_with(*layer, &ConfigFile::default()),
        Ok(Asked::Queue(_, config)) => {
            assert_eq!(QueueConfig::parse(&config.to_json()), Ok(*config));
        }
        Ok(Asked::Job(_, id)) => assert_eq!(JobId::from_encoded(id.as_encoded()), Ok(id)),
        Ok(Asked::Submission(_, id, submission)) => {
            assert_eq!(JobId::from_encoded(id.as_encoded()), Ok(id));
            let headers: HashMap<&str, String> = submission.to_headers().into_iter().collect();
            let again = Submission::parse(|name| headers.get(name).map(String::as_str));
            assert_eq!(again, Ok(Parsed::Known(*submission)));
        }
        Ok(Asked::Other) => {}
        Err(failure) => drop(format!("{failure:?}")),
    }
}

/// A configuration file.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match ConfigFile::parse(text, "coordinator.toml") {
        Ok(file) => {
            drop(file.stands("--server, name: window"));
            run_with(Layer::default(), &file);
        }
        Err(error) => assert!(error.to_string().contains("coordinator.toml")),
    }
}

/// What a coordinator would start with.
fn run_with(flags: Layer, file: &ConfigFile) {
    let settings = match RunSettings::from_layers(flags, file) {
        Ok(settings) => settings,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(settings.name.as_str().parse(), Ok(settings.name.clone()));
    assert!((1..=512).contains(&settings.window.get()));
    assert!(matches!(settings.replicas.get(), 1 | 3 | 5));
    let size = settings.ledger_max_bytes;
    assert!(size.get() >= 1 << 20 && i64::try_from(size.get()).is_ok());
    assert_eq!(size.to_string().parse(), Ok(size));
    reach(&settings.connection, Context::default());
}

/// What would be connected to; the texts that are shown of it.
fn reach(settings: &ConnectionSettings, context: Context) -> String {
    let env = Environment::of([("HOME", "/nowhere"), ("A", "of the variable")]);
    let settings = ConnectionSettings {
        context: Some(ContextChoice::None),
        ..settings.clone()
    };
    let connection = match Connection::with_context(&settings, context, &env) {
        Ok(connection) => connection,
        Err(error) => return error.to_string(),
    };
    let addresses = connection.addresses();
    assert!(!addresses.is_empty());
    for address in &addresses {
        assert!(matches!(address.scheme(), "nats" | "tls"), "{address:?}");
        let secret = address.username().or(address.password());
        assert_eq!(secret, None, "it stays in {address:?}, which is logged");
    }
    assert!(!connection.timeout().is_zero());
    if let Some(prefix) = connection.api_prefix() {
        let breaks = |symbol: char| symbol.is_whitespace() || symbol.is_control();
        assert!(!prefix.contains(breaks), "{prefix:?}");
    }
    format!("{} {connection:?}", connection.describe())
}

/// Addresses of servers and what else a line of the protocol is made of, a line each.
pub fn connection(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n').map(str::to_owned);
    let settings = ConnectionSettings {
        server: lines.next(),
        js_api_prefix: lines.next().filter(|line| !line.is_empty()),
        js_domain: lines.next().filter(|line| !line.is_empty()),
        inbox_prefix: lines.next(),
        socks_proxy: lines.next(),
        password: lines.next().map(Secret::from),
        user: lines.next(),
        ..ConnectionSettings::default()
    };
    reach(&settings, Context::default());
}

/// A context file.
pub fn context(data: &[u8]) {
    let parsed = Context::parse(data, "the context");
    let read: Option<HashMap<String, serde_json::Value>> = serde_json::from_slice(data).ok();
    let fields = read.unwrap_or_default();
    let shown = match parsed {
        Ok(context) => reach(&ConnectionSettings::default(), context),
        Err(error) => error.to_string(),
    };
    for name in ["password", "token", "user_jwt", "user_seed"] {
        let Some(secret) = fields.get(name).and_then(|value| value.as_str()) else {
            continue;
        };
        let mut others = fields.iter().filter(|(other, _)| *other != name);
        // Long enough to be no word of a message, and said by no field that may be shown.
        let elsewhere = others.any(|(_, other)| other.to_string().contains(secret));
        if secret.len() > 24 && !elsewhere {
            assert!(!shown.contains(secret), "{name} is shown: {shown}");
        }
    }
}

/// Credentials and seeds, as their files hold them.
pub fn credentials(data: &[u8]) {
    let uri: String = data.iter().map(|byte| format!("%{byte:02x}")).collect();
    let creds = ConnectionSettings {
        creds: Some(format!("data:,{uri}")),
        ..ConnectionSettings::default()
    };
    options_of(&creds, data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match seed_in(text, "the file") {
        Ok(seed) => assert!(text.contains(seed.reveal())),
        Err(error) => quotes_nothing(&error.to_string(), data),
    }
    let (jwt, seed) = text.split_once("\n\n").unwrap_or((text, ""));
    let pair = ConnectionSettings {
        jwt: Some(Secret::new(jwt)),
        seed: Some(Secret::new(seed)).filter(|_| !seed.is_empty()),
        ..ConnectionSettings::default()
    };
    options_of(&pair, data);
}

fn options_of(settings: &ConnectionSettings, data: &[u8]) {
    let env = Environment::of([("A", "of the variable")]);
    let resolved = Connection::with_context(settings, Context::default(), &env);
    match resolved.and_then(|connection| connection.options()) {
        Ok(_) => {}
        Err(error) => quotes_nothing(&error.to_string(), data),
    }
}

/// No long word of a secret file stands in an error.
fn quotes_nothing(shown: &str, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Words, since a whole sentence of ours may stand in an input; longer than ours are.
    for word in text.split_whitespace().filter(|word| word.len() > 24) {
        let is_uri = ["env://", "op://", "nsc://"];
        if !is_uri.iter().any(|start| word.starts_with(start)) {
            assert!(!shown.contains(word), "{shown}");
        }
    }
}
