//! What an election is told at its start, and which of it cannot be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::leadership::{Detection, LeaseTimings, Mode, TimingsError};

const NAME_BYTES_MAX: usize = 256;
/// No interval is shorter: the election would do nothing else.
const SPAN_MIN: Duration = Duration::from_millis(1);

/// Servers and how to connect to them, made anew for each connection.
pub type BrokerSource = Arc<
    dyn Fn() -> BoxFuture<'static, Result<(Vec<ServerAddr>, ConnectOptions), BoxError>>
        + Send
        + Sync,
>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How the election connects. It keeps a connection of its own, on which nothing else waits, and
/// throws it away when it breaks.
#[derive(Clone)]
pub struct Broker {
    source: BrokerSource,
}

impl Broker {
    /// Always the same servers and options.
    ///
    /// The options give name, credentials and TLS; limits, time-outs and reconnection are the
    /// election's own. They must not say `retry_on_initial_connect`.
    #[must_use]
    pub fn new(servers: Vec<ServerAddr>, options: ConnectOptions) -> Self {
        Self::with(Arc::new(move || {
            futures::future::ready(Ok((servers.clone(), options.clone()))).boxed()
        }))
    }

    /// Servers and options asked for at each connection, such as credentials that change on disk.
    #[must_use]
    pub fn with(source: BrokerSource) -> Self {
        Self { source }
    }

    pub(crate) async fn servers(&self) -> Result<(Vec<ServerAddr>, ConnectOptions), BoxError> {
        (self.source)().await
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

/// Whether the election may make its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provision {
    /// Make it at the start if it is missing. Once seen, it is never made again by this process.
    CreateIfMissing,
    /// It must be there.
    VerifyOnly,
}

/// One election, as one process takes part in it.
#[derive(Debug, Clone)]
pub struct ElectionConfig {
    /// How to connect.
    pub broker: Broker,
    /// The bucket; its stream is `KV_<bucket>`. Letters, digits, `_` and `-`.
    pub bucket: String,
    /// The key: one a leadership. Letters, digits and `-_=/.`, no dot at an end or doubled.
    pub key: String,
    /// This process's name for people, up to 256 bytes. Names may coincide.
    pub holder: String,
    /// Where this process runs, for people. May be empty.
    pub host: String,
    /// Lease, renewal, request, margin. Default: stable.
    pub timings: LeaseTimings,
    /// Fenced or strict. Default: strict, which needs no fence.
    pub mode: Mode,
    /// The holder answers on `<ping_prefix>.<incarnation>`, and in fenced mode beats on
    /// `<ping_prefix>.<incarnation>.beat`. Default: `election.<bucket>.<key>`.
    pub ping_prefix: String,
    /// The least number of replicas of the bucket. Default 1.
    pub replicas: usize,
    /// Whether the bucket may be made. Default: yes.
    pub provision: Provision,
    /// Pings, beats and damping.
    pub detection: Detection,
    /// Within this time the program must call [`alive`](crate::Election::alive), from the start on:
    /// otherwise it neither leads on nor takes over. Default: it need not.
    pub progress_within: Option<Duration>,
}

/// The configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The times do not fit together.
    #[error(transparent)]
    Timings(#[from] TimingsError),
    /// A value has a form that the broker or a record cannot hold.
    #[error("configure the election: `{field}` is {value:?}, expected {expected}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What it holds, cut short.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
}

/// Where the holders of an election answer pings, unless they say otherwise.
#[must_use]
pub fn ping_prefix(bucket: &str, key: &str) -> String {
    format!("election.{bucket}.{key}")
}

impl ElectionConfig {
    /// An election with the defaults, held under the name `unnamed`.
    #[must_use]
    pub fn new(broker: Broker, bucket: &str, key: &str) -> Self {
        Self {
            broker,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            holder: "unnamed".to_owned(),
            host: String::new(),
            timings: LeaseTimings::stable(),
            mode: Mode::Strict,
            ping_prefix: ping_prefix(bucket, key),
            replicas: 1,
            provision: Provision::CreateIfMissing,
            detection: Detection::default(),
            progress_within: None,
        }
    }

