//! The writes of an old leader, put onto the wire by the test itself: the whole window of them,
//! before, between and after the fence records of a new leader, which is the test, too.
//!
//! The fence is one atomic batch of as many records as the widest window has writes. A fence of one
//! record is shown to fail: that is why it is so long.

use protocol::number::{Epoch, Sequence};
use protocol::subject::FENCE_LEN;
use tests::raw::{Answer, Message, atomic_batch, publish_raw, publish_window};
use tests::{Size, System};

/// Refused: another sequence than the expected one is the last.
const WRONG_LAST: u64 = 10_071;

/// Writes that an old leader has under way, each expecting the one before it.
fn window(first_expects: Sequence, len: u64) -> Vec<Message> {
    (0..len)
        .map(|n| {
            let expects = first_expects.get() + n;
            Message::new(
                format!("jobs.work.work.{}.1.ghost-{n}", 100_000 + expects),
                "",
            )
            .expecting(expects)
        })
        .collect()
}

/// The fence of a new leader that saw `last` as the end of the work queue.
fn fence(system: &System, epoch: u64, last: Sequence) -> Vec<Message> {
    let subject = |place| system.broker.subjects().fence(Epoch::new(epoch), place);
    (1..=FENCE_LEN)
        .map(|place| match place {
            1 => Message::new(subject(place), "").expecting(last.get()),
            _ => Message::new(subject(place), ""),
        })
        .collect()
}

/// All of them at once, in their order, on one connection.
async fn send(system: &System, writes: Vec<Message>) -> Vec<Answer> {
    publish_window(&system.client, writes).await.unwrap()
}

async fn last(system: &System) -> Sequence {
    let work = system.broker.names().work();
    system.broker.state(work).await.unwrap().last
}

/// The sequences on which work stands, without the fences.
async fn work_stored(system: &System) -> u64 {
    let filter = system.broker.subjects().work_all();
    let work = system.broker.names().work();
    let found = system.broker.list_subjects(work, &filter).await.unwrap();
    u64::try_from(found.len()).unwrap()
}

fn all_refused(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.code(), WRONG_LAST, "{answer:?}");
    }
}

/// An old leader with its fence and some work of its own in the queue.
async fn old_leader(size: Size) -> System {
    let system = System::with_streams(size).await.unwrap();
    let fenced = atomic_batch(&system.client, fence(&system, 1, Sequence::new(0)));
    assert_eq!(fenced.await.unwrap().sequence(), FENCE_LEN);
    let own = send(&system, window(Sequence::new(FENCE_LEN), 10)).await;
    assert_eq!(own.last().unwrap().sequence(), FENCE_LEN + 10);
    system
}

async fn refused_after_the_fence(size: Size) {
    let system = old_leader(size).await;
    let seen = last(&system).await;
    let fenced = atomic_batch(&system.client, fence(&system, 2, seen)).await;
    let fence_last = fenced.unwrap().sequence();
    assert_eq!(fence_last, seen.get() + FENCE_LEN);

    all_refused(&send(&system, window(seen, FENCE_LEN)).await);

    assert_eq!(
        last(&system).await.get(),
        fence_last,
        "nothing stands behind"
    );
    assert_eq!(work_stored(&system).await, 10);
    let own = send(&system, window(Sequence::new(fence_last), 1)).await;
    assert_eq!(
        own[0].sequence(),
        fence_last + 1,
        "the new leader writes on"
    );
}

async fn cut_in_two_by_the_fence(size: Size) {
    let system = old_leader(size).await;
    let seen = last(&system).await;
    let mut early = window(seen, FENCE_LEN);
    let late = early.split_off(200);
    let answers = send(&system, early).await;
    assert_eq!(answers.last().unwrap().sequence(), seen.get() + 200);

    let stale = atomic_batch(&system.client, fence(&system, 2, seen)).await;
    assert_eq!(stale.unwrap().code(), WRONG_LAST, "it saw an older end");
    let seen = last(&system).await;
    assert_eq!(
        work_stored(&system).await,
        210,
        "nothing of a stale fence is stored"
    );
    let fenced = atomic_batch(&system.client, fence(&system, 2, seen)).await;
    let fence_last = fenced.unwrap().sequence();

    all_refused(&send(&system, late).await);
    assert_eq!(last(&system).await.get(), fence_last);
    assert_eq!(work_stored(&system).await, 210);
}

