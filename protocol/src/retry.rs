//! The retry policy: how long a job waits after a failed attempt, and when it has had enough.
//!
//! To change the policy, change [`backoff`]; it is called in one place, where an outcome is folded.

use std::time::Duration;

use crate::config::QueueConfig;
use crate::id::JobId;
use crate::number::Attempt;

/// The delay grows by up to a quarter, so that jobs that failed together do not return together.
const JITTER_DIVISOR: u64 = 4;

/// How long a job waits after `failures` failed attempts (since its last replay), the last of them
/// `attempt`: the base, doubled with each failure, up to the maximum, plus jitter.
///
/// The jitter comes from id and attempt alone, so all coordinators find the same delay.
#[must_use]
pub fn backoff(config: &QueueConfig, id: &JobId, attempt: Attempt, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(63);
    let delay = config
        .backoff_base_ms
        .saturating_mul(1 << doublings)
        .min(config.backoff_max_ms);
    let room = delay / JITTER_DIVISOR + 1;
    Duration::from_millis(delay.saturating_add(hash(id, attempt) % room))
}

/// Whether a failed attempt was the last one.
#[must_use]
pub const fn is_used_up(failures: u32, max_attempts: u32) -> bool {
    failures >= max_attempts
}

/// FNV-1a over the id and the attempt.
fn hash(id: &JobId, attempt: Attempt) -> u64 {
    id.as_encoded()
        .bytes()
        .chain(attempt.get().to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{backoff, is_used_up};
    use crate::config::QueueConfig;
    use crate::id::JobId;
    use crate::number::Attempt;

    fn millis(id: &str, failures: u32) -> u128 {
        let id = JobId::from_raw(id).unwrap();
        let attempt = Attempt::new(u64::from(failures));
        backoff(&QueueConfig::default(), &id, attempt, failures).as_millis()
    }

    #[test]
    fn the_delay_doubles_up_to_its_maximum() {
        for (failures, base) in [
            (1, 1_000),
            (2, 2_000),
            (3, 4_000),
            (10, 512_000),
            (11, 600_000),
            (900, 600_000),
        ] {
            let found = millis("INV-1", failures);
            assert!(
                (base..=base + base / 4).contains(&found),
                "{failures}: {found}"
            );
        }
    }

    #[test]
    fn jobs_that_failed_together_return_apart() {
        let delays: std::collections::BTreeSet<u128> =
            (0..100).map(|n| millis(&format!("INV-{n}"), 3)).collect();
        assert!(delays.len() > 80, "{} of 100 delays differ", delays.len());
        assert_eq!(millis("INV-1", 3), millis("INV-1", 3));
    }

    #[test]
    fn the_last_attempt_is_the_maximum() {
        assert!(!is_used_up(4, 5));
        assert!(is_used_up(5, 5));
        assert!(is_used_up(1, 1));
    }

    proptest! {
        #[test]
        fn a_delay_keeps_its_bounds(base in 1_u64..604_800_000, more in 0_u64..604_800_000, failures in 0_u32..2_000) {
            let config = QueueConfig {
                backoff_base_ms: base,
                backoff_max_ms: base.saturating_add(more),
                ..QueueConfig::default()
            };
            let id = JobId::from_raw("x").unwrap();
            let found = backoff(&config, &id, Attempt::new(u64::from(failures)), failures).as_millis();
            prop_assert!(found >= u128::from(base));
            prop_assert!(found <= u128::from(config.backoff_max_ms) * 5 / 4 + 1);
        }
    }
}