    /// Checks each value and the relations of the times.
    ///
    /// # Errors
    /// Names the value and what it may be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.timings.validate()?;
        let fault = |field, value: &str, expected| {
            Err(ConfigError::Value {
                field,
                value: value.chars().take(64).collect(),
                expected,
            })
        };
        if !is_token(&self.bucket) {
            return fault("bucket", &self.bucket, "1 to 128 of A-Z, a-z, 0-9, _ and -");
        }
        if !is_path(&self.key, "-_=/") {
            return fault(
                "key",
                &self.key,
                "letters, digits, -_=/ and single dots inside",
            );
        }
        if !is_path(&self.ping_prefix, "-_=/%$") {
            return fault(
                "ping_prefix",
                &self.ping_prefix,
                "a subject without wildcards",
            );
        }
        for (field, name) in [("holder", &self.holder), ("host", &self.host)] {
            let empty = field == "holder" && name.is_empty();
            if empty || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                return fault(field, name, "at most 256 bytes without control characters");
            }
        }
        if !(1..=5).contains(&self.replicas) {
            return fault("replicas", &self.replicas.to_string(), "1 to 5");
        }
        self.validate_spans()
    }

    fn validate_spans(&self) -> Result<(), ConfigError> {
        let spans = [
            ("detection.every", Some(self.detection.every)),
            ("detection.beat_every", Some(self.detection.beat_every)),
            ("detection.ping_wait", Some(self.detection.ping_wait)),
            ("progress_within", self.progress_within),
        ];
        for (field, span) in spans {
            if span.is_some_and(|span| span < SPAN_MIN) {
                return Err(ConfigError::Value {
                    field,
                    value: format!("{:?}", span.unwrap_or_default()),
                    expected: "1 ms or more",
                });
            }
        }
        Ok(())
    }

    pub(crate) fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    pub(crate) fn subject(&self) -> String {
        format!("$KV.{}.{}", self.bucket, self.key)
    }
}

fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !text.is_empty() && text.len() <= 128 && text.bytes().all(fits)
}

fn is_path(text: &str, marks: &str) -> bool {
    let fits = |byte: char| byte.is_ascii_alphanumeric() || marks.contains(byte);
    let part = |part: &str| !part.is_empty() && part.chars().all(fits);
    text.len() <= NAME_BYTES_MAX && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Broker, ElectionConfig};

    fn config() -> ElectionConfig {
        let broker = Broker::new(Vec::new(), async_nats::ConnectOptions::new());
        ElectionConfig::new(broker, "leaders", "jobs.work")
    }

    #[test]
    fn the_defaults_are_usable() {
        assert_eq!(config().validate(), Ok(()));
    }

    #[test]
    fn what_a_subject_or_record_cannot_hold_is_refused_by_name() {
        let check = |field: &str, change: fn(&mut ElectionConfig)| {
            let mut config = config();
            change(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        };
        check("bucket", |c| c.bucket = "a.b".into());
        check("bucket", |c| c.bucket = String::new());
        check("key", |c| c.key = "a..b".into());
        check("key", |c| c.key = "a.*".into());
        check("key", |c| c.key = "a b".into());
        check("ping_prefix", |c| c.ping_prefix = "x.>".into());
        check("ping_prefix", |c| c.ping_prefix = "x\n".into());
        check("holder", |c| c.holder = String::new());
        check("holder", |c| c.holder = "x".repeat(257));
        check("host", |c| c.host = "a\u{7}".into());
        check("replicas", |c| c.replicas = 6);
        check("renew", |c| c.timings.renew = c.timings.lease);
        check("every", |c| c.detection.every = Duration::ZERO);
        check("beat_every", |c| c.detection.beat_every = Duration::ZERO);
        check("ping_wait", |c| c.detection.ping_wait = Duration::ZERO);
        check("progress", |c| c.progress_within = Some(Duration::ZERO));
    }
}
