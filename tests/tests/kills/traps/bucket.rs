//! A bucket that was made again knows no epoch: the work queue and the ledger do.

use async_nats::jetstream;
use tests::system::{QUEUE, job};
use tests::{Lease, Size, System};

const BUCKET: &str = "KV_jobs_leader";

async fn works_on(system: &System, id: &str) {
    system.submit(job(id, "")).await.unwrap();
    let ended = system.end_of(id).await.unwrap();
    assert_eq!(ended.end(), Some("completed"));
    system.tap.look(|book| {
        // An epoch that is not above all before is among these.
        assert!(book.wrong.is_empty(), "{:#?}", book.wrong);
        assert_eq!(book.job(QUEUE, id).unwrap().outcomes.len(), 1);
    });
}

#[tokio::test]
async fn epochs_go_on_when_the_bucket_is_gone_and_so_are_all_who_knew_them() {
    let (system, mut a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    works_on(&system, "before").await;
    let old = system.epoch();
    a.kill().await.unwrap();
    let context = jetstream::new(system.client.clone());
    context.delete_stream(BUCKET).await.unwrap();

    let _b = system.coordinator("b").await.unwrap();
    let led = system.leader_after(old).await.unwrap();
    assert_eq!(led.holder, "b");
    works_on(&system, "after").await;
}

#[tokio::test]
async fn a_leader_whose_bucket_was_made_anew_leads_again_with_a_higher_epoch() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    works_on(&system, "before").await;
    let old = system.epoch();
    let context = jetstream::new(system.client.clone());
    let bucket = context.get_stream(BUCKET).await.unwrap();
    let config = bucket.cached_info().config.clone();
    context.delete_stream(BUCKET).await.unwrap();
    context.create_stream(config).await.unwrap();

    system.leader_after(old).await.unwrap();
    works_on(&system, "after").await;
}
