//! The leader dies, stands still or leaves while jobs run: nothing is lost, nothing is done twice.

use std::time::Duration;

use nats_config::Role;
use tests::hand::HandWorker;
use tests::proxy::Proxy;
use tests::system::{QUEUE, load};
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Size, System};

use crate::fleet::{Fleet, JOBS};

/// Below the shortest time after which a follower takes over from a silent leader by the lease
/// alone: who is quicker saw it die.
const BEFORE_THE_LEASE_ENDS: Duration = Duration::from_secs(5);

async fn killed_under_load(size: Size) {
    let mut fleet = Fleet::start(size, Lease::Quick).await;
    let epoch = fleet.system.epoch();
    fleet.submit().await;
    fleet.reach(JOBS / 5).await;

    let killed = fleet.take_leader().kill().await.unwrap();

    let led = fleet.system.leader_after(epoch).await.unwrap();
    let took = killed.elapsed();
    assert_eq!(led.holder, "b");
    assert!(took < BEFORE_THE_LEASE_ENDS, "it took {took:?}");
    fleet.finish(JOBS).await;
}

#[tokio::test]
async fn a_killed_leader_is_followed_at_once_on_one_server() {
    killed_under_load(Size::One).await;
}

#[tokio::test]
async fn a_killed_leader_is_followed_at_once_on_three_servers() {
    killed_under_load(Size::Three).await;
}

#[tokio::test]
async fn one_leader_after_the_other_is_killed() {
    let mut fleet = Fleet::start(Size::One, Lease::Quick).await;
    let mut jobs = 0;
    for name in ["c", "d", "e", "f"] {
        let load = load(name, JOBS / 4, 4, 10);
        fleet.system.submit_all(load).await.unwrap();
        fleet.reach(jobs + JOBS / 20).await;
        jobs += JOBS / 4;
        let epoch = fleet.system.epoch();
        fleet.take_leader().kill().await.unwrap();
        fleet.add_coordinator(name).await;
        fleet.system.leader_after(epoch).await.unwrap();
    }
    fleet.finish(jobs).await;
}

