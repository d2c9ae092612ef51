//! Three servers of which one is cut off, or dies, while a worker holds a job with a key: no two runs
//! of it, whatever the next leader of the consumer knows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::config::QueueConfig;
use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::server::ServerOptions;
use tests::system::{QUEUE, Servers, job, quick_retries};
use tests::wait::{eventually, until};
use tests::{Lease, Process, System, runs};

use crate::scene::LIMIT;

const SERVERS: [&str; 3] = ["n1", "n2", "n3"];
/// What is led by one server or another, in the words of the API.
const LED: [&str; 5] = [
    "STREAM JOBS",
    "STREAM WORK",
    "STREAM KV_jobs_leader",
    "STREAM KV_jobs_workers",
    "CONSUMER WORK.work",
];

/// A system on three servers that can be parted. The coordinator, the test and the leaders of all are
/// at the server `head`.
struct Scene {
    system: System,
    head: usize,
    _leader: Process,
}

impl Scene {
    async fn start(lease: Duration) -> Self {
        let options = ServerOptions::default();
        let cluster = Cluster::start_parted(&options).await.unwrap();
        let servers = Servers::Three(Box::new(cluster));
        let mut system = System::on(servers, Lease::Quick).await.unwrap();
        let own = system.client.server_info().server_name;
        let head = SERVERS.iter().position(|name| **name == *own).unwrap();
        let url = system.cluster().servers()[head].url();
        let leader = system.coordinator_at("a", &url).await.unwrap();
        let config = QueueConfig {
            work_lease_ms: u64::try_from(lease.as_millis()).unwrap(),
            ..quick_retries()
        };
        system.queue(QUEUE, &config).await.unwrap();
        system.leader_after(0).await.unwrap();
        let scene = Self {
            system,
            head,
            _leader: leader,
        };
        for what in LED {
            scene.is_led(what, head).await;
        }
        scene
    }

    /// The server that is so many places after the head.
    const fn after_head(&self, places: usize) -> usize {
        (self.head + places) % SERVERS.len()
    }

    async fn worker(&mut self, name: &str, at: usize) -> Process {
        let url = self.system.cluster().servers()[at].url();
        let worker = self.system.worker_at(name, &url, &["--slots", "1"]);
        worker.await.unwrap()
    }

    async fn ask(&self, verb: &str, what: &str, body: &Value) -> Result<Value, String> {
        let (kind, name) = what.split_once(' ').unwrap();
        let subject = format!("$JS.API.{kind}.{verb}.{name}");
        // The server refuses any word where it expects none.
        let body = match body {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(body).unwrap(),
        };
        let answer = self.system.client.request(subject, body.into()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())
    }

    /// Sees to it that this server leads it.
    async fn is_led(&self, what: &str, by: usize) {
        eventually(
            &format!("{what} to be led by {}", SERVERS[by]),
            LIMIT,
            async || {
                let info = self.ask("INFO", what, &Value::Null).await?;
                if info["cluster"]["leader"] == SERVERS[by] {
                    return Ok(());
                }
                let body = json!({"placement": {"preferred": SERVERS[by]}});
                self.ask("LEADER.STEPDOWN", what, &body).await?;
                Err(info["cluster"].to_string())
            },
        )
        .await
        .unwrap();
    }

    async fn submit(&self, id: &str, key: Option<&str>, millis: u64) {
        let work = job(id, &json!({"do": "work", "ms": millis}).to_string());
        let work = match key {
            Some(key) => work.header("Jobs-Key", &key),
            None => work,
        };
        self.system.submit(work).await.unwrap();
    }

    /// Waits until a worker of this name runs the job.
    async fn runs(&self, id: &str, worker: &str) {
        eventually(&format!("{worker} to run {id}"), LIMIT, async || {
            let runs = self.system.runs().map_err(|error| error.to_string())?;
            let found = runs
                .iter()
                .any(|run| run.id == id && run.worker.starts_with(worker));
            found.then_some(()).ok_or(format!("{runs:?}"))
        })
        .await
        .unwrap();
    }

    fn keys_were_apart(&self) {
        let runs = self.system.runs().unwrap();
        runs::check_keys_apart(&runs, &BTreeMap::new());
    }
}

/// A message waits in the work queue for longer than a lease and is handed out; then the server dies that
/// leads the consumer. The next one knows when it was stored, and not when it was handed out.
#[tokio::test]
async fn the_next_leader_of_the_consumer_hands_nothing_out_again_that_is_held() {
    let lease = Duration::from_secs(12);
    let mut scene = Scene::start(lease).await;
    let (doomed, other) = (scene.after_head(1), scene.after_head(2));
    scene.is_led("CONSUMER WORK.work", doomed).await;
    scene.submit("old", Some("k"), 16_000).await;
    eventually("the job in the work queue", LIMIT, async || {
        let info = scene
            .ask("INFO", "CONSUMER WORK.work", &Value::Null)
            .await?;
        let waits = info["num_pending"] == 1;
        waits.then_some(()).ok_or_else(|| info.to_string())
    })
    .await
    .unwrap();
    until(Instant::now() + lease).await;
    let _first = scene.worker("first", scene.head).await;
    scene.runs("old", "first").await;
    let doomed = &mut scene.system.cluster().servers()[doomed];
    doomed.kill().await.unwrap();
    let _second = scene.worker("second", other).await;
    // Perhaps by the second one: then a lease, an election and a whole run lie before it.
    scene.system.ended(1).await.unwrap();
    scene.keys_were_apart();
}

/// The server of the first worker loses its connections to the others, who find nobody at the worker's
/// ping: it lives, and works on until its lease ends.
#[tokio::test]
async fn a_worker_that_is_cut_off_with_its_server_is_not_taken_for_dead() {
    let mut scene = Scene::start(Duration::from_secs(8)).await;
    let apart = scene.after_head(1);
    let _first = scene.worker("first", apart).await;
    scene.submit("cut", Some("k"), 10_000).await;
    scene.runs("cut", "first").await;
    let _second = scene.worker("second", scene.head).await;
    let routes = scene.system.cluster().routes().iter();
    for route in routes.filter(|route| route.from == apart || route.to == apart) {
        route.proxy.admit(0);
        route.proxy.cut();
    }
    scene.runs("cut", "second").await;
    for route in scene.system.cluster().routes() {
        route.proxy.admit(u64::MAX);
    }
    scene.system.ended(1).await.unwrap();
    scene.keys_were_apart();
}
