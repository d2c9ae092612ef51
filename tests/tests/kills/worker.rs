//! A worker dies, stands still or leaves inside a handler: its job is done by another, once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nats_config::Role;
use protocol::config::QueueConfig;
use tests::hand::HandWorker;
use tests::raw::Message;
use tests::runs::{self, Run};
use tests::system::{QUEUE, job, load, quick_retries};
use tests::wait::{PATIENCE, eventually, until};
use tests::{Lease, Process, Size, System};

use crate::fleet::{Fleet, JOBS};

/// The default work lease is 30 s: who is quicker was handed on.
const BEFORE_THE_LEASE_ENDS: Duration = Duration::from_secs(15);

/// A job that never ends by itself where it is first handed out, and completes elsewhere.
fn hangs_first(id: &str) -> Message {
    job(id, r#"{"do":"hang-first"}"#)
}

/// Waits until so many handlers were called.
async fn started(system: &System, count: usize) -> Vec<Run> {
    let what = format!("the start of {count} runs");
    let runs = eventually(&what, PATIENCE, async || {
        let runs = system.runs().map_err(|error| error.to_string())?;
        match runs.len() {
            len if len >= count => Ok(runs),
            len => Err(format!("{len} runs")),
        }
    });
    runs.await.unwrap()
}

/// A leader, and a worker inside the handler of a job; another worker comes after it.
async fn inside_a_handler(size: Size, hanging: Message) -> (System, Process, Process, Process) {
    let (system, a) = System::with_leader(size, Lease::Quick).await.unwrap();
    let first = system.worker_with("w1", &["--patience", "200"]).await;
    let first = first.unwrap();
    system.submit(hanging).await.unwrap();
    started(&system, 1).await;
    let second = system.worker("w2").await.unwrap();
    (system, a, first, second)
}

/// Returns how long after the kill the job was run elsewhere.
async fn rescued(size: Size, hanging: Message) -> Duration {
    let (system, _a, mut first, _second) = inside_a_handler(size, hanging).await;
    let at = runs::now();
    first.kill().await.unwrap();
    system.ended(1).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| {
        book.check_all_ended_as("completed");
        let job = book.jobs.values().next().unwrap();
        assert_eq!(job.outcomes.len(), 1, "no attempt was used up: {job:?}");
    });
    let runs = system.runs().unwrap();
    assert_eq!(runs.len(), 2, "{runs:#?}");
    assert_ne!(runs[0].worker, runs[1].worker);
    assert_eq!((runs[1].attempt, runs[1].delivery), (1, 2));
    runs[1].start - at
}

async fn rescued_without_a_key(size: Size) {
    let took = rescued(size, hangs_first("x")).await;
    assert!(took < BEFORE_THE_LEASE_ENDS, "it took {took:?}");
}

async fn rescued_with_a_key(size: Size) {
    let hanging = hangs_first("x").header("Jobs-Key", &"one");
    let took = rescued(size, hanging).await;
    assert!(took < BEFORE_THE_LEASE_ENDS, "it took {took:?}");
    // A worker that lost the broker is given the time to stop its handlers.
    assert!(took > Duration::from_millis(2_400), "it took only {took:?}");
}

#[tokio::test]
async fn the_job_of_a_killed_worker_runs_elsewhere_at_once_on_one_server() {
    rescued_without_a_key(Size::One).await;
}

#[tokio::test]
async fn the_job_of_a_killed_worker_runs_elsewhere_at_once_on_three_servers() {
    rescued_without_a_key(Size::Three).await;
}

#[tokio::test]
async fn the_keyed_job_of_a_killed_worker_runs_elsewhere_a_little_later_on_one_server() {
    rescued_with_a_key(Size::One).await;
}

#[tokio::test]
async fn the_keyed_job_of_a_killed_worker_runs_elsewhere_a_little_later_on_three_servers() {
    rescued_with_a_key(Size::Three).await;
}

