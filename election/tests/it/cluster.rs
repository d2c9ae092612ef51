//! Elections on three servers.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, jetstream};
use election::{
    Broker, BucketError, ElectionConfig, Event, LeaseTimings, Mode, Standing, StartError, boot_now,
};
use futures::FutureExt;
use tokio::sync::watch;

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

/// Servers that are named only while `open`; who asks meanwhile waits.
fn broker_while(open: watch::Receiver<bool>, cluster: &Cluster) -> Broker {
    let servers: Vec<_> = cluster
        .servers
        .iter()
        .map(|server| server.address())
        .collect();
    Broker::with(Arc::new(move || {
        let (mut open, servers) = (open.clone(), servers.clone());
        async move {
            open.wait_for(|open| *open).await?;
            Ok((servers, ConnectOptions::new()))
        }
        .boxed()
    }))
}

/// Pings that a candidate makes in a second, some fifteen times what it takes for a death.
const PINGS: u64 = 40;

#[tokio::test]
async fn a_holder_whose_server_died_is_not_taken_for_dead_while_it_comes_back() {
    let mut cluster = Cluster::start().await;
    let (gate, open) = watch::channel(true);
    let mut config = replicated(&cluster, "a");
    config.broker = broker_while(open, &cluster);
    let mut leader = start_when_ready(&config).await;
    leader.election.campaign();
    let epoch = leader.acquired().await;
    let mut other = Stand::campaign(replicated(&cluster, "b")).await;
    other.sees_leader("a").await;
    let mut state = other.election.watch();
    let heard = state.wait_for(|state| state.tally.pings_answered > 0).await;
    drop(heard.expect("the election runs"));

    // Candidates begin with the server that their incarnation says, so that they spread.
    let incarnation = leader.election.incarnation().as_str().bytes();
    let place = incarnation.map(usize::from).sum::<usize>() % cluster.servers.len();
    gate.send_replace(false);
    cluster.servers[place].kill().await;
    let mut own = leader.election.watch();
    let away = own.wait_for(|state| !state.connected).await;
    drop(away.expect("the election runs"));
    let before = state.borrow().tally.pings_answered;
    let judged = state.wait_for(|state| {
        state.tally.pings_answered >= before + PINGS
            || matches!(state.standing, Standing::Leading(..))
    });
    let judged = tokio::time::timeout(READY_MAX, judged).await;
    let judged = judged.expect("pings are answered within 60 s");
    assert_eq!(
        judged.expect("the election runs").standing,
        Standing::Candidate
    );

    gate.send_replace(true);
    let back = own.wait_for(|state| state.connected).await;
    drop(back.expect("the election runs"));
    assert!(leader.election.permit(epoch).check().is_ok());
    let moved = |event: &Event| matches!(event, Event::Lost { .. } | Event::Suspended { .. });
    assert!(!leader.seen().iter().any(moved), "{:?}", leader.seen());
}
