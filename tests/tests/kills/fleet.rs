//! Two coordinators, two workers and a load for them. It kills nobody by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::system::load;
use tests::{Lease, Process, Size, System, proof, runs};

/// What most tests give a fleet to do.
pub(crate) const JOBS: usize = 400;

/// More than any of the waits below takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A system with two coordinators, `a` and `b`, and two workers.
pub(crate) struct Fleet {
    pub(crate) system: System,
    pub(crate) coordinators: BTreeMap<String, Process>,
    pub(crate) workers: BTreeMap<String, Process>,
}

impl Fleet {
    pub(crate) async fn start(size: Size, lease: Lease) -> Self {
        let (system, a) = System::with_leader(size, lease).await.unwrap();
        let mut fleet = Self {
            system,
            coordinators: BTreeMap::from([("a".to_owned(), a)]),
            workers: BTreeMap::new(),
        };
        fleet.add_coordinator("b").await;
        for name in ["w1", "w2"] {
            let worker = fleet.system.worker(name).await.unwrap();
            fleet.workers.insert(name.to_owned(), worker);
        }
        fleet
    }

    pub(crate) async fn add_coordinator(&mut self, name: &str) {
        let process = self.system.coordinator(name).await.unwrap();
        self.coordinators.insert(name.to_owned(), process);
    }

    /// The coordinator that led last, out of the fleet: what is done to it is the test's business.
    pub(crate) fn take_leader(&mut self) -> Process {
        let holder = self
            .system
            .tap
            .look(|book| book.leader().map(|led| led.holder.clone()));
        let holder = holder.unwrap();
        self.coordinators.remove(&holder).unwrap()
    }

    /// Submits [`JOBS`] jobs, half of them with one of 8 keys.
    pub(crate) async fn submit(&self) {
        let jobs = load("k", JOBS / 2, 8, 10).into_iter();
        let jobs = jobs.chain(load("n", JOBS / 2, 0, 10));
        self.system.submit_all(jobs).await.unwrap();
    }

    /// Waits until so many jobs have ended, in the middle of the load.
    pub(crate) async fn reach(&self, ended: usize) {
        let what = format!("the end of {ended} jobs");
        let reached = self.system.tap.until(&what, LIMIT, |book| {
            (book.ended() >= ended).then_some(book.jobs.len() - book.ended())
        });
        let left = reached.await.unwrap();
        assert!(left > 0, "the load was over before anything happened");
    }

    /// Nothing was lost, nothing done twice, no two of one key together: no worker died here.
    pub(crate) async fn finish(&self, jobs: usize) {
        self.finish_after_kills(jobs, &BTreeMap::new()).await;
        let runs = self.system.runs().unwrap();
        runs::check_each_attempt_once(&runs);
        assert_eq!(runs.len(), jobs);
    }

    /// The same after workers were killed: their runs ended then, and were repeated.
    pub(crate) async fn finish_after_kills(&self, jobs: usize, killed: &BTreeMap<u32, Duration>) {
        self.system.ended(jobs).await.unwrap();
        self.system.work_is_done().await.unwrap();
        self.system.tap.look(|book| {
            assert_eq!(book.jobs.len(), jobs);
            book.check_all_ended_as("completed");
        });
        runs::check_keys_apart(&self.system.runs().unwrap(), killed);
        proof::prove(&self.system).await.unwrap();
    }
}
