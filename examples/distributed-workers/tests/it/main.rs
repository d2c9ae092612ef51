//! The example as real processes on a real server: its answers, its end in good order, and all of its
//! parts killed.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod answers;
mod http;
mod scene;

use distributed_workers::{Multiply, QUEUE};
use futures::StreamExt;
use serde_json::Value;
use tests::proof::prove;
use tests::system::System;
use tests::wait::PATIENCE;

use crate::scene::{front_end, put, system, workers};

/// How many jobs.
const JOBS: u32 = 100;
/// Puts under way at a time.
const UNDER_WAY: usize = 8;

fn id(n: u32) -> String {
    format!("client-7/item-{n}")
}

/// Its first run takes its process down, before another worker is here.
async fn a_worker_crashes_in_the_middle(system: &System, address: &str) {
    let mut crashing = workers("w0", system, &["--crash-every", "1"]).await;
    let answer = put(&[address], &id(0), "0").await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    let status = crashing.wait_exit(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
}

/// Each job has one outcome that is completed, the last one, with the product.
fn each_was_multiplied_once(system: &System) {
    system.tap.look(|book| {
        book.check_all_ended_as("completed");
        assert_eq!(book.jobs.len(), usize::try_from(JOBS).unwrap());
        for n in 0..JOBS {
            let job = book.job(QUEUE, &id(n)).unwrap();
            let is_completed = |it: &&tests::book::Recorded| it.status == "completed";
            let completed: Vec<_> = job.outcomes.iter().filter(is_completed).collect();
            let [outcome] = completed[..] else {
                panic!("{n}: {:#?}", job.outcomes);
            };
            let product = Value::from(Multiply { n }.product());
            assert_eq!(outcome.body["result"], product, "{n}");
        }
        let outcomes: usize = book.jobs.values().map(|job| job.outcomes.len()).sum();
        assert!(book.jobs.len() < outcomes, "no executor was flaky");
    });
}

#[tokio::test]
async fn everything_is_killed_and_each_item_is_accepted_and_multiplied_once() {
    let (system, mut leader, _other) = system().await;
    let left = front_end("front end 1", &system.url()).await;
    let mut right = front_end("front end 2", &system.url()).await;
    a_worker_crashes_in_the_middle(&system, &left.address).await;
    let flaky = ["--fail-percent", "30"];
    let mut dying = workers("w1", &system, &flaky).await;
    let _living = workers("w2", &system, &flaky).await;

    // Half of the items go to the front end that dies, and are repeated at the other one.
    let doors = [left.address.clone(), right.address.clone()];
    let puts = futures::stream::iter(1..JOBS).map(async |n| {
        let first = usize::from(n % 2 == 0);
        let addresses = [doors[first].as_str(), doors[1 - first].as_str()];
        put(&addresses, &id(n), &n.to_string()).await.unwrap()
    });
    let mut puts = Box::pin(puts.buffer_unordered(UNDER_WAY));
    let mut answered = 0;
    let epoch = system.epoch();
    while let Some(answer) = puts.next().await {
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        answered += 1;
        match answered {
            20 => drop(dying.kill().await.unwrap()),
            40 => drop(right.process.kill().await.unwrap()),
            60 => drop(leader.kill().await.unwrap()),
            _ => {}
        }
    }
    assert_eq!(answered + 1, JOBS);
    system.leader_after(epoch).await.unwrap();

    // Each once more through the other one: a front end that is new knows what an older one took.
    let right = front_end("front end 3", &system.url()).await;
    for n in 0..JOBS {
        let other = match n % 2 == 0 {
            true => &left.address,
            false => &right.address,
        };
        let again = put(&[other], &id(n), &n.to_string()).await.unwrap();
        assert_eq!(again.status, 200, "{n}: {again:?}");
    }

    system.ended(usize::try_from(JOBS).unwrap()).await.unwrap();
    system.work_is_done().await.unwrap();
    each_was_multiplied_once(&system);
    let proved = prove(&system).await.unwrap();
    assert_eq!(proved.figures.completed, u64::from(JOBS));
}
