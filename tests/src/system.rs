//! The whole system in a test: one or three real NATS servers, coordinators and workers as real
//! processes, and the ledger as it grows.
//!
//! It never judges and never mends: a process that ends stays ended.

use std::collections::HashMap;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use async_nats::Client;
use coordinator::queue_record;
use coordinator::roll_call::{GATHER, roll_call};
use futures::StreamExt;
use nats_config::{Broker, Ledger, Mode, Names, Replicas, Role, Settings};
use protocol::config::QueueConfig;
use protocol::number::Revision;
use tempfile::TempDir;
use tokio::process::Command;

use crate::book::{Book, Job, Led};
use crate::cluster::Cluster;
use crate::process::Process;
use crate::program::workspace_binary;
use crate::raw::{Answer, Message, publish_raw};
use crate::roles;
use crate::runs::{self, Run};
use crate::server::Server;
pub use crate::servers::Servers;
use crate::tap::Tap;
use crate::wait::{PATIENCE, eventually, within};

/// The queue of the tests.
pub const QUEUE: &str = "work";

/// The room of the ledger: the broker sets it aside on the disk of the tests' machine.
const LEDGER_BYTES_MAX: u64 = 256 << 20;

/// Written by a coordinator that has caught up.
const STANDS: &str = "standing for leadership";

/// Submissions under way at a time.
const SUBMITTING: usize = 32;

/// A load on three servers that lose one, on a machine that has much to do.
const ALL: Duration = Duration::from_secs(120);

/// On how many servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// One server; each stream has one replica.
    One,
    /// Three servers; each stream has three replicas.
    Three,
}

/// The times of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// So short that a test sees it end.
    Test,
    /// Longer than a busy machine makes anybody wait.
    Quick,
    /// Longer than an election of the broker.
    Stable,
}

impl Lease {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Quick => "quick",
            Self::Stable => "stable",
        }
    }
}

/// Servers, a connection to them, and what the ledger says.
pub struct System {
    /// The servers.
    pub servers: Servers,
    /// The test's own connection.
    pub client: Client,
    /// The same with the names of what exists on the broker.
    pub broker: Broker,
    /// What the ledger says.
    pub tap: Tap,
    /// One connection for each role; none in the normal mode.
    clients: HashMap<Role, Client>,
    lease: Lease,
    logs: TempDir,
}

impl System {
    /// Starts the servers. Streams are made by the first coordinator.
    ///
    /// # Errors
    /// When they do not come up.
    pub async fn start(size: Size, lease: Lease) -> Result<Self> {
        let servers = match size {
            Size::One => Servers::One(Box::new(Server::start().await?)),
            Size::Three => Servers::Three(Box::new(Cluster::start().await?)),
        };
        Self::on(servers, lease).await
    }

    /// The same on servers that run already.
    ///
    /// # Errors
    /// When they cannot be reached.
    pub async fn on(servers: Servers, lease: Lease) -> Result<Self> {
        let client = Box::pin(servers.connect_as(None)).await?;
        let mut clients = HashMap::new();
        if roles::on() {
            for role in Role::ALL {
                clients.insert(role, Box::pin(servers.connect_as(Some(role))).await?);
            }
        }
        let broker = Broker::new(client.clone(), Names::default());
        let tap = Tap::open(&client, broker.names().ledger());
        let logs = tempfile::tempdir().context("make a folder for logs")?;
        Ok(Self {
            servers,
            client,
            broker,
            tap,
            clients,
            lease,
            logs,
        })
    }

