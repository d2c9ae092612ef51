//! How jobs run: outcomes, acks, slots, kinds, and handlers that go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::outcome::{Outcome, Status};
use serde_json::{Value, json};
use worker_sdk::{JobContext, JobError, JobLog, Worker, WorkerOptions};

use crate::support::leader::Work;
use crate::support::server::PATIENCE;
use crate::support::workers::{Part, double, in_time, stage, system, worker};

#[tokio::test]
async fn a_job_is_recorded_and_then_acked() {
    let (server, mut leader) = system(&["q"]).await;
    let running = worker(&server, "w")
        .handle("q", double)
        .start()
        .await
        .expect("a worker");
    let work = Work {
        headers: &[("Jobs-Kind", "double")],
        payload: "21",
        ..Work::default()
    };
    let sequence = leader.dispatch("q", "INV 1", work).await;
    let (subject, outcome) = leader.outcome_sent().await;
    assert_eq!(subject, "jobs.outcome.q.1.1.INV%201");
    assert_eq!(outcome, Outcome::completed(json!(42)));
    let ack = leader.ack().await;
    assert_eq!((ack.sequence, ack.said.as_str()), (sequence, "+ACK"));
    running.stop(PATIENCE).await;
    leader.work_left(0).await;
}

async fn wrong(payload: Bytes, job: JobContext) -> Result<Value, JobError> {
    match &payload[..] {
        b"retry" => Err(std::io::Error::other("the disk is on holiday").into()),
        b"permanent" => Err(JobError::permanent("BR-CO-15", "the sums differ")),
        b"cancelled" => Err(JobError::cancelled("no longer wanted")),
        b"panic" => panic!("oh no: {}", job.id()),
        b"large" => Ok(Value::from("x".repeat(2_000_000))),
        b"slow" => std::future::pending().await,
        _ => Ok(Value::Null),
    }
}

#[tokio::test]
async fn a_handler_that_goes_wrong_is_recorded_with_its_reason() {
    let (server, mut leader) = system(&["q"]).await;
    let running = worker(&server, "w")
        .handle_bytes("wrong", "q", wrong)
        .handle("q", double)
        .start()
        .await
        .expect("a worker");
    let expected = [
        ("wrong", "retry", Status::Failed, "error", "holiday"),
        ("wrong", "permanent", Status::Failed, "BR-CO-15", "sums"),
        (
            "wrong",
            "cancelled",
            Status::Cancelled,
            "cancelled",
            "wanted",
        ),
        ("wrong", "panic", Status::Failed, "panic", "oh no: panic"),
        (
            "wrong",
            "large",
            Status::Failed,
            "result-too-large",
            "bytes",
        ),
        ("wrong", "slow", Status::Failed, "timeout", "200ms"),
        ("double", "\"x\"", Status::Failed, "bad-payload", "column"),
    ];
    for (at, (kind, payload, status, code, text)) in expected.into_iter().enumerate() {
        let headers = [("Jobs-Kind", kind), ("Jobs-Timeout", "200ms")];
        let timed = if payload == "slow" { 2 } else { 1 };
        let work = Work {
            accepted: at as u64 + 1,
            headers: &headers[..timed],
            payload,
            ..Work::default()
        };
        leader.dispatch("q", payload.trim_matches('"'), work).await;
        let (_, outcome) = leader.outcome_sent().await;
        assert_eq!(outcome.status, status, "{payload}");
        let error = outcome.error.expect("a reason");
        assert_eq!(error.code, code, "{payload}");
        assert!(error.message.contains(text), "{payload}: {}", error.message);
        let for_good = ["permanent", "large", "\"x\""].contains(&payload);
        assert_eq!(error.permanent, for_good, "{payload}");
        assert_eq!(leader.final_ack().await.said, "+ACK", "{payload}");
    }
    running.stop(PATIENCE).await;
}

#[tokio::test]
async fn work_that_nobody_can_read_is_a_dead_letter_that_says_why() {
    let (server, mut leader) = system(&["q"]).await;
    let (handler, mut stage) = stage(Part::Return);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    let work = Work {
        headers: &[("Jobs-Timeout", "soon")],
        ..Work::default()
    };
    leader.dispatch("q", "a", work).await;
    let (_, outcome) = leader.outcome_sent().await;
    let error = outcome.error.expect("a reason");
    assert_eq!(
        (error.code.as_str(), error.permanent),
        ("bad-headers", true)
    );
    assert!(error.message.contains("Jobs-Timeout"), "{}", error.message);
    assert!(stage.never_started());
    running.stop(PATIENCE).await;
}

