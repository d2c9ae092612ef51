//! A kind that nobody here handles waits, is shown, and takes nobody's place.

use coordinator::roll_call::{GATHER, roll_call};
use nats_config::Role;
use tests::system::job;
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Size, System, system};

#[tokio::test]
async fn a_kind_without_a_worker_waits_for_one_and_is_named_meanwhile() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    // More than there are places, and before all others.
    for n in 0..20 {
        let rare = job(&format!("rare-{n}"), "")
            .header("Jobs-Kind", &"rare")
            .header("Jobs-Priority", &0);
        system.submit(rare).await.unwrap();
    }
    let common = system::load("common", 20, 0, 0);
    system.submit_all(common).await.unwrap();
    system.ended(20).await.unwrap();
    eventually("the kind in the status", PATIENCE, async || {
        let all = roll_call(
            system.client_of(Role::Viewer),
            system.broker.subjects(),
            GATHER,
        )
        .await;
        let all = all.map_err(|error| error.to_string())?;
        let kinds = &all[0].queues[system::QUEUE].kinds_without_worker;
        match kinds.as_slice() {
            [kind] if kind.as_str() == "rare" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    let _rare = system.worker_with("w2", &["--kind", "rare"]).await.unwrap();
    system.ended(40).await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
    let runs = system.runs().unwrap();
    for run in runs.iter().filter(|run| run.id.starts_with("rare")) {
        assert!(run.worker.starts_with("w2"), "{run:?}");
    }
}
