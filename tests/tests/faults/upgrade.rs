//! Older servers: a cluster that is upgraded one server after the other, under a load.

use std::path::PathBuf;

use async_nats::jetstream;
use tests::program::repository;
use tests::system::Servers;
use tests::wait::eventually;
use tests::{Cluster, Lease, ServerOptions, System};

use crate::scene::{LIMIT, config, finish, submit};

/// Jobs that are submitted while a server is away and back again.
const JOBS: usize = 60;

/// An older server, as `./x servers` fetches it.
fn older(version: &str) -> Option<PathBuf> {
    let path = repository().join(format!(".tools/nats-server-{version}"));
    if path.is_file() {
        return Some(path);
    }
    println!("SKIPPED: there is no nats-server {version}: `./x servers` fetches it");
    None
}

/// Waits until every stream has three replicas in step.
async fn in_step(system: &System) {
    let context = jetstream::new(system.client.clone());
    for stream in ["JOBS", "WORK", "KV_jobs_leader", "KV_jobs_workers"] {
        let what = format!("all replicas of {stream} in step");
        eventually(&what, LIMIT, async || {
            let found = context.get_stream(stream).await;
            let info = found.map_err(|error| error.to_string())?;
            let cluster = info.cached_info().cluster.clone().unwrap_or_default();
            let current = cluster.replicas.iter().filter(|one| one.current).count();
            let is_led = cluster.leader.is_some_and(|leader| !leader.is_empty());
            (current == 2 && is_led)
                .then_some(())
                .ok_or(format!("{:?}", cluster.replicas))
        })
        .await
        .unwrap();
    }
}

async fn upgraded(from: &str, through: &[&str]) {
    let Some(first) = older(from) else { return };
    let mut programs = Vec::new();
    for version in through {
        let Some(program) = older(version) else {
            return;
        };
        programs.push(program);
    }
    programs.push(tests::program::nats_server().unwrap());
    let options = ServerOptions {
        program: Some(first),
        ..ServerOptions::default()
    };
    let cluster = Cluster::start_with(&options).await.unwrap();
    let client = cluster.connect().await.unwrap();
    cluster.wait_ready(&client).await.unwrap();
    let servers = Servers::Three(Box::new(cluster));
    let mut system = System::on(servers, Lease::Stable).await.unwrap();
    let _a = system.led(&config()).await.unwrap();
    let _b = system.coordinator("b").await.unwrap();
    let _first = system.worker("w1").await.unwrap();
    let _second = system.worker("w2").await.unwrap();
    let mut jobs = 0;
    for program in programs {
        for place in 0..3 {
            let server = &mut system.cluster().servers()[place];
            server.stop().await.unwrap();
            server.upgrade(&program);
            submit(&system, &format!("{jobs}-"), JOBS).await;
            jobs += JOBS;
            let server = &mut system.cluster().servers()[place];
            server.start_again().await.unwrap();
            in_step(&system).await;
        }
    }
    finish(&system, jobs).await;
}

#[tokio::test]
async fn a_cluster_is_upgraded_from_2_12_server_by_server_under_a_load() {
    upgraded("2.12.12", &["2.14.6"]).await;
}

#[tokio::test]
async fn a_cluster_is_upgraded_from_2_14_server_by_server_under_a_load() {
    upgraded("2.14.6", &[]).await;
}
