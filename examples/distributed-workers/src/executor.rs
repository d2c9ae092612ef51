//! The executor of a simulated worker: it takes its time, and goes wrong on purpose. It never decides
//! about attempts, and knows nothing of the broker.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::time::Duration;

use worker_sdk::{FencingToken, JobContext, JobError};

use crate::Multiply;

/// How an executor works, and how often it does not.
#[derive(Debug, Clone)]
pub struct Executor {
    takes: Duration,
    fail_percent: u8,
    crash_every: Option<NonZeroU64>,
    /// Thrown anew for each run, and differently in each process.
    dice: RandomState,
}

/// What becomes of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It returns the product.
    Works,
    /// It returns an error: another attempt may work.
    Fails,
    /// It takes its whole process with it.
    Crashes,
}

impl Executor {
    /// Each run takes so long, `fail_percent` of 100 fail, and one of `crash_every` (none: no run)
    /// aborts the process.
    #[must_use]
    pub fn new(takes: Duration, fail_percent: u8, crash_every: Option<NonZeroU64>) -> Self {
        let dice = RandomState::new();
        Self {
            takes,
            fail_percent,
            crash_every,
            dice,
        }
    }

    /// What becomes of the run with this token.
    #[must_use]
    pub fn fate(&self, run: FencingToken) -> Fate {
        let throw = |dice: &str| self.dice.hash_one((dice, run));
        if let Some(every) = self.crash_every
            && throw("crash") % every == 0
        {
            return Fate::Crashes;
        }
        match throw("fail") % 100 < u64::from(self.fail_percent) {
            true => Fate::Fails,
            false => Fate::Works,
        }
    }

    /// Does the work, or goes wrong in the middle of it.
    ///
    /// # Errors
    /// It was to fail, or it was asked to stop.
    pub async fn run(&self, job: Multiply, context: JobContext) -> Result<u64, JobError> {
        let half = self.takes / 2;
        pass(half, &context).await?;
        match self.fate(context.token()) {
            Fate::Works => {}
            Fate::Fails => return Err(JobError::retry_with("flaky", "it failed on purpose")),
            Fate::Crashes => {
                tracing::error!(job_id = %context.id(), "this process crashes on purpose");
                std::process::abort();
            }
        }
        pass(half, &context).await?;
        let product = job.product();
        tracing::info!(job_id = %context.id(), token = %context.token(), product, "multiplied");
        Ok(product)
    }
}

/// Lets time pass, unless the run is asked to stop.
async fn pass(time: Duration, context: &JobContext) -> Result<(), JobError> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        reason = context.cancelled() => Err(JobError::retry(reason.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use worker_sdk::FencingToken;
    use worker_sdk::protocol::number::{Accepted, Attempt};

    use super::{Executor, Fate};

    fn fates(fail_percent: u8, crash_every: u64) -> Vec<Fate> {
        let crash_every = NonZeroU64::new(crash_every);
        let executor = Executor::new(Duration::ZERO, fail_percent, crash_every);
        let run = |delivery| FencingToken {
            accepted: Accepted::new(7),
            attempt: Attempt::new(1),
            delivery,
        };
        (1..=100).map(|it| executor.fate(run(it))).collect()
    }

    #[test]
    fn an_executor_goes_wrong_as_often_as_it_was_told() {
        for (fail_percent, crash_every, always) in [
            (0, 0, Fate::Works),
            (100, 0, Fate::Fails),
            (100, 1, Fate::Crashes),
        ] {
            let fates = fates(fail_percent, crash_every);
            assert!(fates.iter().all(|fate| *fate == always), "{fates:?}");
        }
    }
}
