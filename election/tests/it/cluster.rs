//! Elections on three servers.

use std::time::Duration;

use async_nats::jetstream;
use election::{BucketError, ElectionConfig, Event, LeaseTimings, Mode, StartError, boot_now};

use crate::process::Candidate;
use crate::server::Cluster;
use crate::stand::{Stand, config};

const READY_MAX: Duration = Duration::from_secs(60);

/// A cluster needs a moment until it can place streams.
async fn start_when_ready(config: &ElectionConfig) -> Stand {
    let attempts = async {
        loop {
            match Stand::try_follow(config.clone()).await {
                Ok(stand) => return stand,
                Err(StartError::Bucket(BucketError::Unanswered { reason, .. })) => {
                    println!("not ready: {reason}");
                }
                Err(error) => panic!("start: {error}"),
            }
        }
    };
    tokio::time::timeout(READY_MAX, attempts)
        .await
        .expect("the cluster is ready within 60 s")
}

fn replicated(cluster: &Cluster, holder: &str) -> ElectionConfig {
    let mut config = config(cluster.broker(), holder, Mode::Fenced);
    config.replicas = 3;
    config.timings = LeaseTimings::stable();
    config
}

/// Which of the servers leads the bucket's stream.
async fn stream_leader(cluster: &Cluster) -> usize {
    let mut places = Vec::new();
    for server in &cluster.servers {
        places.push(server.address());
    }
    let client = async_nats::connect(places).await.expect("connect");
    let stream = jetstream::new(client)
        .get_stream("KV_leaders")
        .await
        .expect("the stream");
    let cluster = stream
        .cached_info()
        .cluster
        .clone()
        .expect("a replicated stream");
    let leader = cluster.leader.expect("a leader");
    leader.trim_start_matches('n').parse().expect("a place")
}

#[tokio::test]
async fn a_crashed_stream_leader_moves_no_leadership_and_a_killed_holder_is_replaced_at_once() {
    let mut cluster = Cluster::start().await;
    let mut leader = start_when_ready(&replicated(&cluster, "a")).await;
    leader.election.campaign();
    let first = leader.acquired().await;
    let mut other = Stand::campaign(replicated(&cluster, "b")).await;
    other.sees_leader("a").await;

    let place = stream_leader(&cluster).await;
    let stored = leader.election.snapshot().tally.stored;
    let crashed = boot_now();
    cluster.servers[place].kill().await;
    let mut state = leader.election.watch();
    let renewed = state.wait_for(|state| state.connected && state.tally.stored >= stored + 2);
    let renewed = tokio::time::timeout(Duration::from_secs(60), renewed).await;
    drop(
        renewed
            .expect("renewals go on within 60 s")
            .expect("the election runs"),
    );
    println!(
        "stream leader killed: renewed again after {:?}",
        boot_now().since(crashed)
    );
    let moved = |event: &Event| matches!(event, Event::Lost { .. } | Event::Suspended { .. });
    assert!(!leader.seen().iter().any(moved), "{:?}", leader.seen());
    assert!(leader.election.permit(first).check().is_ok());
    cluster.servers[place].run().await;

    let url = cluster.servers[place].url();
    let mut candidate = Candidate::start(&url, "c", ["fenced", "stable"]).await;
    candidate.wait_for("leader a").await;
    leader.election.resign().await.unwrap();
    other.election.stop().await;
    candidate.wait_for("acquired").await;
    let mut last = Stand::campaign(replicated(&cluster, "d")).await;
    last.sees_leader("c").await;
    let mut state = last.election.watch();
    let heard = state.wait_for(|state| state.tally.pings_answered > 0).await;
    drop(heard.expect("the election runs"));
    let killed = boot_now();
    candidate.signal(rustix::process::Signal::KILL);
    last.acquired().await;
    println!("SIGKILL to acquired, R3: {:?}", boot_now().since(killed));
}
