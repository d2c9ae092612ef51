//! Wall clocks of our processes jump by an hour, in both directions: no lease, no epoch and no due time
//! hangs on them. The broker's clock is real; due times are read by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nats_config::Role;
use protocol::time::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tests::demo::clock;
use tests::program::workspace_binary;
use tests::system::{QUEUE, job};
use tests::wait::{PATIENCE, until};
use tests::{Lease, Process, Size, System, proof, roles, runs};
use tokio::process::Command;
use worker_sdk::Client;

use crate::scene::{alarm, alarms, config, reach, submit};

/// Where packages put the library that stands between a process and the clock.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];
const HOUR: Duration = Duration::from_secs(3_600);
/// No record for so long: more than a clock may be off without an alarm.
const QUIET: Duration = Duration::from_secs(3);
/// Jobs of a load.
const JOBS: usize = 80;
/// Written by a coordinator that has caught up.
const STANDS: &str = "standing for leadership";

/// The wall clock of a process, which can be set while it runs. The clocks that never step stay.
struct WallClock {
    library: &'static str,
    folder: TempDir,
}

impl WallClock {
    /// A right one; none where the library is not installed.
    fn new() -> Option<Self> {
        let mut libraries = LIBRARIES.into_iter();
        let Some(library) = libraries.find(|library| Path::new(library).is_file()) else {
            println!("SKIPPED: libfaketime is not installed (Debian's package `libfaketime`)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let clock = Self { library, folder };
        clock.set("+0");
        Some(clock)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// It is off by so much from now on. Renamed into its place, so that nobody reads half of it.
    fn set(&self, offset: &str) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, offset).unwrap();
        fs::rename(&draft, self.file()).unwrap();
    }

    fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.library);
        command.env("FAKETIME_TIMESTAMP_FILE", self.file());
        command.env("FAKETIME_NO_CACHE", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

async fn coordinator(system: &System, name: &str, clock: &WallClock) -> Process {
    let mut command = system.coordinator_command(name, &system.url()).unwrap();
    clock.give(&mut command);
    let mut process = Process::start(&format!("coordinator {name}"), command).unwrap();
    process.wait_for_line(STANDS, PATIENCE).await.unwrap();
    process
}

async fn worker(system: &System, name: &str, clock: &WallClock) -> Process {
    let mut command = Command::new(workspace_binary("test-worker").unwrap());
    let log = system.logs().join(format!("{name}.jsonl"));
    command.args(["--server", &system.url(), "--name", name, "--log"]);
    command.arg(log).args(["--queue", QUEUE]);
    command.args(roles::arguments(Some(Role::Worker)));
    clock.give(&mut command);
    let mut process = Process::start(&format!("worker {name}"), command).unwrap();
    process.wait_for_line("ready", PATIENCE).await.unwrap();
    process
}

/// Submits a job that is due `after` from now.
async fn submit_due(system: &System, id: &str, after: Duration) {
    let after = u64::try_from(after.as_millis()).unwrap();
    let due = Timestamp::from_millis(clock::now().unix_ms + after);
    let due = job(id, "").header("Jobs-Run-At", &due);
    system.submit(due).await.unwrap();
}

/// By how many hours the wall clock of a worker was off, by its log.
fn hours_off(system: &System, name: &str) -> BTreeSet<i64> {
    let text = fs::read_to_string(system.logs().join(format!("{name}.jsonl"))).unwrap();
    let now = clock::now();
    let booted = i128::from(now.unix_ms) * 1_000_000 - i128::from(now.boot_ns);
    let off = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let at = |name: &str| i128::from(line[name].as_u64().unwrap());
        let off = at("unix") - at("t") - booted;
        let hour = i128::try_from(HOUR.as_nanos()).unwrap();
        i64::try_from((off + hour / 2).div_euclid(hour)).unwrap()
    };
    text.lines().map(off).collect()
}

/// So many jobs have ended, of the leader of this epoch, and the one that is due much later has not.
async fn goes_on(system: &System, ended: usize, epoch: u64) {
    reach(system, ended).await;
    assert_eq!(system.epoch(), epoch);
    let later = system.tap.look(|book| {
        let later = book.jobs.values().find(|job| job.id == "later");
        later.and_then(|job| job.end().map(str::to_owned))
    });
    assert_eq!(later, None);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_moves_no_lease_and_no_due_time() {
    let (Some(of_leader), Some(of_worker)) = (WallClock::new(), WallClock::new()) else {
        return;
    };
    let system = System::start(Size::One, Lease::Quick).await.unwrap();
    let mut leader = coordinator(&system, "a", &of_leader).await;
    system.queue(QUEUE, &config()).await.unwrap();
    let mut epoch = system.leader_after(0).await.unwrap().epoch;
    let _w1 = worker(&system, "w1", &of_worker).await;
    let _w2 = system.worker("w2").await.unwrap();
    submit_due(&system, "later", HOUR / 2).await;
    let mut jobs = 0;
    for (round, offset) in ["+1h", "-1h", "+0"].into_iter().enumerate() {
        submit(&system, &format!("jump{round}"), JOBS).await;
        of_leader.set(offset);
        of_worker.set(offset);
        submit_due(&system, &format!("soon{round}"), Duration::from_secs(1)).await;
        jobs += JOBS + 1;
        goes_on(&system, jobs, epoch).await;
    }
    assert_eq!(hours_off(&system, "w1"), BTreeSet::from([-1, 0, 1]));
    assert_eq!(hours_off(&system, "w2"), BTreeSet::from([0]));

    // One that was wrong before it led is told by the broker, and leads all the same.
    for (name, offset) in [("b", "+1h"), ("c", "-1h")] {
        let wrong = WallClock::new().unwrap();
        wrong.set(offset);
        let next = coordinator(&system, name, &wrong).await;
        leader.kill().await.unwrap();
        epoch = system.leader_after(epoch).await.unwrap().epoch;
        alarm(&system, "this host's clock was").await;
        submit(&system, name, JOBS).await;
        submit_due(&system, &format!("soon-{name}"), Duration::from_secs(1)).await;
        jobs += JOBS + 1;
        goes_on(&system, jobs, epoch).await;
        leader = next;
    }
    let client = Client::with_broker(system.broker_of(Role::TrustedSubmitter));
    client.cancel(QUEUE, "later").await.unwrap();
    reach(&system, jobs + 1).await;
    system.work_is_done().await.unwrap();
    system.tap.look(|book| {
        for job in book.jobs.values().filter(|job| job.id != "later") {
            assert_eq!(job.end(), Some("completed"), "{}", job.id);
        }
    });
    runs::check_keys_apart(&system.runs().unwrap(), &BTreeMap::new());
    proof::prove(&system).await.unwrap();
}

/// The last record of a quiet ledger is the leader's barrier, by which it had set its clock. After a
/// broker's death it is read again, and says nothing of now.
#[tokio::test]
async fn a_leader_that_reads_its_barrier_again_keeps_its_clock() {
    let (mut system, a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    drop(a);
    let _b = system.coordinator("b").await.unwrap();
    system.leader_after(1).await.unwrap();
    until(Instant::now() + QUIET).await;
    system.server().kill().await.unwrap();
    system.server().start_again().await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    system.submit(job("after", "")).await.unwrap();
    system.ended(1).await.unwrap();
    let alarms = alarms(&system).await.unwrap();
    assert!(
        !alarms.iter().any(|alarm| alarm.contains("clock")),
        "{alarms:?}"
    );
}
