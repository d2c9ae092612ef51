//! The fields of a queue's configuration as flags: what is given replaces what is there.

use std::str::FromStr;
use std::time::Duration;

use protocol::config::QueueConfig;
use protocol::id::Kind;

/// A value that can also be taken away, by the word `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Clearable<T>(Option<T>);

impl<T: FromStr> FromStr for Clearable<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "none" => Ok(Self(None)),
            _ => text.parse().map(|value| Self(Some(value))),
        }
    }
}

/// A span in whole milliseconds, such as `1s` or `1m 30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Millis(u64);

impl FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: Duration = humantime::parse_duration(text)
            .map_err(|error| format!("{error}; give a span such as 500ms, 30s or 5m"))?;
        u64::try_from(span.as_millis())
            .map(Self)
            .map_err(|_| "that is too long".to_owned())
    }
}

/// What may be said of a queue.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct QueueFields {
    /// The kind of a job that names none [default: the queue's name]; `none` clears it.
    #[arg(long)]
    kind: Option<Clearable<Kind>>,
    /// The kinds that the queue takes, separated by commas [default: any]; `none` clears them.
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    kinds: Option<Vec<Clearable<Kind>>>,
    /// Where a JSON payload holds the kind, as a JSON pointer such as /type; `none` clears it.
    #[arg(long, value_name = "POINTER")]
    kind_pointer: Option<Clearable<String>>,
    /// Where a JSON payload holds the key, as a JSON pointer such as /market; `none` clears it.
    #[arg(long, value_name = "POINTER")]
    key_pointer: Option<Clearable<String>>,
    /// How many attempts may fail before the job is discarded, 1 to 1000 [default: 5].
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// The delay before the second attempt; it doubles with each [default: 1s].
    #[arg(long, value_name = "SPAN")]
    backoff: Option<Millis>,
    /// The longest delay between two attempts [default: 10m].
    #[arg(long, value_name = "SPAN")]
    backoff_max: Option<Millis>,
    /// The longest run of one attempt [default: as long as its lease is kept]; `none` clears it.
    #[arg(long, value_name = "SPAN")]
    job_timeout: Option<Clearable<Millis>>,
    /// How long a worker may be silent about an attempt [default: 30s].
    #[arg(long, value_name = "SPAN")]
    work_lease: Option<Millis>,
    /// How long after a worker went missing its jobs without a key are handed on [default: 300ms];
    /// `none` waits for the lease.
    #[arg(long, value_name = "SPAN")]
    rescue: Option<Clearable<Millis>>,
    /// The same for jobs with a key [default: 2500ms]; `none` waits for the lease.
    #[arg(long, value_name = "SPAN")]
    rescue_keyed: Option<Clearable<Millis>>,
    /// Most jobs outstanding at a time [default: as many as there is room for]; `none` clears it.
    #[arg(long, value_name = "COUNT")]
    max_outstanding: Option<Clearable<u32>>,
}

/// Puts what is given in the place of what is there.
fn put<T>(place: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *place = value;
    }
}

impl QueueFields {
    /// `config` with what is given in its place.
    pub(crate) fn over(self, mut config: QueueConfig) -> QueueConfig {
        let millis = |given: Option<Clearable<Millis>>| given.map(|value| value.0.map(|ms| ms.0));
        put(&mut config.kind, self.kind.map(|kind| kind.0));
        let kinds = self
            .kinds
            .map(|kinds| kinds.into_iter().filter_map(|kind| kind.0).collect());
        put(&mut config.kinds, kinds);
        put(&mut config.kind_pointer, self.kind_pointer.map(|at| at.0));
        put(&mut config.key_pointer, self.key_pointer.map(|at| at.0));
        put(&mut config.max_attempts, self.max_attempts);
        put(&mut config.backoff_base_ms, self.backoff.map(|ms| ms.0));
        put(&mut config.backoff_max_ms, self.backoff_max.map(|ms| ms.0));
        put(&mut config.timeout_ms, millis(self.job_timeout));
        put(&mut config.work_lease_ms, self.work_lease.map(|ms| ms.0));
        put(&mut config.rescue_ms, millis(self.rescue));
        put(&mut config.rescue_keyed_ms, millis(self.rescue_keyed));
        put(
            &mut config.max_outstanding,
            self.max_outstanding.map(|max| max.0),
        );
        config
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use protocol::config::QueueConfig;

    use super::QueueFields;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        fields: QueueFields,
    }

    fn over(arguments: &[&str], config: QueueConfig) -> QueueConfig {
        let line = std::iter::once("queue").chain(arguments.iter().copied());
        let line = Line::try_parse_from(line).expect("the flags are right");
        line.fields.over(config)
    }

    #[test]
    fn what_is_given_replaces_and_the_rest_stays() {
        let config = over(
            &[
                "--kind",
                "invoice.check",
                "--kinds",
                "invoice.check,b",
                "--key-pointer",
                "/market",
                "--backoff",
                "2s",
                "--rescue",
                "none",
                "--job-timeout",
                "1m 30s",
            ],
            QueueConfig::default(),
        );
        assert_eq!(config.kinds.len(), 2);
        assert_eq!(config.backoff_base_ms, 2_000);
        assert_eq!(config.rescue_ms, None);
        assert_eq!(config.timeout_ms, Some(90_000));
        assert_eq!(config.max_attempts, 5);
        let cleared = over(
            &[
                "--kind",
                "none",
                "--kinds",
                "none",
                "--key-pointer",
                "none",
                "--job-timeout",
                "none",
            ],
            config,
        );
        assert_eq!((cleared.kind, cleared.key_pointer), (None, None));
        assert!(cleared.kinds.is_empty());
        assert_eq!(cleared.timeout_ms, None);
        assert_eq!(cleared.backoff_base_ms, 2_000);
    }
}
