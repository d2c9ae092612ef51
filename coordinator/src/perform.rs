//! What the rules decided, carried out from the top, in the order of the fields.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use election::boot_now;
use futures::FutureExt;
use nats_config::{Broker, Ensured, ProvisionError};
use protocol::answer::Answer;
use protocol::coordinator::Event;
use protocol::door::DoorChange;
use protocol::effects::{Effects, RecordWrite, Stop, WantedConsumer};
use protocol::message::CoordinatorStatus;
use protocol::number::{Accepted, Epoch};
use protocol::takeover::Step;
use protocol::workers::Rescue;

use crate::driver::Driver;
use crate::inputs::Done;
use crate::{drift_watch, presence, reread, spent, steps};

/// How long a failed try to make a consumer waits.
const CONSUMER_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Most alarms that a status shows.
const ALARMS_MAX: usize = 16;

/// Carries out what was decided. Nothing here waits for an answer: answers come back as events.
pub(crate) async fn perform(driver: &mut Driver, effects: Effects) {
    if effects.drop_writes {
        driver.work.drop_writes();
    }
    if let Some(stop) = &effects.stop {
        stopped(driver, stop);
    }
    if let Some(floor) = effects.advance {
        let election = Arc::clone(&driver.election);
        let advance = async move { Done::Advanced(election.advance(floor).await) };
        driver.under_way.push(advance.boxed());
    }
    if let Some((epoch, step)) = effects.step {
        take_step(driver, epoch, step);
    }
    for wanted in effects.consumers {
        if driver.drift.may_tend(&wanted.queue) {
            let made = ensure_consumer(driver.broker.clone(), wanted);
            driver.under_way.push(made.boxed());
        }
    }
    driver.work.push(effects.dispatch, &mut driver.payloads);
    for record in effects.records {
        driver
            .under_way
            .push(write(driver.broker.clone(), record).boxed());
    }
    if let Some(change) = effects.door {
        driver
            .under_way
            .push(turn_door(driver.broker.clone(), change).boxed());
    }
    let by_server = |rescue: &Rescue| rescue.server.is_some();
    let (asked_for, at_once): (Vec<_>, Vec<_>) = effects.rescues.into_iter().partition(by_server);
    for rescue in &at_once {
        presence::rescue(&driver.broker, rescue).await;
    }
    if !asked_for.is_empty() {
        let rescued = presence::rescue_if_safe(driver.broker.clone(), asked_for);
        driver
            .under_way
            .push(rescued.map(|()| Done::Nothing).boxed());
    }
    for (worker, told) in &effects.told {
        presence::tell(&driver.broker, worker, told).await;
    }
    for worker in effects.pings {
        let ping = presence::ping(driver.broker.clone(), worker);
        let ponged = ping.map(|(worker, pong)| Done::Ponged(worker, pong));
        driver.under_way.push(ponged.boxed());
    }
    for accepted in effects.reread {
        let read = payload(driver.broker.clone(), accepted);
        driver.under_way.push(read.boxed());
    }
    for epoch in effects.purge_fences {
        driver
            .under_way
            .push(purge_fence(driver.broker.clone(), epoch).boxed());
    }
    if !effects.spent.is_empty() {
        let deleted = spent::delete(driver.broker.clone(), effects.spent);
        driver.under_way.push(deleted.boxed());
    }
    for alarm in effects.alarms {
        tracing::warn!("{alarm}");
        driver.alarm(alarm);
    }
}

fn take_step(driver: &mut Driver, epoch: Epoch, step: Step) {
    tracing::debug!(%epoch, ?step, "step");
    if let Step::Barrier = step {
        driver.clock.asks(epoch);
    }
    let folded = driver.rules.ledger().last_sequence();
    let taken = steps::take(
        driver.broker.clone(),
        driver.me.clone(),
        epoch,
        step,
        folded,
    );
    let step = taken.map(|(epoch, taken)| Done::Step(epoch, taken));
    driver.under_way.push(step.boxed());
}

fn stopped(driver: &mut Driver, stop: &Stop) {
    let text = match stop {
        Stop::Newer(why) => format!("a newer version is at work: {why}; upgrade this coordinator"),
        Stop::WentBack(why) => format!(
            "the ledger is not the one that was folded: {why}; if the store was restored on purpose, start the coordinators again, all at once"
        ),
        Stop::LedgerGone(why) => format!(
            "the ledger is gone: {why}; nothing is accepted or recorded, and what was accepted is lost unless it is restored: see \"A ledger that is gone\" in docs/operating.md"
        ),
    };
    tracing::error!("{text}");
    driver.election.withdraw();
    driver.alarm(text);
}

/// Gives leadership back, so that another takes over at once.
pub(crate) async fn leave(driver: &mut Driver) {
    fail_point!("coordinator.leave-before");
    driver.work.drop_writes();
    // What a follower would be told to do now, nobody needs any more.
    drop(driver.rules.handle(driver.clock.now(), Event::Lost));
    driver.election.withdraw();
    match driver.election.resign().await {
        Ok(()) => tracing::info!("gave leadership back"),
        Err(error) => tracing::debug!(%error, "had no leadership to give back"),
    }
    fail_point!("coordinator.leave-after");
    driver.election.stop().await;
}

