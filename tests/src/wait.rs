//! Waiting: the only file of the tests that may sleep, and every wait says what it waited for.
//!
//! It never waits "long enough": a wait ends with the event, and its limit is only the point at which
//! the event is given up, so limits are generous.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a test waits for something that normally takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a thing that sends no event.
const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until `probe` answers `Ok`, for things that send no event of their own.
///
/// # Errors
/// After `limit`, with `what` was awaited and why the last look was not good enough.
pub async fn eventually<T, E: Display>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut last = String::from("the first look has not come back");
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(not_yet)) => last = not_yet.to_string(),
            Err(_) => {}
        }
        // Asked here too: a probe that answers at once never runs into its time-out.
        if Instant::now() >= deadline {
            bail!("waited {limit:?} for {what}; the last look said: {last}");
        }
        tokio::time::sleep(PROBE_PAUSE).await;
    }
}

/// Awaits one event.
///
/// # Errors
/// After `limit`, with `what` was awaited.
pub async fn within<T>(what: &str, limit: Duration, event: impl Future<Output = T>) -> Result<T> {
    match tokio::time::timeout(limit, event).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("waited {limit:?} for {what}, and it did not come"),
    }
}

/// Waits for a moment of the clock: for who plays a plan whose times are given, never for an event.
pub async fn until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}
