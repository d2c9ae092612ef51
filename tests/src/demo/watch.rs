//! What the coordinators say while the demo runs: for the display, for the pace and for the choice
//! of the moment to kill. Nothing is judged by it.

use std::time::Duration;

use coordinator::roll_call::{leader, roll_call};
use nats_config::Broker;
use protocol::message::CoordinatorStatus;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often all coordinators are asked.
const EVERY: Duration = Duration::from_millis(100);
/// How long answers are gathered.
const GATHER: Duration = Duration::from_millis(60);
/// A leader that did not answer this often in a row is no longer shown: once may be a busy machine.
const SILENT_MAX: u32 = 3;

/// What the leader said last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Who leads, and in which epoch; none while nobody says so.
    pub leader: Option<(String, u64)>,
    /// Jobs with a terminal outcome.
    pub finished: usize,
    /// Jobs that are accepted and not finished.
    pub open: usize,
    /// Workers that are here.
    pub workers: usize,
}

/// Asks until it is dropped.
#[derive(Debug)]
pub struct Watch {
    /// The newest.
    pub seen: watch::Receiver<Seen>,
    _asking: JoinSet<()>,
}

impl Watch {
    /// Starts to ask for one queue.
    #[must_use]
    pub fn start(broker: Broker, queue: &'static str) -> Self {
        let (tell, seen) = watch::channel(Seen::default());
        let mut asking = JoinSet::new();
        asking.spawn(ask(broker, queue, tell));
        Self {
            seen,
            _asking: asking,
        }
    }
}

async fn ask(broker: Broker, queue: &'static str, tell: watch::Sender<Seen>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    loop {
        ticks.tick().await;
        let answers = roll_call(broker.client(), broker.subjects(), GATHER).await;
        let answers = answers.unwrap_or_default();
        let leader = leader(&answers);
        silent = leader.map_or(silent + 1, |_| 0);
        if leader.is_some() || silent >= SILENT_MAX {
            tell.send_modify(|seen| update(seen, leader, queue));
        }
    }
}

/// While nobody leads, the last figures stay.
fn update(seen: &mut Seen, leader: Option<&CoordinatorStatus>, queue: &str) {
    seen.leader = leader.map(|status| {
        let epoch = status.epoch.map_or(0, protocol::number::Epoch::get);
        (status.coordinator.clone(), epoch)
    });
    let Some(status) = leader else { return };
    seen.workers = status.workers.len();
    if let Some(queue) = status.queues.get(queue) {
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        seen.finished = size(queue.completed + queue.discarded + queue.cancelled + queue.expired);
        seen.open = size(queue.waiting + queue.dispatched + queue.unconfigured + queue.parked);
    }
}
