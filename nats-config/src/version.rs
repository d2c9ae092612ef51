//! Which nats-server we can stand on.

use std::fmt;

/// The version of a server. What follows the third number is left out: a release candidate counts
/// as its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

/// Atomic batches, which carry the fence.
pub const NEEDED: ServerVersion = ServerVersion::new(2, 12, 0);
/// Before it, a replica that catches up could take a second message on a subject.
pub const NEEDED_REPLICATED: ServerVersion = ServerVersion::new(2, 12, 3);
/// Before it, known faults of replicated streams and work queues are open.
pub const ADVISED: ServerVersion = ServerVersion::new(2, 14, 3);
/// The level of the JetStream API that came with [`NEEDED`].
pub const API_LEVEL_NEEDED: u64 = 2;

impl ServerVersion {
    /// A version by its numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Reads what a server says of itself, such as `2.15.1` or `2.12.0-RC.1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let mut numbers = text[..end].trim_start_matches('v').split('.');
        let version = Self::new(
            numbers.next()?.parse().ok()?,
            numbers.next()?.parse().ok()?,
            numbers.next()?.parse().ok()?,
        );
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::ServerVersion;

    #[test]
    fn versions_are_read_and_compared() {
        let parse = |text| ServerVersion::parse(text).expect(text);
        assert_eq!(parse("2.15.1"), ServerVersion::new(2, 15, 1));
        assert_eq!(parse("v2.12.0-RC.1"), ServerVersion::new(2, 12, 0));
        assert!(parse("2.9.25") < parse("2.12.0"));
        assert!(parse("2.14.3") < parse("3.0.0"));
        for text in ["", "2", "2.12", "2.x.1", "latest", "2.12.0.1"] {
            assert_eq!(ServerVersion::parse(text), None, "{text}");
        }
    }
}
