//! Elections inside the test's own process, and waiting for what they tell.

use std::time::Duration;

use election::{Broker, Election, ElectionConfig, Event, Events, LeaseTimings, Mode, StartError};
use protocol::number::Epoch;

/// How long an event is waited for.
const EVENT_MAX: Duration = Duration::from_secs(30);
/// A lease that nobody can have waited out within that.
pub(crate) const LONG_LEASE: LeaseTimings = LeaseTimings {
    lease: Duration::from_secs(120),
    ..LeaseTimings::test()
};

pub(crate) fn config(broker: Broker, holder: &str, mode: Mode) -> ElectionConfig {
    let mut config = ElectionConfig::new(broker, "leaders", "work");
    config.holder = holder.to_owned();
    config.mode = mode;
    config.timings = LeaseTimings::test();
    config
}

/// An election with its events.
pub(crate) struct Stand {
    pub(crate) election: Election,
    events: Events,
    seen: Vec<Event>,
}

impl Stand {
    pub(crate) async fn follow(config: ElectionConfig) -> Self {
        Self::try_follow(config).await.expect("start an election")
    }

    pub(crate) async fn try_follow(config: ElectionConfig) -> Result<Self, StartError> {
        let (election, events) = Election::start(config).await?;
        Ok(Self {
            election,
            events,
            seen: Vec::new(),
        })
    }

    pub(crate) async fn campaign(config: ElectionConfig) -> Self {
        let stand = Self::follow(config).await;
        stand.election.campaign();
        stand
    }

    pub(crate) async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(EVENT_MAX, self.events.next()).await;
        let event = event.unwrap_or_else(|_| panic!("no event within 30 s after {:?}", self.seen));
        let event = event.unwrap_or_else(|| panic!("the election ended after {:?}", self.seen));
        self.seen.push(event.clone());
        event
    }

    /// Waits for an event; what comes before is skipped.
    pub(crate) async fn wait_for<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            let event = self.next().await;
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    pub(crate) async fn acquired(&mut self) -> Epoch {
        self.wait_for(|event| match event {
            Event::Acquired { epoch } => Some(*epoch),
            _ => None,
        })
        .await
    }

    pub(crate) async fn lost(&mut self) -> (Epoch, String) {
        self.wait_for(|event| match event {
            Event::Lost { epoch, reason } => Some((*epoch, reason.to_string())),
            _ => None,
        })
        .await
    }

    /// Waits until the record names this holder as leader.
    pub(crate) async fn sees_leader(&mut self, holder: &str) -> Epoch {
        self.wait_for(|event| match event {
            Event::LeaderChanged(Some(leader)) if leader.holder == holder => Some(leader.epoch),
            _ => None,
        })
        .await
    }

    pub(crate) fn seen(&self) -> &[Event] {
        &self.seen
    }
}
