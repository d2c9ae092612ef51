//! The leader dies, stands still or leaves while jobs run: nothing is lost, nothing is done twice.

use std::collections::BTreeMap;

use tests::system::load;
use tests::{Lease, Size, System, runs};

#[tokio::test]
async fn a_load_runs_without_any_fault() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _w = system.worker("w1").await.unwrap();
    system.submit_all(load("x", 100, 4, 5)).await.unwrap();
    system.ended(100).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
    let runs = system.runs().unwrap();
    runs::check_each_attempt_once(&runs);
    runs::check_keys_apart(&runs, &BTreeMap::new());
}
