//! The system that a run hurts: servers, three coordinators, four workers, lines between them, a tap
//! on the ledger and one on the wire. It decides nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::Client;
use coordinator::queue_record;
use nats_config::{Broker, Names};
use protocol::config::QueueConfig;
use protocol::number::Revision;
use tokio::sync::Mutex;

use crate::cluster::Cluster;
use crate::proxy::Proxy;
use crate::server::{Server, ServerOptions};
use crate::system::QUEUE;
use crate::tap::Tap;
use crate::wait::{PATIENCE, eventually};

use super::altered::Alterations;
use super::members::{Member, Program};
use super::wire::Wire;

/// The coordinators.
pub const COORDINATORS: [&str; 3] = ["a", "b", "c"];
/// The workers.
pub const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];
/// The room of the ledger in bytes.
pub const LEDGER_BYTES_MAX: u64 = 1 << 30;
/// The times of the election.
pub const LEASE_NAME: &str = "test";
/// How long a leader is trusted.
pub const LEASE: Duration = Duration::from_millis(1_500);
/// How long a worker may be silent.
pub const WORK_LEASE: Duration = Duration::from_secs(4);

/// The servers of a run.
pub enum Servers {
    /// One.
    One(Box<Server>),
    /// Three.
    Three(Box<Cluster>),
}

impl Servers {
    /// All of them.
    pub fn all(&mut self) -> &mut [Server] {
        match self {
            Self::One(server) => std::slice::from_mut(server),
            Self::Three(cluster) => cluster.servers(),
        }
    }
}

/// A process and its lines to the servers.
pub struct Seat {
    /// One line to each server; a fault on them leaves the process alone.
    pub lines: Vec<Proxy>,
    /// The process; whoever hurts it holds it.
    pub member: Mutex<Member>,
}

/// All that runs.
pub struct Stage {
    /// The servers; whoever hurts them holds them.
    pub servers: Mutex<Servers>,
    /// A connection to the servers that no fault but theirs meets.
    pub client: Client,
    /// The same with the names of what exists on the broker.
    pub broker: Broker,
    /// What the ledger says.
    pub tap: Tap,
    /// What passes on the wire of the work queue.
    pub wire: Wire,
    /// What a foreign hand has altered.
    pub alterations: Alterations,
    /// The coordinators in the order of their names.
    pub coordinators: Vec<Seat>,
    /// The workers in the order of their names.
    pub workers: Vec<Seat>,
    /// The submitters' lines to the servers.
    pub submitters: Vec<Proxy>,
}

impl Stage {
    /// Starts all of it on one or three servers; the processes' logs go to `folder`.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(replicas: usize, folder: &Path) -> Result<Self> {
        let options = ServerOptions {
            no_advertise: true,
            profile: true,
            ..ServerOptions::default()
        };
        let (mut servers, client) = match replicas {
            1 => {
                let server = Server::start_with(options).await?;
                let client = server.connect().await?;
                (Servers::One(Box::new(server)), client)
            }
            _ => {
                let cluster = Cluster::start_parted(&options).await?;
                let client = cluster.connect().await?;
                cluster.wait_ready(&client).await?;
                (Servers::Three(Box::new(cluster)), client)
            }
        };
        let urls: Vec<String> = servers.all().iter().map(Server::url).collect();
        let ports: Vec<u16> = servers.all().iter().map(Server::port).collect();
        let broker = Broker::new(client.clone(), Names::default());
        let tap = Tap::open(&client, broker.names().ledger());
        let wire = Wire::open(&urls).await?;
        let submitters = lines(&ports).await?;
        let alterations = Alterations::default();
        let mut seats = Vec::new();
        let coordinators = COORDINATORS.map(|name| (name, Program::Coordinator));
        let workers = WORKERS.map(|name| (name, Program::Worker));
        for who in coordinators.into_iter().chain(workers) {
            let lines = lines(&ports).await?;
            let urls = lines.iter().map(Proxy::url).collect();
            let mut member = Member::new(who, folder.to_owned(), urls, alterations.clone());
            member.start(None)?;
            let member = Mutex::new(member);
            seats.push(Seat { lines, member });
        }
        let workers = seats.split_off(COORDINATORS.len());
        let stage = Self {
            servers: Mutex::new(servers),
            client,
            broker,
            tap,
            wire,
            alterations,
            coordinators: seats,
            workers,
            submitters,
        };
        stage.open_queue().await?;
        Ok(stage)
    }

    /// A queue with short leases and quick retries, once there is a leader's ledger to hold it.
    async fn open_queue(&self) -> Result<()> {
        let name = QUEUE.parse()?;
        let config = QueueConfig {
            backoff_base_ms: 50,
            backoff_max_ms: 400,
            work_lease_ms: u64::try_from(WORK_LEASE.as_millis())?,
            ..QueueConfig::default()
        };
        eventually("the queue", PATIENCE, async || {
            queue_record::write(&self.broker, &name, Revision::new(1), &config)
                .await
                .map(drop)
        })
        .await?;
        let led = self
            .tap
            .until("a leader", PATIENCE, |book| book.leader().map(drop));
        led.await
    }

    /// Every coordinator and worker.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.coordinators.iter().chain(&self.workers)
    }

    /// The place of the coordinator that leads.
    ///
    /// # Errors
    /// When nobody ever led.
    pub fn leader(&self) -> Result<usize> {
        let holder = self
            .tap
            .look(|book| book.leader().map(|led| led.holder.clone()));
        let holder = holder.context("nobody leads yet")?;
        let place = COORDINATORS.iter().position(|name| *name == holder);
        place.context("the leader is none of ours")
    }

    /// The addresses of the submitters' lines.
    #[must_use]
    pub fn submitters_url(&self) -> String {
        let urls: Vec<String> = self.submitters.iter().map(Proxy::url).collect();
        urls.join(",")
    }
}

async fn lines(ports: &[u16]) -> Result<Vec<Proxy>> {
    let mut lines = Vec::new();
    for port in ports {
        lines.push(Proxy::start(*port).await?);
    }
    Ok(lines)
}
