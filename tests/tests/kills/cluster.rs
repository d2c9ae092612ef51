//! A server of three dies under load, and all of them: work pauses, nothing is lost, and with a
//! lease that is longer than an election of the broker nobody else comes to lead.

use std::collections::BTreeMap;

use tests::{Lease, Size};

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
