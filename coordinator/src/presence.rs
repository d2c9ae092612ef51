//! The workers: what they say, and whether they answer.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, Message};
use nats_config::Broker;
use protocol::id::WorkerId;
use protocol::message::{WorkerSays, WorkerTold};
use protocol::workers::{Pong, Rescue, is_with_the_others};

/// How long a ping waits for its answer, the first time and the second. Of a worker that dies with a
/// ping on its way there comes no word, and of the next one "no responders": so that one is soon.
const PING_WITHIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// How long it may take to learn which servers are there. A later nak could hit another holder.
const PEERS_WITHIN: Duration = Duration::from_secs(1);

/// What a worker said. `None`: no rule of ours made it.
pub(crate) fn said(message: &Message) -> Option<WorkerSays> {
    match serde_json::from_slice(&message.payload) {
        Ok(says) => Some(says),
        Err(error) => {
            tracing::warn!(%error, subject = %message.subject, "ignored what a worker said");
            None
        }
    }
}

/// Pings a worker once.
pub(crate) async fn ping(broker: Broker, worker: WorkerId) -> (WorkerId, Pong) {
    let subject = broker.subjects().worker_ping(&worker);
    let mut pong = Pong::Silent;
    for within in PING_WITHIN {
        pong = ask(broker.client(), subject.clone(), String::new(), within).await;
        if pong != Pong::Silent {
            break;
        }
    }
    (worker, pong)
}

/// Sends a ping, or a request that is answered like one, and says what it showed.
pub(crate) async fn ask(client: &Client, subject: String, what: String, within: Duration) -> Pong {
    let request = Request::new().payload(what.into()).timeout(Some(within));
    match client.send_request(subject, request).await {
        Ok(_) => Pong::Answered,
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Pong::NoResponders,
        Err(_) => Pong::Silent,
    }
}

/// Tells a worker something; what is lost is repeated by nobody, and decides nothing.
pub(crate) async fn tell(broker: &Broker, worker: &WorkerId, told: &WorkerTold) {
    let subject = broker.subjects().worker_told(worker);
    let body = serde_json::to_vec(told).expect("numbers and a tag are JSON");
    if let Err(error) = broker.client().publish(subject, body.into()).await {
        tracing::debug!(%error, %worker, "failed to tell a worker");
    }
}

/// Hands each delivery on whose worker's server is with the others, and leaves the rest to their
/// leases. The broker is asked once for all: they became due together.
pub(crate) async fn rescue_if_safe(broker: Broker, rescues: Vec<Rescue>) {
    let asked = tokio::time::timeout(PEERS_WITHIN, broker.peers(broker.names().work()));
    let known = match asked.await {
        Ok(known) => known.map_err(|error| error.to_string()),
        Err(_elapsed) => Err("the broker does not say which servers are there".to_owned()),
    };
    for rescue in rescues {
        let server = rescue.server.as_deref().unwrap_or_default();
        let why = match &known {
            Ok((leader, peers)) if is_with_the_others(server, leader.as_deref(), peers) => {
                self::rescue(&broker, &rescue).await;
                continue;
            }
            Ok(_) => "its server is cut off, and it may be at work there",
            Err(why) => why,
        };
        tracing::warn!(
            worker = %rescue.worker, job = %rescue.accepted, attempt = %rescue.attempt, server, why,
            "the worker is missing: its job has a key and is left to the lease"
        );
    }
}

/// Hands a delivery on: one nak, never repeated.
pub(crate) async fn rescue(broker: &Broker, rescue: &Rescue) {
    let body = if rescue.delay.is_zero() {
        "-NAK".to_owned()
    } else {
        format!("-NAK {{\"delay\":{}}}", rescue.delay.as_nanos())
    };
    let Rescue {
        worker,
        accepted,
        attempt,
        ..
    } = rescue;
    fail_point!("coordinator.rescue-before");
    tracing::info!(%worker, job = %accepted, %attempt, "the worker is missing: handing its job on");
    if let Err(error) = broker
        .client()
        .publish(rescue.ack.clone(), body.into())
        .await
    {
        tracing::warn!(%error, "failed to hand a job on; its lease ends by itself");
    }
    fail_point!("coordinator.rescue-after");
}

/// Asks all workers to say what they are and run.
pub(crate) async fn call_roll(broker: &Broker) {
    let subject = broker.subjects().worker_roll_call();
    if let Err(error) = broker.client().publish(subject, "".into()).await {
        tracing::debug!(%error, "failed to call the roll");
    }
}
