//! The two clocks that the evidence is in: the boot clock of this machine, which all its processes
//! share and nobody sets, and the wall clock, which the broker stamps records with.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instants {
    /// Nanoseconds since boot, suspended time included.
    pub boot_ns: u64,
    /// Milliseconds since 1970, cut as the broker's are.
    pub unix_ms: u64,
}

/// Now.
#[must_use]
pub fn now() -> Instants {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Instants {
        boot_ns: boot_ns(),
        unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Nanoseconds since boot.
#[must_use]
pub fn boot_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
}
