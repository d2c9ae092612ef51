//! The system under measurement: coordinators as processes on a namespace of their own, the queue
//! `bench`, and the two ends of a job. It never reaches into a process: it asks the coordinators'
//! API and reads `/proc`.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::ConnectOptions;
use coordinator::queue_record;
use coordinator::roll_call::{leader, roll_call};
use nats_config::{Broker, Names};
use protocol::config::QueueConfig;
use protocol::id::{Namespace, QueueName};
use protocol::message::CoordinatorStatus;
use protocol::number::Revision;
use rustix::process::Pid;
use tokio::process::Command;
use worker_sdk::Client;

use crate::process::Process;
use crate::program;
use crate::wait::{PATIENCE, eventually};

/// The queue of all measurements, and the kind of its jobs.
pub const QUEUE: &str = "bench";
/// How long coordinators are asked who leads, each time.
const GATHER: Duration = Duration::from_millis(60);
/// A standby that is so many records behind has caught up: the leader is always a little ahead.
const BEHIND_MAX: u64 = 200;
/// Gives each system a namespace of its own.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Coordinators on one broker. Dropped, they are killed.
pub struct System {
    url: String,
    replicas: usize,
    broker: Broker,
    coordinators: Vec<Process>,
}

impl System {
    /// Starts coordinators on a fresh namespace, waits until one leads, and makes the queue.
    ///
    /// # Errors
    /// When a program is not built or nobody comes to lead.
    pub async fn start(url: &str, replicas: usize, coordinators: usize) -> Result<Self> {
        let number = STARTED.fetch_add(1, Ordering::Relaxed) + 1;
        let namespace: Namespace = format!("bench{number}").parse()?;
        let client = connect(url).await?;
        let mut system = Self {
            url: url.to_owned(),
            replicas,
            broker: Broker::new(client, Names::new(namespace)),
            coordinators: Vec::new(),
        };
        for number in 1..=coordinators {
            system.add_coordinator(&format!("c{number}"))?;
        }
        system.settled().await?;
        system.make_queue(&QueueConfig::default()).await?;
        Ok(system)
    }

    /// Starts a coordinator of that name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn add_coordinator(&mut self, name: &str) -> Result<()> {
        let mut command = Command::new(program::workspace_binary("coordinator")?);
        command.args(["run", "--name", name, "-s", &self.url]);
        command.args(["--namespace", self.namespace()]);
        command.args(["--replicas", &self.replicas.to_string()]);
        self.coordinators.push(Process::start(name, command)?);
        Ok(())
    }

    async fn make_queue(&self, config: &QueueConfig) -> Result<()> {
        let queue: QueueName = QUEUE.parse()?;
        queue_record::write(&self.broker, &queue, Revision::new(1), config).await?;
        eventually("the queue's consumer", PATIENCE, async || {
            let stream = self.broker.names().work().to_owned();
            let stream = self.broker.jetstream().get_stream(stream).await?;
            stream.consumer_info(QUEUE).await.map(drop)?;
            anyhow::Ok(())
        })
        .await
    }

    /// The addresses of the broker.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The root token of its subjects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.broker.names().namespace().as_str()
    }

    /// A connection to it, and the names of its things.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// A submitter on a connection of its own.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn client(&self) -> Result<Client> {
        let namespace = self.broker.names().namespace().clone();
        let options = options();
        Ok(Client::connect(&self.url, options, namespace).await?)
    }

    /// Waits until one coordinator leads and all others follow closely, and returns the leader.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn settled(&self) -> Result<CoordinatorStatus> {
        eventually("a leader and its standbys", PATIENCE, async || {
            let client = self.broker.client();
            let answers = roll_call(client, self.broker.subjects(), GATHER).await?;
            let leader = leader(&answers).context("nobody leads")?;
            let heard = answers.len();
            ensure!(heard == self.coordinators.len(), "{heard} answered");
            let behind = |other: &CoordinatorStatus| {
                leader.folded.get().saturating_sub(other.folded.get()) > BEHIND_MAX
            };
            ensure!(!answers.iter().any(behind), "a standby is behind");
            Ok(leader.clone())
        })
        .await
    }

    /// How many jobs are completed in the eyes of the coordinator that answers first.
    ///
    /// # Errors
    /// When none answers.
    pub async fn completed(&self) -> Result<u64> {
        let subject = self.broker.subjects().api_status();
        let answer = self.broker.client().request(subject, "".into()).await?;
        let status: CoordinatorStatus = serde_json::from_slice(&answer.payload)?;
        Ok(status.queues.get(QUEUE).map_or(0, |queue| queue.completed))
    }

    /// The process of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn coordinator(&mut self, name: &str) -> Result<&mut Process> {
        let named = |process: &&mut Process| process.name() == name;
        self.coordinators
            .iter_mut()
            .find(named)
            .with_context(|| format!("no coordinator is called {name}"))
    }

    /// Drops what is left of a coordinator that was killed.
    pub fn bury(&mut self, name: &str) {
        self.coordinators.retain(|process| process.name() != name);
    }

    /// Ends the coordinators and removes all that they made on the broker.
    ///
    /// # Errors
    /// When something stays.
    pub async fn stop(mut self) -> Result<()> {
        for process in &mut self.coordinators {
            process.terminate(PATIENCE).await?;
        }
        let names = self.broker.names();
        let context = self.broker.jetstream();
        for stream in [names.ledger(), names.work()] {
            context.delete_stream(stream).await?;
        }
        for bucket in [names.leader_bucket(), names.workers_bucket()] {
            context.delete_key_value(bucket).await?;
        }
        Ok(())
    }
}

fn options() -> ConnectOptions {
    ConnectOptions::new()
        .client_capacity(65_536)
        .subscription_capacity(1 << 18)
}

async fn connect(url: &str) -> Result<async_nats::Client> {
    let addresses: Vec<&str> = url.split(',').collect();
    let connected = options().connect(addresses).await;
    connected.context("connect to the broker")
}

/// What a process needs of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Now.
    Resident,
    /// The most that it ever did.
    Peak,
}

/// The memory of a process, in bytes.
///
/// # Errors
/// When the process is gone, or where there is no `/proc`.
pub fn memory(pid: Pid, which: Memory) -> Result<u64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let label = match which {
        Memory::Resident => "VmRSS:",
        Memory::Peak => "VmHWM:",
    };
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: u64 = kilobytes.context("no line of memory")?.parse()?;
    Ok(kilobytes * 1024)
}
