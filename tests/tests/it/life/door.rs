//! The door closes before the ledger is full, outcomes still land, and it opens again.

use std::time::Duration;

use async_nats::jetstream;
use nats_config::Role;
use serde_json::Value;
use tests::hand::HandWorker;
use tests::raw::{Answer, publish_raw};
use tests::system::{QUEUE, coordinator_binary, job, quick_retries};
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Process, Size, System};

const ROOM: i64 = 1 << 20;

#[tokio::test]
async fn a_nearly_full_ledger_takes_outcomes_and_no_submissions_until_it_has_room() {
    let system = System::start(Size::One, Lease::Quick).await.unwrap();
    let mut command = coordinator_binary().unwrap();
    command.args(["--server", &system.url(), "run", "--name", "a"]);
    command.args(["--lease", "quick", "--ledger-max-bytes", "1MiB"]);
    let mut a = Process::start("coordinator a", command).unwrap();
    a.wait_for_line("standing for leadership", PATIENCE)
        .await
        .unwrap();
    system.queue(QUEUE, &quick_retries()).await.unwrap();
    let worker = HandWorker::here(system.client_of(Role::Worker), "hand", QUEUE, 100).await;
    let worker = worker.unwrap();

    let payload = "x".repeat(20_000);
    let mut accepted = 0;
    let refused = loop {
        let large = job(&format!("x-{accepted}"), &payload);
        match publish_raw(system.client_of(Role::TrustedSubmitter), large)
            .await
            .unwrap()
        {
            Answer::Stored(_) => accepted += 1,
            other => break other,
        }
        // The leader looks once a second: fill the rest a little more slowly than it looks.
        if accepted > 40 {
            look(&system).await;
        }
    };
    assert_eq!(refused, Answer::NoResponders, "after {accepted}");
    assert!((40..52).contains(&accepted), "{accepted}");
    let asked = system
        .client_of(Role::Submitter)
        .request("jobs.api.submit.work.late", "".into())
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&asked.payload).unwrap();
    assert_eq!(
        (&answer["code"], &answer["retry"]),
        (&"closed".into(), &true.into())
    );

    let mut left = accepted;
    while left > 0 {
        for delivery in worker.pull(left.min(50)).await.unwrap() {
            worker.complete(&delivery).await.unwrap();
            left -= 1;
        }
    }
    system.ended(accepted).await.unwrap();

    more_room(&system).await;
    let opened = eventually("an open door", PATIENCE, async || {
        match publish_raw(system.client_of(Role::TrustedSubmitter), job("late", "")).await {
            Ok(Answer::Stored(stored)) => Ok(stored),
            other => Err(format!("{other:?}")),
        }
    });
    opened.await.unwrap();
}

/// One look of the leader's.
async fn look(system: &System) {
    let door = tokio::time::timeout(Duration::from_millis(1_100), async {
        eventually("a closed door", PATIENCE, async || {
            let ledger = system.broker.names().ledger();
            let state = system.broker.state(ledger).await;
            let state = state.map_err(|error| error.to_string())?;
            match system.broker.door_in(&state) {
                nats_config::Door::Closed => Ok(()),
                open => Err(format!("{open:?}")),
            }
        })
        .await
    });
    // Open or closed: the next submission shows it.
    door.await.ok();
}

/// An operator gives the ledger twice the room.
async fn more_room(system: &System) {
    let context = jetstream::new(system.client.clone());
    let stream = context.get_stream("JOBS").await.unwrap();
    let mut config = stream.cached_info().config.clone();
    assert_eq!(config.max_bytes, ROOM);
    config.max_bytes = 2 * ROOM;
    context.update_stream(config).await.unwrap();
}
