//! A short stand-in for bytes, the same in every program and on every machine. It is no defence
//! against who looks for two contents with one digest: it tells honest ones apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// FNV-1a over 128 bits, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    // Two halves, since a whole would make everything that holds one a multiple of 16 bytes long.
    high: u64,
    low: u64,
}

/// A text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read `{0}` as a digest: expected 32 hex digits")]
pub struct DigestError(String);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_bits(bytes.iter().fold(OFFSET, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
        }))
    }

    const fn from_bits(bits: u128) -> Self {
        let bytes = bits.to_be_bytes();
        let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
        Self {
            high: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            low: u64::from_be_bytes(rest),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let refuse = || DigestError(text.chars().take(48).collect());
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        u128::from_str_radix(text, 16)
            .map(Self::from_bits)
            .map_err(|_| refuse())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn it_is_that_of_the_published_function() {
        assert_eq!(
            Digest::of(b"").to_string(),
            "6c62272e07bb014262b821756295c58d"
        );
        assert_eq!(
            Digest::of(b"foobar").to_string(),
            "343e1662793c64bf6f0d3597ba446f18"
        );
    }

    #[test]
    fn it_is_read_back() {
        let digest = Digest::of(b"INV-1");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert_eq!(format!("{digest:?}"), digest.to_string());
    }

    #[test]
    fn nothing_but_32_hex_digits_is_one() {
        let digits = "6c62272e07bb014262b821756295c58d";
        assert!(digits.parse::<Digest>().is_ok());
        let refused = |text: &str| assert!(text.parse::<Digest>().is_err(), "{text}");
        refused(&digits[1..]);
        refused(&format!("{digits}0"));
        for other in ["+", "g", " "] {
            refused(&digits.replacen('6', other, 1));
        }
    }
}