/// A write of the old leader was lost on its way: what follows it waits for whoever writes next.
async fn no_place_between_the_fence_records(size: Size) {
    let system = old_leader(size).await;
    let seen = last(&system).await;
    let ghosts = window(seen, FENCE_LEN).split_off(1);
    let mut ghosts = ghosts.into_iter();
    let records = fence(&system, 2, seen);
    let end = records.len();
    let other = system.client.clone();
    // One ghost before each record of the batch, on the wire in this order.
    let mut answers = Vec::new();
    for (index, record) in records.into_iter().enumerate() {
        if let Some(ghost) = ghosts.next() {
            let (system, ghost) = (other.clone(), ghost);
            answers.push(publish_raw(&system, ghost).await.unwrap());
        }
        let record = record
            .header("Nats-Batch-Id", &"between")
            .header("Nats-Batch-Sequence", &(index + 1));
        if index + 1 == end {
            let commit = record.header("Nats-Batch-Commit", &1);
            let fenced = publish_raw(&system.client, commit).await.unwrap();
            assert_eq!(fenced.sequence(), seen.get() + FENCE_LEN);
        } else {
            let staged =
                system
                    .client
                    .publish_with_headers(record.subject, record.headers, record.payload);
            staged.await.unwrap();
        }
    }
    all_refused(&answers);
    // All of them once more, now that the fence stands.
    let again = window(seen, FENCE_LEN).split_off(1);
    all_refused(&send(&system, again).await);
    assert_eq!(work_stored(&system).await, 10);
}

/// The whole window lands while the fence is on its way: the fence is refused whole, and the next
/// one sees them all.
async fn a_fence_that_ghosts_overtake_is_refused_whole(size: Size) {
    let system = old_leader(size).await;
    let seen = last(&system).await;
    let mut records = fence(&system, 2, seen);
    let commit = records.pop().unwrap();
    for (index, record) in records.into_iter().enumerate() {
        let record = record
            .header("Nats-Batch-Id", &"overtaken")
            .header("Nats-Batch-Sequence", &(index + 1));
        let staged =
            system
                .client
                .publish_with_headers(record.subject, record.headers, record.payload);
        staged.await.unwrap();
    }
    let answers = send(&system, window(seen, FENCE_LEN)).await;
    assert_eq!(answers.last().unwrap().sequence(), seen.get() + FENCE_LEN);
    let commit = commit
        .header("Nats-Batch-Id", &"overtaken")
        .header("Nats-Batch-Sequence", &FENCE_LEN)
        .header("Nats-Batch-Commit", &1);
    let refused = publish_raw(&system.client, commit).await.unwrap();
    assert_eq!(refused.code(), WRONG_LAST);
    let seen = last(&system).await;
    assert_eq!(work_stored(&system).await, 10 + FENCE_LEN);
    let fenced = atomic_batch(&system.client, fence(&system, 2, seen)).await;
    assert_eq!(fenced.unwrap().sequence(), seen.get() + FENCE_LEN);
}

/// Why the fence is as long as the window: one record takes the very sequence that the next ghost
/// of a broken window waits for, and all that follow land behind it.
async fn a_fence_of_one_record_lets_old_writes_in(size: Size) {
    let system = old_leader(size).await;
    let seen = last(&system).await;
    let ghosts = window(seen, FENCE_LEN).split_off(1);
    let record = fence(&system, 2, seen).swap_remove(0);
    let fenced = publish_raw(&system.client, record).await.unwrap();
    assert_eq!(fenced.sequence(), seen.get() + 1);

    let answers = send(&system, ghosts).await;

    assert_eq!(answers.last().unwrap().sequence(), seen.get() + FENCE_LEN);
    assert_eq!(work_stored(&system).await, 10 + FENCE_LEN - 1);
}

#[tokio::test]
async fn a_whole_window_is_refused_after_the_fence_on_one_server() {
    refused_after_the_fence(Size::One).await;
}

#[tokio::test]
async fn a_whole_window_is_refused_after_the_fence_on_three_servers() {
    refused_after_the_fence(Size::Three).await;
}

#[tokio::test]
async fn a_window_that_the_fence_cuts_in_two_ends_there_on_one_server() {
    cut_in_two_by_the_fence(Size::One).await;
}

#[tokio::test]
async fn a_window_that_the_fence_cuts_in_two_ends_there_on_three_servers() {
    cut_in_two_by_the_fence(Size::Three).await;
}

#[tokio::test]
async fn a_broken_window_finds_no_place_between_the_fence_records_on_one_server() {
    no_place_between_the_fence_records(Size::One).await;
}

#[tokio::test]
async fn a_broken_window_finds_no_place_between_the_fence_records_on_three_servers() {
    no_place_between_the_fence_records(Size::Three).await;
}

#[tokio::test]
async fn a_fence_that_a_window_overtakes_is_refused_whole_on_one_server() {
    a_fence_that_ghosts_overtake_is_refused_whole(Size::One).await;
}

#[tokio::test]
async fn a_fence_that_a_window_overtakes_is_refused_whole_on_three_servers() {
    a_fence_that_ghosts_overtake_is_refused_whole(Size::Three).await;
}

#[tokio::test]
async fn one_fence_record_would_let_a_broken_window_in_on_one_server() {
    a_fence_of_one_record_lets_old_writes_in(Size::One).await;
}

#[tokio::test]
async fn one_fence_record_would_let_a_broken_window_in_on_three_servers() {
    a_fence_of_one_record_lets_old_writes_in(Size::Three).await;
}
