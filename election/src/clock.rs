//! The only place that asks for the time. Decides nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::leadership::Moment;
use protocol::time::Timestamp;
use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime, clock_gettime_dynamic};

/// Now on the clock that trust is measured with: it never steps and counts suspended time.
///
/// `Instant` stands still while the machine is suspended, and so would trust in a lease that others
/// see running out. Where the kernel has no such clock the monotonic one is taken.
#[must_use]
pub fn boot_now() -> Moment {
    let reading = clock_gettime_dynamic(DynamicClockId::Boottime)
        .unwrap_or_else(|_| clock_gettime(ClockId::Monotonic));
    let nanos = u64::try_from(span(reading).as_nanos()).unwrap_or(u64::MAX);
    Moment::from_nanos(nanos)
}

/// Now on the wall clock: dates records for people.
#[expect(
    clippy::disallowed_methods,
    reason = "this file is where the time comes from"
)]
#[must_use]
pub fn wall_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

fn span(reading: Timespec) -> Duration {
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(reading.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
