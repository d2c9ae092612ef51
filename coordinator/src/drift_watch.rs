//! Whether what exists on the broker still carries the promises, looked over every few seconds. What
//! was deleted and follows from the ledger is made anew; a setting that was altered is told, and the
//! rules stand still on it. It changes no stream.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt;
use nats_config::{Broker, Found, ProvisionError, Settings};
use protocol::coordinator::Ground;
use protocol::id::QueueName;
use protocol::leadership::Moment;
use protocol::number::Sequence;
use protocol::takeover::first_sequence;

use crate::driver::Driver;
use crate::inputs::Done;
use crate::settings::Provision;

/// How often all is looked over.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is known of the streams, buckets and consumers.
#[derive(Debug)]
pub(crate) struct DriftWatch {
    settings: Settings,
    provision: Provision,
    looked: Moment,
    is_looking: bool,
    /// What is absent, and since when it was seen so.
    absent: Option<(String, Moment)>,
    /// Queues whose consumer is being seen to.
    tending: BTreeSet<QueueName>,
    /// Queues whose consumer is not as it should be.
    troubled: BTreeMap<QueueName, String>,
    /// The last harmless differences that were told.
    told: String,
}

impl DriftWatch {
    pub(crate) const fn new(now: Moment, settings: Settings, provision: Provision) -> Self {
        Self {
            settings,
            provision,
            looked: now,
            is_looking: false,
            absent: None,
            tending: BTreeSet::new(),
            troubled: BTreeMap::new(),
            told: String::new(),
        }
    }

    fn is_due(&mut self, now: Moment) -> bool {
        let is_due = self.provision != Provision::Off
            && !self.is_looking
            && now.since(self.looked) >= LOOK_EVERY;
        if is_due {
            self.looked = now;
            self.is_looking = true;
        }
        is_due
    }

    /// Whether to see to a queue's consumer now: once at a time.
    pub(crate) fn may_tend(&mut self, queue: &QueueName) -> bool {
        self.tending.insert(queue.clone())
    }

    /// A queue's consumer was seen to.
    pub(crate) fn tended(&mut self, queue: &QueueName, trouble: Option<String>) {
        self.tending.remove(queue);
        let before = match trouble {
            Some(text) => {
                let before = self.troubled.insert(queue.clone(), text.clone());
                if before.as_ref() != Some(&text) {
                    tracing::error!(%queue, "{text}");
                }
                return;
            }
            None => self.troubled.remove(queue),
        };
        if before.is_some() {
            tracing::info!(%queue, "the queue's consumer is as it should be again");
        }
    }

    fn tell_harmless(&mut self, report: &nats_config::Report) {
        let texts: Vec<String> = report.drift.iter().map(ToString::to_string).collect();
        let text = texts.join("; ");
        if text != self.told && !text.is_empty() {
            tracing::warn!("differs, without harm: {text}");
        }
        self.told = text;
    }
}

/// Looks all over when it is time to.
pub(crate) fn look(driver: &mut Driver, now: Moment) {
    if driver.drift.is_due(now) {
        let (broker, settings) = (driver.broker.clone(), driver.drift.settings.clone());
        let looked = async move { Done::LookedOver(broker.look_over(&settings).await) };
        driver.under_way.push(looked.boxed());
    }
}

/// What was found, for the rules; none where nothing is known, or something is absent.
pub(crate) fn looked_over(
    driver: &mut Driver,
    found: Result<Found, ProvisionError>,
) -> Option<Ground> {
    driver.drift.is_looking = false;
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "failed to look over what exists on the broker");
            return None;
        }
    };
    let before = driver.rules.frozen().map(str::to_owned);
    if !matches!(found, Found::Absent { .. }) {
        driver.drift.absent = None;
    }
    match found {
        Found::Sound(report) => {
            driver.drift.tell_harmless(&report);
            if before.is_some() {
                tracing::info!("all promises can be kept again: dispatch goes on");
            }
            Some(Ground::Sound)
        }
        Found::Unsafe(why) => {
            if before.as_ref() != Some(&why) {
                tracing::error!("dispatch stands still: {why}");
            }
            Some(Ground::Unsafe(why))
        }
        // The watch of the ledger makes sure of it.
        Found::NoLedger => None,
        Found::Absent { object, is_work } => {
            absent(driver, object, is_work);
            None
        }
    }
}

/// Has what is absent made anew: by whoever holds the lease, or, since nobody may hold one without
/// the leaders' bucket, a bucket by everybody.
fn absent(driver: &mut Driver, object: String, is_work: bool) {
    let now = election::boot_now();
    let since = match &driver.drift.absent {
        Some((known, since)) if *known == object => *since,
        _ => {
            tracing::error!("{object} was deleted");
            driver.drift.absent = Some((object, now));
            now
        }
    };
    if driver.drift.provision != Provision::Create {
        return;
    }
    let (broker, settings) = (driver.broker.clone(), driver.drift.settings.clone());
    if !is_work {
        driver
            .under_way
            .push(make_buckets(broker, settings).boxed());
    } else if let Some(epoch) = driver.rules.epoch()
        && now.since(since) >= longest_lease(driver)
    {
        let first = first_sequence(epoch);
        driver
            .under_way
            .push(make_work(broker, settings, first).boxed());
    }
}

/// Who held something that the old work queue handed out has let go after so long.
fn longest_lease(driver: &Driver) -> Duration {
    let queues = driver.rules.ledger().configured();
    let leases = queues.map(|(_, config)| Duration::from_millis(config.work_lease_ms));
    leases.max().unwrap_or_default()
}

async fn make_buckets(broker: Broker, settings: Settings) -> Done {
    match broker.make_buckets_again(&settings).await {
        Ok(()) => tracing::warn!("made the buckets that were deleted anew"),
        Err(error) => tracing::warn!(%error, "failed to make a bucket anew; trying again"),
    }
    Done::Nothing
}

async fn make_work(broker: Broker, settings: Settings, first: Sequence) -> Done {
    match broker.make_work_again(&settings, first).await {
        Ok(()) => {
            tracing::warn!(%first, "made the work queue anew: what was out is dispatched again");
            Done::WorkMade
        }
        Err(error) => {
            tracing::warn!(%error, "failed to make the work queue anew; trying again");
            Done::Nothing
        }
    }
}

/// What an operator should know now.
pub(crate) fn alarms(driver: &Driver) -> Vec<String> {
    let frozen = driver.rules.frozen();
    let frozen = frozen.map(|why| format!("dispatch stands still: {why}"));
    let watch = &driver.drift;
    let absent = watch
        .absent
        .as_ref()
        .map(|(object, _)| match watch.provision {
            Provision::Create => format!("{object} was deleted: it is made anew soon"),
            Provision::Verify | Provision::Off => {
                format!("{object} was deleted: make it again, since this coordinator only verifies")
            }
        });
    let troubled = watch.troubled.values().cloned();
    frozen.into_iter().chain(absent).chain(troubled).collect()
}
