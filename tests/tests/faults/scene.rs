//! A system with short work leases and a load for it, and what its coordinators and records say.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use coordinator::roll_call::{GATHER, roll_call};
use nats_config::Role;
use protocol::config::QueueConfig;
use tests::system::{Servers, load, quick_retries};
use tests::wait::eventually;
use tests::{Lease, Process, Server, Size, System, proof, runs};

/// More than any wait here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// How long a worker may be silent.
pub(crate) const WORK_LEASE: Duration = Duration::from_secs(4);

/// A queue with short work leases.
pub(crate) fn config() -> QueueConfig {
    QueueConfig {
        work_lease_ms: u64::try_from(WORK_LEASE.as_millis()).unwrap(),
        ..quick_retries()
    }
}

/// A system with a coordinator `a` and short work leases.
pub(crate) async fn scene(size: Size) -> (System, Process) {
    System::with_queue(size, Lease::Quick, &config())
        .await
        .unwrap()
}

/// The same on a server that runs already.
pub(crate) async fn scene_on(server: Server) -> (System, Process) {
    let servers = Servers::One(Box::new(server));
    let system = System::on(servers, Lease::Quick).await.unwrap();
    let a = system.led(&config()).await.unwrap();
    (system, a)
}

/// A context that may do everything.
pub(crate) fn jetstream(system: &System) -> jetstream::Context {
    jetstream::new(system.client.clone())
}

/// Submits jobs that take 100 ms each, half of them with one of 8 keys.
pub(crate) async fn submit(system: &System, prefix: &str, jobs: usize) {
    let all = load(&format!("{prefix}k"), jobs / 2, 8, 100).into_iter();
    let all = all.chain(load(&format!("{prefix}n"), jobs / 2, 0, 100));
    system.submit_all(all).await.unwrap();
}

/// Waits until so many jobs have ended.
pub(crate) async fn reach(system: &System, ended: usize) {
    let what = format!("the end of {ended} jobs");
    let reached = system
        .tap
        .until(&what, LIMIT, |book| (book.ended() >= ended).then_some(()));
    reached.await.unwrap();
}

/// Nothing was lost, nothing recorded twice, no two of one key ran together.
pub(crate) async fn finish(system: &System, jobs: usize) {
    reach(system, jobs).await;
    system.work_is_done().await.unwrap();
    system.tap.look(|book| {
        assert_eq!(book.jobs.len(), jobs);
        book.check_all_ended_as("completed");
    });
    runs::check_keys_apart(&system.runs().unwrap(), &BTreeMap::new());
    proof::prove(system).await.unwrap();
}

/// All alarms of all coordinators.
pub(crate) async fn alarms(system: &System) -> Result<Vec<String>, String> {
    let viewer = system.client_of(Role::Viewer);
    let all = roll_call(viewer, system.broker.subjects(), GATHER).await;
    let all = all.map_err(|error| error.to_string())?;
    Ok(all.into_iter().flat_map(|status| status.alarms).collect())
}

/// Waits until the status shows an alarm with these words.
pub(crate) async fn alarm(system: &System, words: &str) {
    let what = format!("an alarm with `{words}`");
    eventually(&what, LIMIT, async || {
        let alarms = alarms(system).await?;
        let found = alarms.iter().any(|alarm| alarm.contains(words));
        found.then_some(()).ok_or(format!("{alarms:?}"))
    })
    .await
    .unwrap();
}

/// Waits until the status shows no alarm with these words.
pub(crate) async fn no_alarm(system: &System, words: &str) {
    let what = format!("the end of the alarm with `{words}`");
    eventually(&what, LIMIT, async || {
        let alarms = alarms(system).await?;
        let gone = !alarms.iter().any(|alarm| alarm.contains(words));
        gone.then_some(()).ok_or(format!("{alarms:?}"))
    })
    .await
    .unwrap();
}

/// Waits until every coordinator has folded up to this record.
pub(crate) async fn folded(system: &System, sequence: u64) {
    let what = format!("record {sequence} to be folded");
    eventually(&what, LIMIT, async || {
        let viewer = system.client_of(Role::Viewer);
        let all = roll_call(viewer, system.broker.subjects(), GATHER).await;
        let all = all.map_err(|error| error.to_string())?;
        let is_folded = all.iter().all(|status| status.folded.get() >= sequence);
        (is_folded && !all.is_empty())
            .then_some(())
            .ok_or(format!("{all:?}"))
    })
    .await
    .unwrap();
}
