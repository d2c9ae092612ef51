//! A store is put back to what it was before, while its server is down: a backup, a snapshot of the
//! disk. The coordinators must notice, whether the ledger is shorter then or has grown past its end.

use std::fs;
use std::path::{Path, PathBuf};

use nats_config::{Broker, Names};
use tests::process::Process;
use tests::raw::publish_raw;
use tests::system::job;
use tests::wait::eventually;
use tests::{Size, System};

use crate::scene::{LIMIT, folded, scene};

/// What every case says.
const WENT_BACK: &str = "the ledger is not the one that was folded";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// The store of the one server, and where its copy is kept.
struct Store {
    store: PathBuf,
    kept: PathBuf,
}

impl Store {
    /// Copies it while the server is down, and starts the server again.
    async fn keep(system: &mut System) -> Self {
        let server = system.server();
        let all = Self {
            store: server.folder().join("jetstream"),
            kept: server.folder().join("kept"),
        };
        server.stop().await.unwrap();
        copy(&all.store, &all.kept);
        server.start_again().await.unwrap();
        all
    }

    /// Puts it back while the server is down.
    fn put_back(&self) {
        fs::remove_dir_all(&self.store).unwrap();
        copy(&self.kept, &self.store);
    }
}

/// Folds `lost` records, then the store goes back behind them.
async fn went_back(system: &mut System, lost: usize) {
    let store = Store::keep(system).await;
    let mut last = 0;
    for n in 0..lost {
        last = system.submit(job(&format!("lost-{n}"), "")).await.unwrap();
    }
    folded(system, last).await;
    system.server().kill().await.unwrap();
    store.put_back();
}

async fn stops(process: &mut Process) {
    let status = process.wait_exit(LIMIT).await.unwrap();
    assert!(!status.success(), "{status}");
    let log = process.tail();
    assert!(log.contains(WENT_BACK), "{log}");
}

/// Nobody writes: the ledger stays shorter than what was folded. No election moves either.
#[tokio::test]
async fn a_ledger_that_is_shorter_stops_the_leader_and_its_follower() {
    let (mut system, mut a) = scene(Size::One).await;
    let mut b = system.coordinator("b").await.unwrap();
    // More than two epochs can make up for.
    went_back(&mut system, 40).await;
    system.server().start_again().await.unwrap();
    stops(&mut a).await;
    stops(&mut b).await;

    // Started again, all at once, they take the ledger as it is: what it holds is done, once.
    let _c = system.coordinator("c").await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let client = system.server().connect().await.unwrap();
    publish_raw(&client, job("later", "")).await.unwrap();
    // Read there: what the test followed is of the ledger that is no more.
    let broker = Broker::new(client, Names::default());
    let outcome = eventually("the outcome", LIMIT, async || {
        let found = broker.last("JOBS", "jobs.outcome.work.*.1.later").await;
        let found = found.map_err(|error| error.to_string())?;
        found.ok_or_else(|| "none yet".to_owned())
    });
    let body = outcome.await.unwrap().payload;
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(body.contains("completed"), "{body}");
}

/// Others were quicker: when the coordinators look again the ledger is longer than before.
#[tokio::test]
async fn a_ledger_that_has_grown_past_its_old_end_stops_the_leader_and_its_follower() {
    let (mut system, mut a) = scene(Size::One).await;
    let mut b = system.coordinator("b").await.unwrap();
    went_back(&mut system, 3).await;
    a.pause().unwrap();
    b.pause().unwrap();
    system.server().start_again().await.unwrap();
    let client = system.server().connect().await.unwrap();
    for n in 0..8 {
        publish_raw(&client, job(&format!("other-{n}"), ""))
            .await
            .unwrap();
    }
    a.resume().unwrap();
    b.resume().unwrap();
    stops(&mut a).await;
    stops(&mut b).await;
}

/// A follower that nobody asks to lead must not go on with a mix of two ledgers either.
#[tokio::test]
async fn a_follower_that_stood_still_meanwhile_stops() {
    let (mut system, mut a) = scene(Size::One).await;
    let mut b = system.coordinator("b").await.unwrap();
    went_back(&mut system, 3).await;
    b.pause().unwrap();
    a.kill().await.unwrap();
    system.server().start_again().await.unwrap();
    let client = system.server().connect().await.unwrap();
    for n in 0..8 {
        publish_raw(&client, job(&format!("other-{n}"), ""))
            .await
            .unwrap();
    }
    // Another one leads by then, which knows nothing of what was lost.
    let _c = system.coordinator("c").await.unwrap();
    b.resume().unwrap();
    stops(&mut b).await;
}
