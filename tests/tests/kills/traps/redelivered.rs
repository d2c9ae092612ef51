//! A server that was killed may have forgotten that it handed a job out: it hands it out for the first
//! time once more, with count 1, though the job has its outcome.

use std::fs;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use nats_config::Role;
use protocol::message::WorkerSays;
use tests::hand::HandWorker;
use tests::proxy::Proxy;
use tests::system::{QUEUE, job};
use tests::wait::{PATIENCE, within};
use tests::{Lease, Size, System};

use super::worker_at;

/// The file in which a server keeps who holds what, written some time after each delivery.
fn holders_file(folder: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(folder).unwrap();
    entries.find_map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holders_file(&path),
            false => path
                .ends_with(format!("WORK/obs/{QUEUE}/o.dat"))
                .then_some(path),
        }
    })
}

/// Its connection is older than the message and the count is 1: that it came back is all it knows.
#[tokio::test]
async fn a_recorded_job_that_is_handed_out_again_with_count_one_is_not_run() {
    let (mut system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let proxy = Proxy::start(system.server().port()).await.unwrap();
    let _worker = worker_at(&system, "w1", &proxy.url()).await;
    proxy.admit(0);
    proxy.cut();
    let hand = HandWorker::here(&system.client, "hand", QUEUE, 1);
    let hand = hand.await.unwrap();
    system.submit(job("x", "")).await.unwrap();
    let delivery = hand.pull(1).await.unwrap().remove(0);
    hand.record(&delivery, "").await.unwrap();
    system.ended(1).await.unwrap();
    hand.vanish().await;

    let server = system.server();
    server.kill().await.unwrap();
    // As if it had been killed before it wrote the delivery down.
    if let Some(file) = holders_file(server.folder()) {
        fs::remove_file(file).unwrap();
    }
    server.start_again().await.unwrap();
    let viewer = tests::roles::connect_options(Some(Role::Coordinator));
    let client = system.server().connect_with(viewer).await.unwrap();
    let mut said = client.subscribe("jobs.worker.says.>").await.unwrap();
    client.flush().await.unwrap();
    proxy.admit(u64::MAX);
    let took = async {
        loop {
            let message = said.next().await.unwrap();
            let says = serde_json::from_slice(&message.payload).unwrap();
            if let WorkerSays::Took { took, .. } = says {
                return took;
            }
        }
    };
    let took = within("the redelivery", PATIENCE, took).await.unwrap();
    assert_eq!((took[0].delivery, took[0].attempt.get()), (1, 1));
    system.work_is_done().await.unwrap();
    assert_eq!(system.runs().unwrap(), [], "it has its outcome");
    let x = system.end_of("x").await.unwrap();
    assert_eq!(x.outcomes.len(), 1);
}
