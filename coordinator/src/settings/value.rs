//! The values that settings take, each parsed once, from flags, environment and file alike.

use std::fmt;
use std::str::FromStr;

use protocol::id::{NameError, WorkerId};
use protocol::subject::FENCE_LEN;

/// A value that its setting does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {expected}")]
pub struct ValueError {
    given: String,
    expected: &'static str,
}

impl ValueError {
    fn new(given: &str, expected: &'static str) -> Self {
        Self {
            given: given.chars().take(64).collect(),
            expected,
        }
    }
}

macro_rules! choice {
    (
        $(#[$doc:meta])* $name:ident, $expected:literal,
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The word for it in flags and files.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(ValueError::new(text, $expected)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice!(
    /// What a coordinator does about the things that must exist on the broker.
    Provision, "one of create, verify, off",
    /// Makes what is missing and repairs what may be repaired.
    #[default]
    Create = "create",
    /// Compares and reports; changes nothing.
    Verify = "verify",
    /// Leaves it to somebody else.
    Off = "off"
);

choice!(
    /// The times of the election.
    LeaseProfile, "one of stable, quick, test",
    /// A lease of 15 s: a broker that elects pauses work and moves no leadership.
    #[default]
    Stable = "stable",
    /// A shorter lease, for one server.
    Quick = "quick",
    /// So short that a test sees it end.
    Test = "test"
);

choice!(
    /// How log lines look.
    LogFormat, "one of text, json",
    /// For people.
    #[default]
    Text = "text",
    /// One JSON object a line.
    Json = "json"
);

impl Provision {
    /// What the broker is asked to do.
    #[must_use]
    pub const fn mode(self) -> nats_config::Mode {
        match self {
            Self::Create => nats_config::Mode::Create,
            Self::Verify => nats_config::Mode::Verify,
            Self::Off => nats_config::Mode::Off,
        }
    }
}

/// On how many servers each stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas(usize);

impl Replicas {
    /// Takes 1, 3 or 5: an even number survives no more than the one below it.
    #[must_use]
    pub const fn new(count: usize) -> Option<Self> {
        match count {
            1 | 3 | 5 => Some(Self(count)),
            _ => None,
        }
    }

    /// 1, 3 or 5.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for Replicas {
    fn default() -> Self {
        Self(1)
    }
}

impl FromStr for Replicas {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new(text, "a number of replicas: 1, 3 or 5");
        text.parse().ok().and_then(Self::new).ok_or_else(refuse)
    }
}

/// How many dispatches may be in flight: 1 to the length of a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window(usize);

impl Window {
    /// Takes 1 to 512. A longer pipeline would outrun the fence that refuses its ghosts.
    #[must_use]
    pub const fn new(len: usize) -> Option<Self> {
        if len >= 1 && len as u64 <= FENCE_LEN {
            Some(Self(len))
        } else {
            None
        }
    }

    /// 1 to 512.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for Window {
    fn default() -> Self {
        Self(256)
    }
}

impl FromStr for Window {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new(text, "a window: 1 to 512 dispatches in flight");
        text.parse().ok().and_then(Self::new).ok_or_else(refuse)
    }
}

/// A number of bytes, at least 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(u64);

impl ByteSize {
    const MIB: u64 = 1 << 20;
    const MAX: u64 = i64::MAX as u64;

    /// Takes at least 1 MiB: the part above the closed door must hold the outcomes of what was let
    /// in.
    #[must_use]
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes >= Self::MIB && bytes <= Self::MAX {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Default for ByteSize {
    fn default() -> Self {
        Self(nats_config::Settings::default().ledger_bytes_max)
    }
}

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new(text, "a size of at least 1MiB, such as 512MiB or 10GiB");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "K" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            "T" | "TiB" => 1 << 40,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return Err(refuse()),
        };
        let number: u64 = number.parse().map_err(|_| refuse())?;
        let bytes = number.checked_mul(factor).ok_or_else(refuse)?;
        Self::new(bytes).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A coordinator's name: by the rule of worker ids, so that it may be a token of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorName(WorkerId);

impl CoordinatorName {
    /// The host's name and the process id: two on one host differ.
    ///
    /// # Errors
    /// The host's name has no letter or digit in it.
    pub(super) fn of_this_process() -> Result<Self, NameError> {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        let token = |symbol: char| match symbol {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' => symbol,
            _ => '-',
        };
        let host: String = host.chars().take(48).map(token).collect();
        WorkerId::new(&format!("{host}-{}", std::process::id())).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for CoordinatorName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        WorkerId::new(text)
            .map(Self)
            .map_err(|_| ValueError::new(text, "a coordinator's name: 1 to 64 of A-Z a-z 0-9 _ -"))
    }
}

impl fmt::Display for CoordinatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, CoordinatorName, Provision, Replicas, Window};

    #[test]
    fn values_are_read_or_refused_with_what_is_taken() {
        assert_eq!("verify".parse(), Ok(Provision::Verify));
        assert_eq!("3".parse(), Ok(Replicas(3)));
        assert_eq!("512".parse(), Ok(Window(512)));
        assert_eq!("10GiB".parse(), Ok(ByteSize(10 << 30)));
        assert_eq!("1048576".parse(), Ok(ByteSize(1 << 20)));
        for text in ["2", "0", "-1", "x", "7"] {
            assert!(text.parse::<Replicas>().is_err(), "{text}");
        }
        for text in ["0", "513", "1.5"] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
        for text in ["", "1", "10 parsecs", "99999999999TiB", "-1GiB", "1.5GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        let error = "maybe".parse::<Provision>().expect_err("no such choice");
        assert_eq!(
            error.to_string(),
            "\"maybe\" is not one of create, verify, off"
        );
    }

    #[test]
    fn this_process_has_a_name() {
        let name = CoordinatorName::of_this_process().expect("a name");
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        assert!("a b".parse::<CoordinatorName>().is_err());
    }
}