async fn hands_over(size: Size) {
    let mut fleet = Fleet::start(size, Lease::Stable).await;
    let epoch = fleet.system.epoch();
    fleet.submit().await;
    fleet.reach(JOBS / 5).await;

    let mut leader = fleet.take_leader();
    let asked = leader.send(rustix::process::Signal::TERM).unwrap();

    let led = fleet.system.leader_after(epoch).await.unwrap();
    let took = asked.elapsed();
    assert_eq!((led.holder.as_str(), led.epoch), ("b", epoch + 1));
    assert!(took < BEFORE_THE_LEASE_ENDS, "it took {took:?}");
    let status = leader.wait_exit(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
    fleet.finish(JOBS).await;
    assert_eq!(fleet.system.epoch(), epoch + 1, "one hand-over is enough");
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_on_one_server() {
    hands_over(Size::One).await;
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_on_three_servers() {
    hands_over(Size::Three).await;
}

async fn all_killed(size: Size) {
    let mut fleet = Fleet::start(size, Lease::Quick).await;
    fleet.submit().await;
    fleet.reach(JOBS / 5).await;
    for (_, mut coordinator) in std::mem::take(&mut fleet.coordinators) {
        coordinator.kill().await.unwrap();
    }
    let epoch = fleet.system.epoch();

    // The direct door needs no coordinator.
    let late = fleet.system.submit_all(load("late", 20, 2, 10)).await;
    assert_eq!(late.unwrap().len(), 20);
    for name in ["c", "d"] {
        fleet.add_coordinator(name).await;
    }
    fleet.system.leader_after(epoch).await.unwrap();
    fleet.finish(JOBS + 20).await;
}

#[tokio::test]
async fn coordinators_that_were_all_killed_go_on_on_one_server() {
    all_killed(Size::One).await;
}

#[tokio::test]
async fn coordinators_that_were_all_killed_go_on_on_three_servers() {
    all_killed(Size::Three).await;
}

async fn stands_still_past_its_lease(size: Size) {
    let mut fleet = Fleet::start(size, Lease::Test).await;
    fleet.submit().await;
    fleet.reach(JOBS / 5).await;
    let epoch = fleet.system.epoch();
    let mut leader = fleet.take_leader();
    leader.pause().unwrap();
    let led = fleet.system.leader_after(epoch).await.unwrap();
    assert_ne!(format!("coordinator {}", led.holder), leader.name());

    leader.resume().unwrap();

    fleet.finish(JOBS).await;
    let name = leader.name().trim_start_matches("coordinator ").to_owned();
    fleet.system.has_role(&name, "follower").await.unwrap();
    // It is as good as before: alone, it leads.
    let epoch = fleet.system.epoch();
    fleet.take_leader().kill().await.unwrap();
    let led = fleet.system.leader_after(epoch).await.unwrap();
    assert_eq!(led.holder, name);
    fleet
        .system
        .submit_all(load("more", 10, 0, 0))
        .await
        .unwrap();
    fleet.finish(JOBS + 10).await;
}

#[tokio::test]
async fn a_leader_that_stood_still_past_its_lease_follows_on_one_server() {
    stands_still_past_its_lease(Size::One).await;
}

#[tokio::test]
async fn a_leader_that_stood_still_past_its_lease_follows_on_three_servers() {
    stands_still_past_its_lease(Size::Three).await;
}

/// How many writes the old leader has on their way: more than the places that it starts with.
const HELD: usize = 150;

/// The leader's line stands still with its dispatches in it, and flows again when another leads.
#[tokio::test]
async fn writes_that_were_held_on_their_way_are_refused_after_a_takeover() {
    let mut system = System::start(Size::One, Lease::Test).await.unwrap();
    let proxy = Proxy::start(system.server().port()).await.unwrap();
    let _a = system.coordinator_at("a", &proxy.url()).await.unwrap();
    let config = tests::system::quick_retries();
    system.queue(QUEUE, &config).await.unwrap();
    let epoch = system.leader_after(0).await.unwrap().epoch;
    let _b = system.coordinator("b").await.unwrap();
    let worker = HandWorker::here(system.client_of(Role::Worker), "hand", QUEUE, 200).await;
    let worker = worker.unwrap();
    // The leader knows of the slots when it hands out more than the 16 places of a queue without.
    system.submit_all(load("x", 50, 0, 0)).await.unwrap();
    dispatched(&system, 50).await;

    proxy.hold();
    system.submit_all(load("y", HELD, 0, 0)).await.unwrap();
    eventually("the leader's writes in its line", PATIENCE, async || {
        match proxy.held_bytes() {
            // A dispatch with its headers is longer than this.
            bytes if bytes > 150 * HELD as u64 => Ok(()),
            bytes => Err(format!("{bytes} bytes")),
        }
    })
    .await
    .unwrap();
    let led = system.leader_after(epoch).await.unwrap();
    assert_eq!(led.holder, "b");
    dispatched(&system, 50 + HELD).await;
    let before = listed(&system).await;
    let last = last_of_work(&system).await;
    proxy.release();
    system.has_role("a", "follower").await.unwrap();

    assert_eq!(listed(&system).await, before);
    assert_eq!(
        last_of_work(&system).await,
        last,
        "nothing of it was stored"
    );
    let mut left = 50 + HELD;
    while left > 0 {
        for delivery in worker.pull(left.min(100)).await.unwrap() {
            worker.complete(&delivery).await.unwrap();
            left -= 1;
        }
    }
    system.ended(50 + HELD).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
}

async fn dispatched(system: &System, count: usize) {
    let what = format!("{count} dispatches");
    let all = eventually(&what, PATIENCE, async || match listed(system).await {
        work if work.len() == count => Ok(()),
        work => Err(format!("{}", work.len())),
    });
    all.await.unwrap();
}

/// The subjects of the work queue.
async fn listed(system: &System) -> Vec<String> {
    let work = system.broker.names().work();
    let filter = system.broker.subjects().work_all();
    let mut listed = system.broker.list_subjects(work, &filter).await.unwrap();
    listed.sort();
    listed
}

async fn last_of_work(system: &System) -> u64 {
    let work = system.broker.names().work();
    system.broker.state(work).await.unwrap().last.get()
}
