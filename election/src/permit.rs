//! The right to act as leader, checked where it is used. It ends by itself: no callback needs to run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::leadership::{Moment, Standing};
use protocol::number::Epoch;
use tokio::sync::watch;

use crate::clock::boot_now;
use crate::handle::Snapshot;

/// Until when which epoch is trusted. Written by the election alone.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    epoch: AtomicU64,
    until: AtomicU64,
}

impl Trust {
    pub(crate) fn grant(&self, epoch: Epoch, until: Moment) {
        // A reader takes `until` first: it never pairs the new end with the old epoch.
        if self.epoch.load(Ordering::SeqCst) != epoch.get() {
            self.until.store(0, Ordering::SeqCst);
            self.epoch.store(epoch.get(), Ordering::SeqCst);
        }
        self.until.store(until.as_nanos(), Ordering::SeqCst);
    }

    pub(crate) fn withdraw(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    fn until(&self, epoch: Epoch) -> Option<Moment> {
        let until = self.until.load(Ordering::SeqCst);
        let current = self.epoch.load(Ordering::SeqCst) == epoch.get();
        current.then(|| Moment::from_nanos(until))
    }
}

/// When the program last reported that it does something useful. Written by the program, read by the
/// election when it must know.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU64);

impl Progress {
    pub(crate) fn note(&self, at: Moment) {
        self.0.fetch_max(at.as_nanos(), Ordering::SeqCst);
    }

    pub(crate) fn latest(&self) -> Moment {
        Moment::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// The permit holds no more: somebody else may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("act as leader of {0}: the lease is not trusted any more")]
pub struct Expired(pub Epoch);

/// The right to act as leader under one epoch. Cheap to clone; check it at each act.
#[derive(Debug, Clone)]
pub struct Permit {
    trust: Arc<Trust>,
    epoch: Epoch,
    state: watch::Receiver<Snapshot>,
}

impl Permit {
    pub(crate) const fn new(
        trust: Arc<Trust>,
        epoch: Epoch,
        state: watch::Receiver<Snapshot>,
    ) -> Self {
        Self {
            trust,
            epoch,
            state,
        }
    }

    /// The epoch that it is for.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the permit holds at this instant.
    ///
    /// # Errors
    /// It does not: stop acting under this epoch.
    pub fn check(&self) -> Result<(), Expired> {
        if self.remaining().is_zero() {
            Err(Expired(self.epoch))
        } else {
            Ok(())
        }
    }

    /// For how long the permit holds if it is not renewed; zero if it does not hold. An act that may
    /// take longer must not be begun.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let until = self.trust.until(self.epoch);
        until.map_or(Duration::ZERO, |until| until.since(boot_now()))
    }

    /// Completes when the permit has ended: by suspension, a new epoch, loss or resignation.
    pub async fn ended(&self) {
        let mut state = self.state.clone();
        let epoch = self.epoch;
        let over = |snapshot: &Snapshot| !matches!(snapshot.standing, Standing::Leading(leading, _) if leading == epoch);
        // An error says that the election itself has ended, and with it each permit.
        if state.wait_for(over).await.is_err() {
            tracing::debug!(%epoch, "the election has ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::leadership::Moment;
    use protocol::number::Epoch;

    use super::Trust;

    #[test]
    fn trust_is_for_one_epoch() {
        let (old, new) = (Epoch::new(5), Epoch::new(6));
        let trust = Trust::default();
        trust.grant(old, Moment::from_nanos(100));
        assert_eq!(trust.until(old), Some(Moment::from_nanos(100)));
        assert_eq!(trust.until(new), None);
        trust.grant(new, Moment::from_nanos(200));
        assert_eq!(trust.until(old), None);
        trust.withdraw();
        assert_eq!(trust.until(new), Some(Moment::default()));
    }
}
