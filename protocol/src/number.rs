//! Numbers that are compared, never computed with outside this file: sequences, epochs, attempts.
//!
//! Each is a type of its own, so that the compiler catches a swapped pair, and prints with a letter
//! (`e5`, `a2`, `#17`), so that a log line says which number it shows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text of a number could not be read: it is no decimal number, has a leading zero or a sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read `{text}` as {what}: expected a decimal number without sign or leading zero")]
pub struct NumberError {
    what: &'static str,
    text: String,
}

/// One canonical text per number: two subjects never name the same attempt.
fn parse_canonical(what: &'static str, text: &str) -> Result<u64, NumberError> {
    let refuse = || NumberError {
        what,
        text: text.chars().take(32).collect(),
    };
    let canonical = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if !canonical {
        return Err(refuse());
    }
    text.parse().map_err(|_| refuse())
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $what:literal, $letter:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Takes a number as it came from the broker or from a record.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The bare number, for a subject, a header or a record.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number after this one.
            ///
            /// # Panics
            /// At 2^64, which no stream reaches.
            #[must_use]
            pub const fn next(self) -> Self {
                self.plus(1)
            }

            /// The number `steps` after this one.
            ///
            /// # Panics
            /// At 2^64, which no stream reaches.
            #[must_use]
            pub const fn plus(self, steps: u64) -> Self {
                Self(self.0.checked_add(steps).expect("a counter does not reach 2^64"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NumberError;

            fn from_str(text: &str) -> Result<Self, NumberError> {
                parse_canonical($what, text).map(Self)
            }
        }
    };
}

number!(
    /// A message's place in a stream, given by the broker, from 1.
    Sequence, "a sequence", "#"
);
number!(
    /// A job's acceptance number: the ledger sequence of its submission. It tells a re-accepted id
    /// from its former life.
    Accepted, "an acceptance number", "n"
);
number!(
    /// The number of a leadership. It grows with each and is stamped on what a leader fences.
    Epoch, "an epoch", "e"
);
number!(
    /// One try at running a job, counted from 1. 0 stands for "none yet" in control subjects.
    Attempt, "an attempt", "a"
);
number!(
    /// The number of a queue's configuration, from 1; the newest counts.
    Revision, "a revision", "r"
);
number!(
    /// A call to a leader, as its caller counts them.
    CallNumber, "a call", "c"
);
number!(
    /// A question that reached a leader, as its desk counts them.
    Asker, "an asker", "q"
);

impl Attempt {
    /// No attempt yet: what a control record names before the first outcome.
    pub const NONE: Self = Self::new(0);
    /// The first attempt of a job.
    pub const FIRST: Self = Self::new(1);
}

impl From<Sequence> for Accepted {
    /// A submission's place in the ledger is its acceptance number.
    fn from(sequence: Sequence) -> Self {
        Self(sequence.0)
    }
}

impl From<Accepted> for Sequence {
    /// Where the submission of a job stands in the ledger.
    fn from(accepted: Accepted) -> Self {
        Self(accepted.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Accepted, Attempt, Epoch, Sequence};

    #[test]
    fn a_number_has_one_text() {
        assert_eq!("0".parse(), Ok(Attempt::NONE));
        assert_eq!("17".parse(), Ok(Sequence::new(17)));
        for text in [
            "",
            "01",
            "+1",
            "-1",
            "1 ",
            "1e3",
            "18446744073709551616",
            "١",
        ] {
            assert!(text.parse::<Epoch>().is_err(), "{text:?} was read");
        }
    }

    #[test]
    fn a_number_shows_what_it_counts() {
        assert_eq!(Epoch::new(5).next().to_string(), "e6");
        assert_eq!(Accepted::from(Sequence::new(9)).to_string(), "n9");
        assert_eq!(Attempt::FIRST.to_string(), "a1");
    }
}