/// Its worker spoke of it again and again, so that the leader knows that its lease lasts.
#[tokio::test]
async fn a_keyed_job_that_ran_for_longer_than_half_its_lease_is_handed_on_too() {
    let lease = Duration::from_secs(24);
    let config = QueueConfig {
        work_lease_ms: u64::try_from(lease.as_millis()).unwrap(),
        ..quick_retries()
    };
    let led = System::with_queue(Size::One, Lease::Quick, &config).await;
    let (system, mut leader) = led.unwrap();
    let mut first = system.worker("w1").await.unwrap();
    let hanging = hangs_first("x").header("Jobs-Key", &"one");
    system.submit(hanging).await.unwrap();
    started(&system, 1).await;
    let _second = system.worker("w2").await.unwrap();
    until(Instant::now() + lease / 2).await;
    let since = leader.mark();
    first.kill().await.unwrap();
    // What comes again by its lease alone is not spoken of.
    let handed_on = leader.wait_for_line_after(since, "handing its job on", PATIENCE);
    handed_on.await.unwrap();
    system.ended(1).await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
}

async fn killed_under_load(size: Size) {
    let mut fleet = Fleet::start(size, Lease::Quick).await;
    fleet.submit().await;
    fleet.reach(JOBS / 5).await;
    let mut worker = fleet.workers.remove("w1").unwrap();
    worker.kill().await.unwrap();
    let pid = u32::try_from(worker.pid().as_raw_nonzero().get()).unwrap();
    let killed = BTreeMap::from([(pid, runs::now())]);
    fleet.finish_after_kills(JOBS, &killed).await;

    let runs = fleet.system.runs().unwrap();
    let open: Vec<&Run> = runs.iter().filter(|run| run.end.is_none()).collect();
    assert!(open.iter().all(|run| run.pid == pid), "{open:#?}");
    // A killed handler ran again, and a finished one whose outcome had not left may have. What was
    // delivered to the killed worker and had not started ran once, at its second delivery.
    let beyond = runs.len() - JOBS;
    let redelivered = runs.iter().filter(|run| run.delivery > 1).count();
    assert!(beyond >= open.len(), "{beyond} for {}", open.len());
    assert!(beyond <= redelivered, "{beyond} of {redelivered}");
}

#[tokio::test]
async fn a_worker_killed_under_load_loses_nothing_on_one_server() {
    killed_under_load(Size::One).await;
}

#[tokio::test]
async fn a_worker_killed_under_load_loses_nothing_on_three_servers() {
    killed_under_load(Size::Three).await;
}

/// It stops what it runs under a key, since it may have been taken for dead; nobody else would know,
/// and the job would wait for its lease.
#[tokio::test]
async fn a_worker_that_stood_still_for_a_moment_lets_its_keyed_job_go_at_once() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    // It has no slot left, so the broker hands it nothing while it stands still.
    let first = system.worker_with("w1", &["--slots", "1"]).await;
    let mut first = first.unwrap();
    let hanging = hangs_first("x").header("Jobs-Key", &"one");
    system.submit(hanging).await.unwrap();
    started(&system, 1).await;
    let _second = system.worker("w2").await.unwrap();
    first.pause().unwrap();
    // As long as the other one works, longer than a worker trusts a silent broker.
    let other = job("y", r#"{"do":"work","ms":1500}"#);
    system.submit(other).await.unwrap();
    system.ended(1).await.unwrap();
    first.resume().unwrap();
    let at = runs::now();
    system.ended(2).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
    let runs = system.runs().unwrap();
    runs::check_keys_apart(&runs, &BTreeMap::new());
    let of_x: Vec<&Run> = runs.iter().filter(|run| run.id == "x").collect();
    assert_eq!(of_x.len(), 2, "{of_x:#?}");
    assert_eq!((of_x[1].attempt, of_x[1].delivery), (1, 2));
    let took = of_x[1].start - at;
    assert!(took < BEFORE_THE_LEASE_ENDS, "it took {took:?}");
}

/// A queue whose jobs are handed on by the lease alone, which is as short as can be.
fn short_lease() -> QueueConfig {
    QueueConfig {
        work_lease_ms: 1_000,
        rescue_ms: None,
        rescue_keyed_ms: None,
        ..quick_retries()
    }
}

