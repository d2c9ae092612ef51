//! A server of three dies under load, and all of them: work pauses, nothing is lost, and with a
//! lease that is longer than an election of the broker nobody else comes to lead.

use std::collections::BTreeMap;

use anyhow::Context;
use futures::TryStreamExt;
use tests::system::job;
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Size, System};

use crate::fleet::{Fleet, JOBS};

async fn start() -> Fleet {
    let fleet = Fleet::start(Size::Three, Lease::Stable).await;
    fleet.submit().await;
    fleet.reach(JOBS / 5).await;
    fleet
}

async fn finish(fleet: &Fleet) {
    // A worker of the dead server may be away for so long that it stops what it runs under a key, and
    // that attempt is run again.
    fleet.finish_after_kills(JOBS, &BTreeMap::new()).await;
    fleet.system.tap.look(|book| {
        let moved = book.epochs.iter().any(|led| led.holder != "a");
        assert!(!moved, "leadership moved: {:?}", book.epochs);
    });
}

async fn stream_leader_killed(stream: &str) {
    let mut fleet = start().await;
    let client = fleet.system.client.clone();
    let cluster = fleet.system.cluster();
    let (dead, _) = cluster.kill_stream_leader(&client, stream).await.unwrap();
    let next = cluster.stream_leader(&client, stream).await.unwrap();
    assert_ne!(next, dead);
    cluster.server(&dead).unwrap().start_again().await.unwrap();
    finish(&fleet).await;
}

#[tokio::test]
async fn the_stream_leader_of_the_work_queue_is_killed_under_load() {
    stream_leader_killed("WORK").await;
}

#[tokio::test]
async fn the_stream_leader_of_the_ledger_is_killed_under_load() {
    stream_leader_killed("JOBS").await;
}

#[tokio::test]
async fn a_server_that_leads_neither_stream_is_killed_under_load() {
    let mut fleet = start().await;
    let client = fleet.system.client.clone();
    let cluster = fleet.system.cluster();
    let jobs = cluster.stream_leader(&client, "JOBS").await.unwrap();
    let work = cluster.stream_leader(&client, "WORK").await.unwrap();
    let mut others = cluster.servers().iter_mut();
    let follower = others.find(|server| server.name() != jobs && server.name() != work);
    let follower = follower.unwrap();
    follower.kill().await.unwrap();
    follower.start_again().await.unwrap();
    finish(&fleet).await;
}

#[tokio::test]
async fn all_three_servers_are_killed_under_load_and_started_again() {
    let mut fleet = start().await;
    for server in fleet.system.cluster().servers() {
        server.kill().await.unwrap();
    }
    for server in fleet.system.cluster().servers() {
        server.start_again().await.unwrap();
    }
    finish(&fleet).await;
}

/// One server keeps the consumer by which the leader follows the ledger, and no replica has it.
#[tokio::test]
async fn the_server_of_the_leaders_own_consumer_is_killed() {
    let (mut system, _a) = System::with_leader(Size::Three, Lease::Stable)
        .await
        .unwrap();
    let _worker = system.worker("w1").await.unwrap();
    system.submit(job("before", "")).await.unwrap();
    system.end_of("before").await.unwrap();
    let context = async_nats::jetstream::new(system.client.clone());
    let what = "the leader's consumer of the ledger";
    let keeper = eventually(what, PATIENCE, async || {
        let ledger = context.get_stream_no_info("JOBS").await?;
        let all: Vec<_> = ledger.consumers().try_collect().await?;
        // One that was given up lingers for a while: the newest is in use.
        let newest = all.into_iter().max_by_key(|info| info.created);
        let keeper = newest.and_then(|info| info.cluster?.leader);
        keeper.context("no consumer with a server")
    });
    let keeper = keeper.await.unwrap();
    system
        .cluster()
        .server(&keeper)
        .unwrap()
        .kill()
        .await
        .unwrap();
    // Dispatched by a leader that hears of it, although nobody tells it that its consumer is gone.
    system.submit(job("after", "")).await.unwrap();
    assert_eq!(
        system.end_of("after").await.unwrap().end(),
        Some("completed")
    );
}
