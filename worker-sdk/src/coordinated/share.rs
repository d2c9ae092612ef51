//! What the work of a share is given: which share it is, and the right to it, for as long as it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use election::{Moment, boot_now};
use protocol::crew::Grant;
use protocol::number::Sequence;
use tokio_util::sync::CancellationToken;

/// Until when this process may hold shares. Written by the engine alone.
#[derive(Debug, Default)]
pub(super) struct Trust(AtomicU64);

impl Trust {
    pub(super) fn until(&self) -> Moment {
        Moment::from_nanos(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn set(&self, until: Moment) {
        self.0.store(until.as_nanos(), Ordering::SeqCst);
    }
}

/// The share is not held any more: somebody else may hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("act on share {} of {} as {}: it is not held any more", .0.number, .0.of, .0.token)]
pub struct NotHeld(pub Grant);

/// One share while this process holds it, and its right to it. Check it where it is used.
#[derive(Debug, Clone)]
pub struct Share {
    grant: Grant,
    trust: Arc<Trust>,
    cancelled: CancellationToken,
}

impl Share {
    pub(super) const fn new(grant: Grant, trust: Arc<Trust>, cancelled: CancellationToken) -> Self {
        Self {
            grant,
            trust,
            cancelled,
        }
    }

    /// Which one it is, from 0: the partition, or the index.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.grant.number
    }

    /// Of how many: all partitions, or the members of this generation.
    #[must_use]
    pub const fn of(&self) -> u32 {
        self.grant.of
    }

    /// The fencing token: above that of every earlier holder of this share. Of an index it is the
    /// number of the generation, the same for all its members. Hand it to every outside system: one
    /// that keeps the highest token it has seen, and refuses a lower one, is never changed by an
    /// earlier holder, however late that comes.
    #[must_use]
    pub const fn token(&self) -> Sequence {
        self.grant.token
    }

    /// All three.
    #[must_use]
    pub const fn grant(&self) -> Grant {
        self.grant
    }

    /// Whether this process holds the share at this instant. Call it before each act.
    ///
    /// # Errors
    /// It does not: stop.
    pub fn check(&self) -> Result<(), NotHeld> {
        if self.remaining().is_zero() {
            Err(NotHeld(self.grant))
        } else {
            Ok(())
        }
    }

    /// For how long this process holds the share if it cannot renew; zero if it does not hold it. Do
    /// not begin an act that may take longer.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        if self.cancelled.is_cancelled() {
            return Duration::ZERO;
        }
        self.trust.until().since(boot_now())
    }

    /// Completes when the work must end: the share goes to another, a new generation begins, the
    /// process stops, or its record was not renewed in time. Return soon after it.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// The same as a token, to hand on.
    #[must_use]
    pub const fn cancellation(&self) -> &CancellationToken {
        &self.cancelled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use election::{Moment, boot_now};
    use protocol::crew::Grant;
    use protocol::number::Sequence;
    use tokio_util::sync::CancellationToken;

    use super::{NotHeld, Share, Trust};

    #[test]
    fn a_share_is_held_while_it_is_granted_and_the_permit_lasts() {
        let grant = Grant {
            number: 2,
            of: 3,
            token: Sequence::new(7),
        };
        let (trust, cancelled) = (Arc::new(Trust::default()), CancellationToken::new());
        let share = Share::new(grant, Arc::clone(&trust), cancelled.clone());
        assert_eq!(share.check(), Err(NotHeld(grant)), "nothing was granted");
        trust.set(boot_now().after(Duration::from_secs(3_600)));
        assert_eq!(share.check(), Ok(()));
        // A process that stood still sees by the clock alone that its permit has ended.
        trust.set(Moment::from_nanos(1));
        assert_eq!(share.check(), Err(NotHeld(grant)));
        trust.set(boot_now().after(Duration::from_secs(3_600)));
        cancelled.cancel();
        assert_eq!(share.remaining(), Duration::ZERO);
        assert_eq!(
            share.check().map_err(|error| error.to_string()),
            Err("act on share 2 of 3 as #7: it is not held any more".to_owned())
        );
    }
}