#[tokio::test]
async fn each_start_and_end_is_a_line_of_the_job_log() {
    let (server, mut leader) = system(&["q"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jobs.jsonl");
    let log = JobLog::append(&path).expect("a file");
    let options = WorkerOptions::new(&server.url(), "w").observer(Arc::new(log));
    let running = Worker::builder(options)
        .handle_bytes("wrong", "q", wrong)
        .start()
        .await
        .expect("a worker");
    for (at, payload) in ["fine", "panic"].into_iter().enumerate() {
        let work = Work {
            accepted: at as u64 + 1,
            headers: &[("Jobs-Kind", "wrong"), ("Jobs-Key", "DE")],
            payload,
            ..Work::default()
        };
        leader.dispatch("q", payload, work).await;
        leader.outcome_sent().await;
    }
    let id = running.id().clone();
    running.stop(PATIENCE).await;
    let text = std::fs::read_to_string(&path).expect("the log");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["event"].as_str(),
                line["id"].as_str(),
                line["end"].as_str(),
            )
        })
        .collect();
    let expected = [
        (Some("start"), Some("fine"), None),
        (Some("end"), Some("fine"), Some("completed")),
        (Some("start"), Some("panic"), None),
        (Some("end"), Some("panic"), Some("panicked")),
    ];
    assert_eq!(seen, expected);
    for line in &lines {
        assert_eq!((&line["queue"], &line["key"]), (&json!("q"), &json!("DE")));
        assert_eq!(
            (&line["attempt"], &line["delivery"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(line["worker"], json!(id.as_str()));
        assert_eq!(line["pid"], json!(std::process::id()));
    }
    let times: Vec<_> = lines.iter().map(|line| line["t"].as_u64()).collect();
    assert!(times.is_sorted() && times[0].is_some(), "{times:?}");
}

/// Counts handlers that run at once.
#[derive(Default)]
struct Crowd {
    now: AtomicU64,
    most: AtomicU64,
    all: AtomicU64,
}

async fn crowded(crowd: Arc<Crowd>) -> Result<Value, JobError> {
    let now = crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
    crowd.most.fetch_max(now, Ordering::SeqCst);
    tokio::task::yield_now().await;
    crowd.now.fetch_sub(1, Ordering::SeqCst);
    crowd.all.fetch_add(1, Ordering::SeqCst);
    Ok(Value::Null)
}

#[tokio::test]
async fn many_jobs_of_several_queues_run_within_the_slots() {
    const JOBS: u64 = 600;
    let (server, mut leader) = system(&["a", "b"]).await;
    let crowds = [Arc::<Crowd>::default(), Arc::default()];
    let [first, second] = crowds.clone();
    let running = worker(&server, "w")
        .handle_bytes("a", "a", move |_, _| crowded(first.clone()))
        .handle_bytes("b", "b", move |_, _| crowded(second.clone()))
        .slots("b", 3)
        .start()
        .await
        .expect("a worker");
    for accepted in 1..=JOBS {
        let queue = if accepted % 2 == 0 { "a" } else { "b" };
        let work = Work {
            accepted,
            ..Work::default()
        };
        leader
            .dispatch(queue, &format!("job-{accepted}"), work)
            .await;
    }
    let mut acked = 0;
    while acked < JOBS {
        acked += u64::from(leader.ack().await.said == "+ACK");
    }
    running.stop(PATIENCE).await;
    let most = |crowd: &Crowd| crowd.most.load(Ordering::SeqCst);
    assert!(most(&crowds[0]) <= 16, "{} at once", most(&crowds[0]));
    assert!(most(&crowds[1]) <= 3, "{} at once", most(&crowds[1]));
    let all: u64 = crowds
        .iter()
        .map(|crowd| crowd.all.load(Ordering::SeqCst))
        .sum();
    assert_eq!(all, JOBS, "each ran once");
    leader.work_left(0).await;
}

#[tokio::test]
async fn a_kind_without_a_handler_goes_to_a_worker_that_has_one() {
    let (server, mut leader) = system(&["q"]).await;
    let (handler, mut other) = stage(Part::Return);
    let wrong = worker(&server, "wrong")
        .handle_bytes("other", "q", handler)
        .start()
        .await
        .expect("a worker");
    let work = Work {
        headers: &[("Jobs-Kind", "double")],
        payload: "1",
        ..Work::default()
    };
    leader.dispatch("q", "a", work).await;
    let nak = leader.ack().await;
    assert_eq!(nak.said, "-NAK {\"delay\":1000000000}");
    wrong.stop(PATIENCE).await;
    let right = worker(&server, "right")
        .handle("q", double)
        .start()
        .await
        .expect("a worker");
    let (_, outcome) = leader.outcome_sent().await;
    assert_eq!(outcome, Outcome::completed(json!(2)));
    assert!(other.never_started());
    right.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_handler_that_blocks_its_runtime_keeps_its_lease() {
    let (server, mut leader) = system(&[]).await;
    leader.queue("q", Duration::from_secs(1)).await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let block = move |_: Bytes, job: JobContext| {
        let released = released.clone();
        async move {
            let released = released.lock().map_err(|_| JobError::retry("poisoned"))?;
            released.recv_timeout(PATIENCE)?;
            Ok(Value::from(job.delivery()))
        }
    };
    let builder = worker(&server, "w").handle_bytes("q", "q", block);
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    // A runtime with one thread, which the handler blocks.
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let running = builder.start().await.expect("a worker");
            running
                .run_until(stopped.wait_for(|stop| *stop), PATIENCE)
                .await
        })
    });
    leader.dispatch("q", "a", Work::default()).await;
    // Two leases long.
    for _ in 0..6 {
        assert_eq!(leader.ack().await.said, "+WPI");
    }
    release.send(()).expect("the handler waits");
    let (_, outcome) = leader.outcome_sent().await;
    assert_eq!(outcome, Outcome::completed(json!(1)), "handed out once");
    stop.send_replace(true);
    let joined = tokio::task::spawn_blocking(move || worker.join());
    in_time("the stop", joined)
        .await
        .expect("it ran")
        .expect("it stopped");
}