    /// Starts the servers and makes the streams, with nobody to lead.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn with_streams(size: Size) -> Result<Self> {
        let system = Self::start(size, Lease::Test).await?;
        let settings = Settings {
            replicas: match size {
                Size::One => Replicas::One,
                Size::Three => Replicas::Three,
            },
            ledger_bytes_max: LEDGER_BYTES_MAX,
            ..Settings::default()
        };
        let broker = system.broker_of(Role::Coordinator);
        // On a busy machine a server may count as away for a moment.
        eventually("the streams", PATIENCE, async || {
            let made = broker.provision(&settings, Mode::Create, Ledger::MayBeNew);
            match made.await {
                Err(error) if error.is_retryable() => Err(error.to_string()),
                other => Ok(other),
            }
        })
        .await??;
        Ok(system)
    }

    /// Starts the servers, a coordinator `a`, and the queue [`QUEUE`] with quick retries.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn with_leader(size: Size, lease: Lease) -> Result<(Self, Process)> {
        Self::with_queue(size, lease, &quick_retries()).await
    }

    /// Starts the servers, a coordinator `a`, and the queue [`QUEUE`].
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn with_queue(
        size: Size,
        lease: Lease,
        config: &QueueConfig,
    ) -> Result<(Self, Process)> {
        let system = Self::start(size, lease).await?;
        let leader = system.led(config).await?;
        Ok((system, leader))
    }

    /// Starts a coordinator `a`, and makes the queue [`QUEUE`].
    ///
    /// # Errors
    /// When nobody comes to lead.
    pub async fn led(&self, config: &QueueConfig) -> Result<Process> {
        let leader = self.coordinator("a").await?;
        self.queue(QUEUE, config).await?;
        let led = self.leader_after(0).await;
        led.with_context(|| format!("{} wrote last:\n{}", leader.name(), leader.tail()))?;
        Ok(leader)
    }

    /// The connection of a role: with its permissions and no more, or, in the normal mode, the
    /// test's own.
    #[must_use]
    pub fn client_of(&self, role: Role) -> &Client {
        self.clients.get(&role).unwrap_or(&self.client)
    }

    /// The same with the names of what exists on the broker.
    #[must_use]
    pub fn broker_of(&self, role: Role) -> Broker {
        let broker = Broker::new(self.client_of(role).clone(), Names::default());
        broker.with_api_prefix(&roles::api_prefix(Some(role)))
    }

    /// The addresses of all servers.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.servers {
            Servers::One(server) => server.url(),
            Servers::Three(cluster) => cluster.url(),
        }
    }

    /// The one server.
    ///
    /// # Panics
    /// When there are three.
    pub fn server(&mut self) -> &mut Server {
        match &mut self.servers {
            Servers::One(server) => server,
            Servers::Three(_) => panic!("this system has three servers"),
        }
    }

    /// The three servers.
    ///
    /// # Panics
    /// When there is one.
    pub fn cluster(&mut self) -> &mut Cluster {
        match &mut self.servers {
            Servers::Three(cluster) => cluster,
            Servers::One(_) => panic!("this system has one server"),
        }
    }

    /// `coordinator run` for this system at these addresses, not yet started.
    ///
    /// # Errors
    /// When it is not built.
    pub fn coordinator_command(&self, name: &str, url: &str) -> Result<Command> {
        let replicas = match self.servers {
            Servers::One(_) => "1",
            Servers::Three(_) => "3",
        };
        let mut command = coordinator_binary()?;
        command.args(["--server", url, "run", "--name", name]);
        command.args(["--lease", self.lease.as_str(), "--replicas", replicas]);
        command.args(["--ledger-max-bytes", &LEDGER_BYTES_MAX.to_string()]);
        Ok(command)
    }

    /// Starts a coordinator and waits until it stands for leadership.
    ///
    /// # Errors
    /// When it does not come so far.
    pub async fn coordinator(&self, name: &str) -> Result<Process> {
        self.coordinator_at(name, &self.url()).await
    }

    /// The same for a coordinator that knows other addresses: those of a proxy.
    ///
    /// # Errors
    /// When it does not come so far.
    pub async fn coordinator_at(&self, name: &str, url: &str) -> Result<Process> {
        let command = self.coordinator_command(name, url)?;
        let mut process = Process::start(&format!("coordinator {name}"), command)?;
        process.wait_for_line(STANDS, PATIENCE).await?;
        Ok(process)
    }

    /// Starts a worker of [`QUEUE`] with 4 slots and waits until it is connected.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn worker(&self, name: &str) -> Result<Process> {
        self.worker_with(name, &["--slots", "4"]).await
    }

    /// Starts a worker of [`QUEUE`] with these arguments and waits until it is connected.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn worker_with(&self, name: &str, arguments: &[&str]) -> Result<Process> {
        self.worker_at(name, &self.url(), arguments).await
    }

    /// The same for a worker that knows other addresses: those of one server of three.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn worker_at(&self, name: &str, url: &str, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(workspace_binary("test-worker")?);
        let log = self.logs.path().join(format!("{name}.jsonl"));
        command.args(["--server", url, "--name", name, "--log"]);
        command.arg(log).args(["--queue", QUEUE]).args(arguments);
        command.args(roles::arguments(Some(Role::Worker)));
        let mut process = Process::start(&format!("worker {name}"), command)?;
        process.wait_for_line("ready", PATIENCE).await?;
        Ok(process)
    }

    /// Runs a command of `coordinator` to its end, at this system.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = coordinator_binary()?;
        command.args(["--server", &self.url()]).args(arguments);
        command.kill_on_drop(true);
        let what = format!("the end of coordinator {}", arguments.join(" "));
        let output = within(&what, PATIENCE, command.output()).await??;
        Ok(output)
    }

    /// Waits until the job of [`QUEUE`] with this id has ended, and returns it.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end_of(&self, id: &str) -> Result<Job> {
        let what = format!("the end of {id}");
        let ended = |book: &Book| book.job(QUEUE, id).filter(|it| it.end().is_some()).cloned();
        self.tap.until(&what, PATIENCE, ended).await
    }

    /// Makes a queue.
    ///
    /// # Errors
    /// When the ledger does not take it.
    pub async fn queue(&self, queue: &str, config: &QueueConfig) -> Result<()> {
        let name = queue.parse()?;
        let broker = self.broker_of(Role::Coordinator);
        queue_record::write(&broker, &name, Revision::new(1), config).await?;
        Ok(())
    }

    /// The first leader with an epoch above this one.
    ///
    /// # Errors
    /// When nobody leads.
    pub async fn leader_after(&self, epoch: u64) -> Result<Led> {
        let what = format!("a leader after epoch {epoch}");
        let found = self.tap.until(&what, PATIENCE, |book| {
            book.epochs.iter().find(|led| led.epoch > epoch).cloned()
        });
        found.await
    }

    /// The newest epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.tap
            .look(|book| book.leader().map_or(0, |led| led.epoch))
    }

    /// Submits one job directly, and again where the broker does not answer. Returns its acceptance
    /// number.
    ///
    /// # Errors
    /// When the ledger refuses it or never answers.
    pub async fn submit(&self, job: Message) -> Result<u64> {
        let what = format!("the acceptance of {}", job.subject);
        let broker = self.broker_of(Role::TrustedSubmitter);
        let ledger = broker.names().ledger();
        let accepted = eventually(&what, ALL, async || {
            match publish_raw(broker.client(), job.clone()).await? {
                Answer::Stored(stored) => Ok(stored.sequence),
                // An earlier try, whose answer was lost, is there.
                Answer::Refused(refusal) if refusal.code == 10_077 => {
                    let stored = broker.last(ledger, &job.subject).await?;
                    stored
                        .filter(|stored| stored.payload == job.payload)
                        .map(|stored| stored.sequence.get())
                        .ok_or_else(|| anyhow!("refused: {refusal:?}"))
                }
                other => bail!("{other:?}"),
            }
        });
        accepted.await
    }

    /// Submits many jobs. Returns their acceptance numbers.
    ///
    /// # Errors
    /// As [`System::submit`].
    pub async fn submit_all(&self, jobs: impl IntoIterator<Item = Message>) -> Result<Vec<u64>> {
        let submitted = futures::stream::iter(jobs)
            .map(|job| self.submit(job))
            .buffered(SUBMITTING)
            .collect::<Vec<_>>();
        submitted.await.into_iter().collect()
    }

    /// Waits until this many jobs have ended.
    ///
    /// # Errors
    /// When they do not.
    pub async fn ended(&self, jobs: usize) -> Result<()> {
        let what = format!("the end of {jobs} jobs");
        let is_over = |book: &Book| (book.ended() >= jobs).then_some(());
        self.tap.until(&what, ALL, is_over).await
    }

    /// Waits until the coordinator of that name says that it has this role.
    ///
    /// # Errors
    /// When it does not.
    pub async fn has_role(&self, name: &str, role: &str) -> Result<()> {
        let what = format!("the role {role} of {name}");
        eventually(&what, PATIENCE, async || {
            let viewer = self.client_of(Role::Viewer);
            let all = roll_call(viewer, self.broker.subjects(), GATHER).await?;
            match all.iter().find(|status| status.coordinator == name) {
                Some(status) if status.role == role => Ok(()),
                other => Err(anyhow!("{other:?}")),
            }
        })
        .await
    }

    /// Where the workers write what they run.
    #[must_use]
    pub fn logs(&self) -> &Path {
        self.logs.path()
    }

    /// What the workers ran so far.
    ///
    /// # Errors
    /// When their logs cannot be read.
    pub fn runs(&self) -> Result<Vec<Run>> {
        runs::read(self.logs.path())
    }

    /// Waits until the work queue holds nothing but fences.
    ///
    /// # Errors
    /// When something stays.
    pub async fn work_is_done(&self) -> Result<()> {
        let work = self.broker.names().work();
        let filter = self.broker.subjects().work_all();
        // Of a worker that was killed between an outcome and its ack, the work stays for a lease.
        let lease = Duration::from_millis(QueueConfig::default().work_lease_ms);
        eventually("an empty work queue", PATIENCE + lease, async || {
            let left = self.broker.list_subjects(work, &filter).await?;
            match left.is_empty() {
                true => Ok(()),
                false => Err(anyhow!("{} attempts are left: {left:?}", left.len())),
            }
        })
        .await
    }
}

