//! A short run of chaos, so that the machinery and the promises are tried at each change. The long
//! ones are `./x chaos`.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod altered;

use tests::chaos::arguments::Arguments;
use tests::chaos::play::play;
use tests::chaos::report::report;

#[tokio::test]
async fn a_short_run_of_chaos_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = Arguments {
        seed: 5,
        jobs: 600,
        minutes: 0.5,
        faults: Some(15),
        steady: None,
        some_points: false,
        replicas: 1,
        folder: None,
    };
    // Boxed: it holds the whole system.
    let verdict = Box::pin(play(&arguments, folder.path())).await.unwrap();
    assert_eq!(verdict.exit_code(), 0, "{}", report(&verdict));
}