/// Hands over and stays, as an operator asked: others have a lease's time to take over.
pub(crate) async fn step_down(driver: &mut Driver) {
    tracing::warn!("an operator asked this coordinator to step down: handing over");
    driver.event(Event::Lost).await;
    let (election, pause) = (Arc::clone(&driver.election), driver.stand_back);
    let handed_over = async move {
        match election.resign().await {
            Ok(()) => tracing::info!("gave leadership back"),
            Err(error) => tracing::info!(%error, "the lease is left to run out"),
        }
        tokio::time::sleep(pause).await;
        Done::StandAgain
    };
    driver.under_way.push(handed_over.boxed());
}

impl Driver {
    /// Keeps an alarm for the status, the newest last.
    pub(crate) fn alarm(&mut self, text: String) {
        if self.alarms.len() >= ALARMS_MAX {
            self.alarms.remove(0);
        }
        self.alarms.push(text);
    }
}

async fn payload(broker: Broker, accepted: Accepted) -> Done {
    Done::Reread(accepted, reread::single(&broker, accepted).await.payload)
}

async fn write(broker: Broker, record: RecordWrite) -> Done {
    fail_point!("coordinator.record-before");
    let answer: Answer = broker
        .write(record.subject, HeaderMap::new(), record.body.into())
        .await;
    fail_point!("coordinator.record-after");
    Done::Wrote(record.accepted, answer)
}

/// Makes a queue's consumer or sets it right. One that was deleted after it had handed something out
/// is made anew when every lease on that has ended: whoever held one has let go by then.
async fn ensure_consumer(broker: Broker, wanted: WantedConsumer) -> Done {
    let WantedConsumer {
        queue,
        config,
        is_held,
    } = wanted;
    if is_held
        && let Err(ProvisionError::Missing { object }) = broker.tend_consumer(&queue, &config).await
    {
        let lease = Duration::from_millis(config.work_lease_ms);
        tracing::error!(%queue, "{object} was deleted: it is made anew in {lease:?}, when nobody can hold what it handed out");
        tokio::time::sleep(lease).await;
    }
    loop {
        match broker.ensure_consumer(&queue, &config).await {
            Ok(report) => {
                if report.ensured != Ensured::Unchanged {
                    tracing::info!(%queue, ensured = ?report.ensured, "the queue's consumer");
                }
                return Done::Consumer(queue, None);
            }
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, %queue, "failed to make the queue's consumer; trying again");
            }
            Err(error) => return Done::Consumer(queue, Some(error.to_string())),
        }
        tokio::time::sleep(CONSUMER_AGAIN_AFTER).await;
    }
}

async fn turn_door(broker: Broker, change: DoorChange) -> Done {
    let turned = match change {
        DoorChange::Close => broker.close_door().await,
        DoorChange::Open => broker.open_door().await,
    };
    match turned {
        Ok(_) => tracing::warn!(?change, "turned the door of the ledger"),
        Err(error) => tracing::warn!(%error, ?change, "failed to turn the door; trying again"),
    }
    Done::Nothing
}

async fn purge_fence(broker: Broker, epoch: Epoch) -> Done {
    fail_point!("coordinator.purge-before");
    let subject = broker.subjects().fence_of(epoch);
    let stream = broker
        .jetstream()
        .get_stream_no_info(broker.names().work())
        .await;
    let purged = match stream {
        Ok(stream) => stream
            .purge()
            .filter(subject)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    fail_point!("coordinator.purge-after");
    if let Err(error) = purged {
        tracing::debug!(error, %epoch, "failed to purge an old fence; a later leader does it");
    }
    Done::Nothing
}

/// What this coordinator is and sees.
pub(crate) fn status(driver: &Driver) -> CoordinatorStatus {
    let snapshot = driver.election.snapshot();
    let mut alarms = driver.alarms.clone();
    alarms.extend(driver.watch.alarm(boot_now()));
    alarms.extend(drift_watch::alarms(driver));
    alarms.extend(driver.write_alarm(boot_now()));
    alarms.extend(
        snapshot
            .trouble
            .map(|trouble| format!("election: {trouble}")),
    );
    let ignored = driver.rules.ledger().ignored();
    let mut ignored_by: BTreeMap<String, u64> = ignored
        .iter()
        .map(|(reason, count)| (reason.name().to_owned(), count))
        .collect();
    if driver.unread_says > 0 {
        ignored_by.insert("worker-message".to_owned(), driver.unread_says);
    }
    CoordinatorStatus {
        coordinator: driver.me.name.clone(),
        incarnation: driver.me.incarnation.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: driver.rules.role_name().to_owned(),
        epoch: driver.rules.epoch(),
        leader: snapshot.leader.map(|leader| leader.holder),
        folded: driver.rules.ledger().last_sequence(),
        door: match driver.rules.is_door_open() {
            Some(true) => "open".to_owned(),
            Some(false) => "closed".to_owned(),
            None => "unknown".to_owned(),
        },
        alarms,
        ignored: ignored.total(),
        ignored_by,
        // The front door knows.
        refused: BTreeMap::new(),
        workers: driver.rules.present_workers(),
        queues: driver.rules.queues(),
    }
}
