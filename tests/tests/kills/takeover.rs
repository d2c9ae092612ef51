//! The writes of an old leader against the takeover of a real coordinator.
//!
//! The test writes as the dead leader would have: real attempts of real jobs, the whole window of
//! them, while the next leader looks, fences, lists and begins.

use protocol::number::Sequence;
use protocol::subject::FENCE_LEN;
use tests::raw::{Answer, Message, publish_raw, publish_window};
use tests::system::{QUEUE, load};
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Process, Size, System, runs};

const JOBS: usize = 600;

/// A leader with more jobs than places, and another coordinator that follows.
struct Stage {
    system: System,
    a: Process,
    _b: Process,
    /// The writes that the leader would have under way next.
    ghosts: Vec<Message>,
    epoch: u64,
    /// What the leader wrote itself.
    own: Vec<String>,
}

async fn listed(system: &System) -> Vec<String> {
    let (work, filter) = (system.broker.names().work(), system.broker.subjects());
    let listed = system.broker.list_subjects(work, &filter.work_all()).await;
    let mut listed = listed.unwrap();
    listed.sort();
    listed
}

async fn stage(size: Size) -> Stage {
    let (system, a) = System::with_leader(size, Lease::Quick).await.unwrap();
    let b = system.coordinator("b").await.unwrap();
    let accepted = system.submit_all(load("x", JOBS, 0, 0)).await.unwrap();
    // Without workers a queue has 16 places, and the leader writes no more.
    let own = eventually("16 dispatches", PATIENCE, async || {
        let listed = listed(&system).await;
        match listed.len() {
            16 => Ok(listed),
            count => Err(format!("{count}")),
        }
    });
    let own = own.await.unwrap();
    let work = system.broker.names().work();
    let last = system.broker.state(work).await.unwrap().last;
    let waiting = (0..JOBS).filter(|n| {
        let tail = format!(".x-{n}");
        !own.iter().any(|subject| subject.ends_with(&tail))
    });
    let ghosts = waiting
        .take(usize::try_from(FENCE_LEN).unwrap())
        .enumerate()
        .map(|(place, n)| ghost(n, accepted[n], Sequence::new(last.get() + place as u64)))
        .collect();
    let epoch = system.epoch();
    Stage {
        system,
        a,
        _b: b,
        ghosts,
        epoch,
        own,
    }
}

fn ghost(n: usize, accepted: u64, expects: Sequence) -> Message {
    Message::new(
        format!("jobs.work.{QUEUE}.{accepted}.1.x-{n}"),
        r#"{"do":"work"}"#,
    )
    .header("Jobs-Kind", &QUEUE)
    .header("Jobs-Epoch", &1)
    .expecting(expects.get())
}

fn is_stored(answer: &Answer) -> bool {
    match answer {
        Answer::Stored(_) => true,
        Answer::Refused(_) => false,
        other => panic!("a ghost got {other:?}"),
    }
}

/// Every job is done, once, whoever wrote its work message.
async fn finish(stage: &Stage) {
    let system = &stage.system;
    let _worker = system.worker_with("w1", &["--slots", "16"]).await.unwrap();
    system.ended(JOBS).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
    let runs = system.runs().unwrap();
    runs::check_each_attempt_once(&runs);
    assert_eq!(runs.len(), JOBS);
}

async fn a_window_in_step(size: Size) {
    let mut stage = stage(size).await;
    let ghosts = stage.ghosts.clone();
    let mut stored = 0;
    for (place, ghost) in ghosts.iter().enumerate() {
        if place == 100 {
            stage.a.kill().await.unwrap();
        }
        let answer = publish_raw(&stage.system.client, ghost.clone())
            .await
            .unwrap();
        if is_stored(&answer) {
            assert_eq!(stored, place, "a ghost landed after one was refused");
            stored += 1;
        }
    }
    assert!(
        stored >= 100,
        "what came before the fence is work as any other"
    );
    let led = stage.system.leader_after(stage.epoch).await.unwrap();
    assert_eq!(led.holder, "b");
    let answers = publish_window(&stage.system.client, ghosts).await.unwrap();
    assert!(!answers.iter().any(is_stored));
    finish(&stage).await;
}

/// The first write of the window was lost on its way: the others match nothing, unless the next
/// leader makes a place for them.
async fn a_broken_window(size: Size) {
    let mut stage = stage(size).await;
    let ghosts = stage.ghosts.split_off(1);
    stage.a.kill().await.unwrap();
    let mut windows = 0;
    while stage.system.epoch() == stage.epoch {
        let answers = publish_window(&stage.system.client, ghosts.clone()).await;
        assert!(!answers.unwrap().iter().any(is_stored));
        windows += 1;
        assert!(windows < 10_000, "nobody took over");
    }
    let answers = publish_window(&stage.system.client, ghosts).await;
    assert!(!answers.unwrap().iter().any(is_stored));
    assert_eq!(listed(&stage.system).await, stage.own);
    finish(&stage).await;
}

#[tokio::test]
async fn a_window_in_step_is_work_before_the_fence_and_nothing_after_it_on_one_server() {
    a_window_in_step(Size::One).await;
}

#[tokio::test]
async fn a_window_in_step_is_work_before_the_fence_and_nothing_after_it_on_three_servers() {
    a_window_in_step(Size::Three).await;
}

#[tokio::test]
async fn a_broken_window_never_lands_during_a_takeover_on_one_server() {
    a_broken_window(Size::One).await;
}

#[tokio::test]
async fn a_broken_window_never_lands_during_a_takeover_on_three_servers() {
    a_broken_window(Size::Three).await;
}
