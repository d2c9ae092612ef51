//! The work of the shares that this process holds: tasks on the user's runtime. It ends what it is told
//! to end, and knows what does not.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use election::Moment;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::crew::Grant;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::share::{Share, Trust};

/// The work: called for each share, on the runtime that started it.
pub(super) type Work = Arc<dyn Fn(Share) -> BoxFuture<'static, ()> + Send + Sync>;

/// How long work may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long before the permit's end the work is told to end.
    pub(super) wind_up: Duration,
    /// How long it may then take, if the permit lasts.
    pub(super) end_within: Duration,
    /// The pause before work that returned by itself is called again.
    pub(super) again_after: Duration,
}

impl Patience {
    /// When the time of work is over that was told to end. While nobody else may do it, it gets all that
    /// it may have. Where the permit ends it must be over before that, and aborted work needs a moment
    /// to end: so half of the wind-up is its own, also for a process that stood still past its permit.
    fn ends(&self, told: Moment, trusted_until: Moment) -> Moment {
        let half = self.wind_up / 2;
        let trusted = trusted_until.since(Moment::default());
        let permit = Moment::default().after(trusted.saturating_sub(half));
        told.after(self.end_within)
            .min(permit.max(told.after(half)))
    }
}

/// All work of this process.
pub(super) struct Runs {
    work: Work,
    user: Handle,
    trust: Arc<Trust>,
    patience: Patience,
    tasks: JoinSet<()>,
    numbers: HashMap<Id, u32>,
    running: BTreeMap<u32, Run>,
}

struct Run {
    grant: Grant,
    cancelled: CancellationToken,
    abort: AbortHandle,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    /// It was told to end, at this moment.
    Ending(Moment),
    /// It was aborted, and is given time until this moment.
    Aborted(Moment),
}

