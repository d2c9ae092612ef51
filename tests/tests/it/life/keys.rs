//! Per key one at a time, in the order of acceptance.

use std::collections::BTreeMap;

use tests::system::load;
use tests::{Lease, Size, System, runs};

#[tokio::test]
async fn jobs_of_one_key_run_one_after_the_other_while_other_keys_run_beside_them() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let mut workers = Vec::new();
    for name in ["w1", "w2"] {
        let worker = system.worker_with(name, &["--slots", "16"]).await.unwrap();
        workers.push(worker);
    }
    system.submit_all(load("x", 300, 3, 2)).await.unwrap();
    system.ended(300).await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
    let runs = system.runs().unwrap();
    runs::check_each_attempt_once(&runs);
    runs::check_keys_apart(&runs, &BTreeMap::new());
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for run in &runs {
        let before = last.insert(run.key.as_deref().unwrap(), run.accepted);
        assert!(before < Some(run.accepted), "{run:?} after {before:?}");
    }
    let apart = runs
        .windows(2)
        .filter(|two| two[0].end > Some(two[1].start));
    assert!(apart.count() > 0, "no two keys ever ran beside each other");
}