async fn stands_still_past_its_lease(size: Size) {
    let (system, _a) = System::with_queue(size, Lease::Quick, &short_lease())
        .await
        .unwrap();
    let mut first = system.worker("w1").await.unwrap();
    let slow = job("x", r#"{"do":"work","ms":400}"#).header("Jobs-Key", &"one");
    system.submit(slow).await.unwrap();
    started(&system, 1).await;
    first.pause().unwrap();
    let _second = system.worker("w2").await.unwrap();
    system.ended(1).await.unwrap();
    let before = system.tap.look(|book| book.last);

    first.resume().unwrap();
    // It goes on with new work, and whatever it had to say about the old one is said by then.
    system.submit_all(load("y", 40, 0, 20)).await.unwrap();
    system.ended(41).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| {
        book.check_all_ended_as("completed");
        let job = book.job(QUEUE, "x").unwrap();
        assert_eq!(job.outcomes.len(), 1, "{job:?}");
        assert!(job.outcomes[0].sequence <= before);
    });
    let runs = system.runs().unwrap();
    let of_x: Vec<&Run> = runs.iter().filter(|run| run.id == "x").collect();
    assert_eq!(of_x.len(), 2, "{of_x:#?}");
    assert!(of_x[0].worker.starts_with("w1"), "{of_x:#?}");
    assert!(of_x[1].worker.starts_with("w2"), "{of_x:#?}");
    let resumed = runs
        .iter()
        .any(|run| run.worker.starts_with("w1") && run.id != "x");
    assert!(resumed, "the worker that stood still takes part again");
}

#[tokio::test]
async fn a_worker_that_stood_still_past_its_lease_records_nothing_on_one_server() {
    stands_still_past_its_lease(Size::One).await;
}

#[tokio::test]
async fn a_worker_that_stood_still_past_its_lease_records_nothing_on_three_servers() {
    stands_still_past_its_lease(Size::Three).await;
}

/// A worker that knows nothing of leases: its late outcome is refused by the server.
#[tokio::test]
async fn the_late_outcome_of_a_straggler_is_refused() {
    let (system, _a) = System::with_queue(Size::One, Lease::Quick, &short_lease())
        .await
        .unwrap();
    let client = system.client_of(Role::Worker);
    let straggler = HandWorker::here(client, "straggler", QUEUE, 1)
        .await
        .unwrap();
    let other = HandWorker::here(client, "other", QUEUE, 1).await.unwrap();
    system.submit(job("x", "")).await.unwrap();
    let late = straggler.pull(1).await.unwrap().remove(0);
    assert_eq!(late.count(), 1);

    let again = other.pull(1).await.unwrap().remove(0);
    assert_eq!((again.count(), &again.subject), (2, &late.subject));
    let body = r#"{"v":1,"status":"completed","result":"other"}"#;
    let recorded = other.record(&again, body).await.unwrap();
    assert_ne!(recorded.sequence(), 0);
    let refused = straggler.record(&late, "").await.unwrap();
    assert_eq!(refused.code(), 10_077);
    other.ack(&again).await.unwrap();

    system.ended(1).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| {
        book.check_all_ended_as("completed");
        let job = book.job(QUEUE, "x").unwrap();
        assert_eq!(job.outcomes[0].body["result"], "other");
    });
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_gives_its_job_back_and_uses_up_no_attempt() {
    let hanging = hangs_first("x").header("Jobs-Max-Attempts", &1);
    let (system, _a, mut first, _second) = inside_a_handler(Size::One, hanging).await;
    let status = first.terminate(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
    system.ended(1).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
    let runs = system.runs().unwrap();
    let deliveries: Vec<(u64, u64)> = runs.iter().map(|r| (r.attempt, r.delivery)).collect();
    assert_eq!(deliveries, [(1, 1), (1, 2)]);
    assert!(runs[0].end.is_some(), "its handler was let end");
}

/// Each time a supervisor starts the worker again, and each time the same job kills it.
#[tokio::test]
async fn a_job_that_kills_its_process_each_time_is_given_up_after_five() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let deadly = job("x", r#"{"do":"exit"}"#).header("Jobs-Max-Attempts", &1);
    system.submit(deadly).await.unwrap();
    let mut deaths = 0;
    // The last one lives on: its ack follows its outcome.
    let _last = loop {
        let mut worker = system.worker(&format!("w{deaths}")).await.unwrap();
        tokio::select! {
            ended = system.ended(1) => {
                ended.unwrap();
                break worker;
            }
            status = worker.wait_exit(PATIENCE) => assert!(!status.unwrap().success()),
        }
        deaths += 1;
        assert!(deaths <= 5, "it was handed out a sixth time");
    };
    assert_eq!(deaths, 5);
    system.work_is_done().await.unwrap();
    system.tap.look(|book| {
        book.check_all_ended_as("discarded");
        let job = book.job(QUEUE, "x").unwrap();
        assert_eq!(job.code(), Some("handed-out-too-often"));
    });
    assert_eq!(system.runs().unwrap().len(), 5);
}