impl Runs {
    pub(super) fn new(work: Work, user: Handle, trust: Arc<Trust>, patience: Patience) -> Self {
        Self {
            work,
            user,
            trust,
            patience,
            tasks: JoinSet::new(),
            numbers: HashMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// What is worked on and was not told to end, in the order of the numbers.
    pub(super) fn held(&self) -> impl Iterator<Item = Grant> {
        let works = |run: &&Run| run.phase == Phase::Working;
        self.running.values().filter(works).map(|run| run.grant)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn start(&mut self, grant: Grant) {
        let cancelled = CancellationToken::new();
        let share = Share::new(grant, Arc::clone(&self.trust), cancelled.clone());
        let run = run(Arc::clone(&self.work), share, self.patience.again_after);
        let abort = self.tasks.spawn_on(run, &self.user);
        self.numbers.insert(abort.id(), grant.number);
        let run = Run {
            grant,
            cancelled,
            abort,
            phase: Phase::Working,
        };
        self.running.insert(grant.number, run);
    }

    pub(super) fn revoke(&mut self, now: Moment, number: u32) {
        if let Some(run) = self.running.get_mut(&number) {
            run.cancelled.cancel();
            run.phase = Phase::Ending(now);
        }
    }

    /// Tells all of it to end, for good.
    pub(super) fn cancel_all(&self) {
        for run in self.running.values() {
            run.cancelled.cancel();
        }
    }

    /// The number of the next share whose work has ended. Cancel safe; waits while nothing runs.
    pub(super) async fn ended(&mut self) -> u32 {
        loop {
            let id = match self.tasks.join_next_with_id().await {
                Some(Ok((id, ()))) => id,
                // Aborted: a panic of the work is caught in it.
                Some(Err(error)) => error.id(),
                None => std::future::pending().await,
            };
            if let Some(number) = self.numbers.remove(&id) {
                self.running.remove(&number);
                return number;
            }
        }
    }

    /// Aborts what did not end in its time.
    pub(super) fn abort_overdue(&mut self, now: Moment) {
        let (patience, trusted) = (self.patience, self.trust.until());
        for (number, run) in &mut self.running {
            if let Phase::Ending(told) = run.phase
                && patience.ends(told, trusted) <= now
            {
                tracing::warn!(number, "the work of a share does not end: aborting it");
                run.abort.abort();
                run.phase = Phase::Aborted(now.after(patience.wind_up));
            }
        }
    }

    /// Whether something did not end when it was aborted either: it holds a thread of the user's, and
    /// nothing ends it but the end of the process.
    pub(super) fn is_stuck(&self, now: Moment) -> bool {
        let stuck = |run: &Run| matches!(run.phase, Phase::Aborted(until) if until <= now);
        self.running.values().any(stuck)
    }

    /// When to look again.
    pub(super) fn wake_at(&self, now: Moment) -> Option<Moment> {
        let trusted = self.trust.until();
        let wake = |run: &Run| match run.phase {
            Phase::Working => None,
            Phase::Ending(told) => Some(self.patience.ends(told, trusted)),
            Phase::Aborted(until) => Some(until).filter(|until| now < *until),
        };
        self.running.values().filter_map(wake).min()
    }
}

/// Calls the work as long as the share is held.
async fn run(work: Work, share: Share, again_after: Duration) {
    loop {
        if share.check().is_ok() {
            let number = share.number();
            let once = AssertUnwindSafe(async { work(share.clone()).await });
            match once.catch_unwind().await {
                Ok(()) => tracing::debug!(number, "the work of a share has returned"),
                Err(_) => tracing::error!(number, "the work of a share panicked"),
            }
        }
        tokio::select! {
            biased;
            () = share.cancelled() => return,
            () = tokio::time::sleep(again_after) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use election::boot_now;
    use futures::FutureExt;
    use protocol::crew::Grant;
    use protocol::number::Sequence;
    use tokio::runtime::Handle;
    use tokio::sync::mpsc;

    use super::{Patience, Runs, Share, Trust};

    const HOUR: Duration = Duration::from_secs(3_600);
    const PATIENCE: Patience = Patience {
        wind_up: Duration::from_secs(2),
        end_within: Duration::from_secs(10),
        again_after: Duration::ZERO,
    };

    fn grant(number: u32) -> Grant {
        Grant {
            number,
            of: 2,
            token: Sequence::new(1),
        }
    }

    fn runs(trust: &Arc<Trust>, work: impl Fn(Share) + Send + Sync + 'static) -> Runs {
        let work = Arc::new(work);
        let work = move |share: Share| {
            let work = Arc::clone(&work);
            async move {
                work(share.clone());
                share.cancelled().await;
                if share.number() == 1 {
                    std::future::pending::<()>().await;
                }
            }
            .boxed()
        };
        Runs::new(
            Arc::new(work),
            Handle::current(),
            Arc::clone(trust),
            PATIENCE,
        )
    }

    #[tokio::test]
    async fn what_does_not_end_in_its_time_or_before_the_permit_is_aborted() {
        let seconds = Duration::from_secs;
        for (permit, waits) in [(HOUR, 10), (seconds(5), 4), (Duration::ZERO, 1)] {
            let trust = Arc::new(Trust::default());
            let now = boot_now();
            trust.set(now.after(permit));
            let mut runs = runs(&trust, |_| {});
            runs.start(grant(0));
            runs.start(grant(1));
            assert_eq!(runs.held().count(), 2);
            runs.revoke(now, 0);
            assert_eq!(runs.ended().await, 0, "it was told to");
            runs.revoke(now, 1);
            assert_eq!(runs.held().count(), 0);
            let due = now.after(Duration::from_secs(waits));
            assert_eq!(runs.wake_at(now), Some(due));
            runs.abort_overdue(due);
            assert!(!runs.is_stuck(due));
            assert_eq!(runs.ended().await, 1, "it was aborted");
            assert!(runs.is_empty());
        }
    }

    #[tokio::test]
    async fn work_that_panics_or_returns_is_called_again_while_the_share_is_held() {
        let trust = Arc::new(Trust::default());
        trust.set(boot_now().after(HOUR));
        let (called, mut calls) = mpsc::channel(16);
        let work = move |share: Share| {
            let called = called.clone();
            async move {
                // When it is full the test has heard enough.
                called.try_send(()).ok();
                assert!(share.number() == 1, "partition 0 breaks");
            }
            .boxed()
        };
        let work = Arc::new(work);
        let mut runs = Runs::new(work, Handle::current(), Arc::clone(&trust), PATIENCE);
        for number in [0, 1] {
            runs.start(grant(number));
            for _ in 0..3 {
                calls.recv().await.expect("a call");
            }
            runs.revoke(boot_now(), number);
            assert_eq!(runs.ended().await, number);
        }
    }
}