/// The coordinator's program as the user of its role, without anything of the environment that runs
/// the tests.
///
/// # Errors
/// When it is not built.
pub fn coordinator_binary() -> Result<Command> {
    let mut command = Command::new(workspace_binary("coordinator")?);
    command.env_clear();
    command.args(roles::arguments(Some(Role::Coordinator)));
    Ok(command)
}

/// A queue whose failed jobs come again soon.
#[must_use]
pub fn quick_retries() -> QueueConfig {
    QueueConfig {
        backoff_base_ms: 50,
        backoff_max_ms: 200,
        ..QueueConfig::default()
    }
}

/// A submission to [`QUEUE`].
#[must_use]
pub fn job(id: &str, payload: &str) -> Message {
    Message::new(format!("jobs.submit.{QUEUE}.{id}"), payload.to_owned())
}

/// Submissions `<prefix>-0`, `<prefix>-1`, … that take `millis` each, spread over so many keys
/// (none: without keys).
pub fn load(prefix: &str, count: usize, keys: usize, millis: u64) -> Vec<Message> {
    let payload = format!(r#"{{"do":"work","ms":{millis}}}"#);
    (0..count)
        .map(|n| {
            let job = job(&format!("{prefix}-{n}"), &payload);
            match n.checked_rem(keys) {
                Some(key) => job.header("Jobs-Key", &format!("key-{key}")),
                None => job,
            }
        })
        .collect()
}
