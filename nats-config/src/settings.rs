//! What an operator chooses about the things on the broker. All else about them follows from the
//! protocol and is no setting.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How many servers keep each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Replicas {
    /// One: what is accepted is as safe as that server's disk.
    #[default]
    One,
    /// Three: one server may be lost.
    Three,
    /// Five: two servers may be lost.
    Five,
}

impl Replicas {
    /// The number.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Five => 5,
        }
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count().fmt(f)
    }
}

impl FromStr for Replicas {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        match text {
            "1" => Ok(Self::One),
            "3" => Ok(Self::Three),
            "5" => Ok(Self::Five),
            _ => Err(SettingsError {
                field: "replicas",
                value: text.to_owned(),
                rule: "it must be 1, 3 or 5: an even number of servers survives no more losses than the odd one below it",
            }),
        }
    }
}

/// A setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {rule}")]
pub struct SettingsError {
    field: &'static str,
    value: String,
    rule: &'static str,
}

/// What an operator chooses. All streams and buckets are kept in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many servers keep each message; default 1.
    pub replicas: Replicas,
    /// The room of the ledger in bytes; default 8 GiB. The broker reserves it. The door to new
    /// submissions closes at 80 % of it.
    pub ledger_bytes_max: u64,
    /// The room of the work queue in bytes; default 1 GiB. It holds about twice as many payloads as
    /// the workers have slots.
    pub work_bytes_max: u64,
    /// How long the lease of a leader is; default 15 s. The leaders' bucket forgets a record that
    /// nobody renewed after four times that.
    pub leader_lease: Duration,
    /// How long the presence of a worker is kept after it last spoke; default 15 s.
    pub presence_ttl: Duration,
}

/// Smallest room of a stream: below it, a few large payloads close the door.
const STREAM_BYTES_MIN: u64 = 1 << 20;
/// Longest leader lease.
const LEASE_MAX: Duration = Duration::from_secs(3_600);
/// The broker removes expired messages in steps of 250 ms to 1 s.
const SPAN_MIN: Duration = Duration::from_secs(1);

impl Default for Settings {
    fn default() -> Self {
        Self {
            replicas: Replicas::One,
            ledger_bytes_max: 8 << 30,
            work_bytes_max: 1 << 30,
            leader_lease: Duration::from_secs(15),
            presence_ttl: Duration::from_secs(15),
        }
    }
}

impl Settings {
    /// Checks every value.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), SettingsError> {
        for (field, bytes) in [
            ("ledger_bytes_max", self.ledger_bytes_max),
            ("work_bytes_max", self.work_bytes_max),
        ] {
            if bytes < STREAM_BYTES_MIN || i64::try_from(bytes).is_err() {
                return Err(SettingsError {
                    field,
                    value: bytes.to_string(),
                    rule: "it must be 1 MiB to 8 EiB, in bytes",
                });
            }
        }
        for (field, span) in [
            ("leader_lease", self.leader_lease),
            ("presence_ttl", self.presence_ttl),
        ] {
            if !(SPAN_MIN..=LEASE_MAX).contains(&span) {
                return Err(SettingsError {
                    field,
                    value: format!("{span:?}"),
                    rule: "it must be 1 s to 1 h",
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Replicas, Settings};

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Settings::default().validate(), Ok(()));
    }

    #[test]
    fn impossible_settings_are_named() {
        let check = |settings: Settings, field: &str| {
            let error = settings.validate().expect_err(field).to_string();
            assert!(error.starts_with(field), "{error}");
        };
        let base = Settings::default;
        let small = Settings {
            ledger_bytes_max: 9,
            ..base()
        };
        check(small, "ledger_bytes_max");
        let large = Settings {
            work_bytes_max: u64::MAX,
            ..base()
        };
        check(large, "work_bytes_max");
        let short = Settings {
            leader_lease: Duration::ZERO,
            ..base()
        };
        check(short, "leader_lease");
        let long = Settings {
            presence_ttl: Duration::from_secs(3_601),
            ..base()
        };
        check(long, "presence_ttl");
        for text in ["0", "2", "4", "many", ""] {
            let error = text.parse::<Replicas>().expect_err(text).to_string();
            assert!(error.contains("1, 3 or 5"), "{error}");
        }
        assert_eq!("3".parse(), Ok(Replicas::Three));
    }
}
