//! Whether the leader knows every holder: what was said before its connection was made, it missed.

use std::time::Duration;

use crate::time::Timestamp;

/// Every worker says at least so often what it runs: after that time on a new connection nobody's
/// announcement is missing any more.
const SAID_WITHIN: Duration = Duration::from_secs(6);

/// Whether all that workers say is heard.
#[derive(Debug, Default)]
pub(super) enum Sight {
    /// No connection: nothing is.
    #[default]
    Blind,
    /// What was said before this connection may have been missed, until this time.
    Since(Timestamp),
}

impl Sight {
    /// A connection is there since now.
    pub(super) fn made(now: Timestamp) -> Self {
        Self::Since(now.after(SAID_WITHIN))
    }

    /// From when on every holder is known.
    pub(super) const fn known_from(&self) -> Option<Timestamp> {
        match self {
            Self::Blind => None,
            Self::Since(known) => Some(*known),
        }
    }
}
