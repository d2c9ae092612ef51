//! The only place of this crate that asks for the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::leadership::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, suspended time included: a lease also ends while the machine sleeps.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Moment::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The wall clock, for people and for servers that do not say their own time.
#[expect(
    clippy::disallowed_methods,
    reason = "this file is where the time comes from"
)]
pub(crate) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
