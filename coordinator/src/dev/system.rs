//! A local system: starts its processes in order, names them, ends them in the opposite order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::{join_all, select_all};
use nats_config::connection::{Connection, ConnectionSettings, Environment};
use nats_config::{Broker, Names};
use protocol::config::QueueConfig;
use protocol::id::{Namespace, QueueName};
use protocol::number::Revision;
use rustix::process::Signal;

use super::error::DevError;
use super::folder::Folder;
use super::nats_server::{self, NatsServerBinary};
use super::process::{Exited, ProcessSpec, RunningProcess};
use crate::queue_record;
use crate::roll_call::{leader, roll_call};

/// How long the server may take until it listens.
const SERVER_READY: Duration = Duration::from_secs(10);
/// How long the coordinators may take until one leads.
const LEADER_READY: Duration = Duration::from_secs(30);
/// How often it is looked whether something is ready.
const LOOK: Duration = Duration::from_millis(10);
/// How long coordinators are asked who leads, each time.
const ASK: Duration = Duration::from_millis(50);
/// How long a process may take to end when asked.
const GRACE: Duration = Duration::from_secs(10);
/// The most bytes of a local ledger.
const LEDGER_MAX: &str = "1GiB";

/// What to start.
#[derive(Debug, Clone)]
pub struct SystemOptions {
    /// The nats-server program; `None` finds one.
    pub nats_server: Option<PathBuf>,
    /// The port to listen on; `None` takes a free one.
    pub port: Option<u16>,
    /// Where store and logs lie and stay; `None` takes a temporary folder.
    pub data_dir: Option<PathBuf>,
    /// The coordinator program.
    pub coordinator: PathBuf,
    /// How many coordinators to start.
    pub coordinators: usize,
    /// Further arguments of each, such as `--lease quick`.
    pub coordinator_arguments: Vec<String>,
    /// Configuration text put after the server's own: users, permissions, limits.
    pub server_config: String,
    /// Who the system's own connection is; whatever names servers is not used. It reads everything,
    /// makes the queues, and asks the coordinators.
    pub connection: ConnectionSettings,
    /// The root token of all subjects.
    pub namespace: Namespace,
    /// The queues to make, if they do not exist.
    pub queues: Vec<(QueueName, QueueConfig)>,
}

impl SystemOptions {
    /// Three coordinators on a free port in a temporary folder, with the queues `default` and
    /// `invoices`.
    #[must_use]
    pub fn new(coordinator: PathBuf) -> Self {
        Self {
            nats_server: None,
            port: None,
            data_dir: None,
            coordinator,
            coordinators: 3,
            coordinator_arguments: Vec::new(),
            server_config: String::new(),
            connection: ConnectionSettings::default(),
            namespace: Namespace::default(),
            queues: sample_queues(),
        }
    }
}

/// The queues that a local system has: `default`, and `invoices` for the example worker.
#[must_use]
pub fn sample_queues() -> Vec<(QueueName, QueueConfig)> {
    let queue = |name| QueueName::new(name).expect("it is one valid token");
    let kind: protocol::id::Kind = "invoice.check".parse().expect("it is a valid kind");
    let invoices = QueueConfig {
        kind: Some(kind.clone()),
        kinds: vec![kind],
        ..QueueConfig::default()
    };
    vec![
        (queue("default"), QueueConfig::default()),
        (queue("invoices"), invoices),
    ]
}

/// A running local system. Dropping it kills its processes; [`System::stop`] lets them end.
///
/// On Linux a process is also killed when the thread that started it ends, whatever the cause: use
/// a system from the thread that lives longest, such as that of `block_on`.
#[derive(Debug)]
pub struct System {
    options: SystemOptions,
    binary: NatsServerBinary,
    address: String,
    server: RunningProcess,
    coordinators: Vec<RunningProcess>,
    workers: Vec<RunningProcess>,
    started: usize,
    broker: Broker,
    // Last: it goes after the processes that use it.
    folder: Folder,
}

/// How a system ended.
#[derive(Debug, Clone, Default)]
pub struct Stopped {
    /// Processes that had to be killed, since they did not end when asked.
    pub killed: Vec<String>,
}

impl System {
    /// Starts the server, then the coordinators, waits until one leads, and makes the queues.
    ///
    /// # Errors
    /// See [`DevError`]. What was started is ended.
    pub async fn start(options: SystemOptions, env: &Environment) -> Result<Self, DevError> {
        let binary = NatsServerBinary::find(options.nats_server.as_deref(), env)?;
        let folder = Folder::make(options.data_dir.as_deref())?;
        let (server, address) = start_server(&binary, &options, &folder).await?;
        let broker = connect(&address, &options).await?;
        let mut system = Self {
            options,
            binary,
            address,
            server,
            coordinators: Vec::new(),
            workers: Vec::new(),
            started: 0,
            broker,
            folder,
        };
        for _ in 0..system.options.coordinators {
            system.add_coordinator()?;
        }
        if system.options.coordinators > 0 {
            system.until_led().await?;
            system.make_queues().await?;
        }
        Ok(system)
    }

    /// Where the server listens, as `nats://127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server's program.
    #[must_use]
    pub const fn nats_server(&self) -> &NatsServerBinary {
        &self.binary
    }

    /// The folder with store and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection to the server, for who looks at it.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The running processes: the server, the coordinators, the workers, in the order of their
    /// start.
    pub fn processes(&self) -> impl Iterator<Item = &RunningProcess> {
        std::iter::once(&self.server)
            .chain(&self.coordinators)
            .chain(&self.workers)
    }

    /// The running coordinators.
    #[must_use]
    pub fn coordinators(&self) -> &[RunningProcess] {
        &self.coordinators
    }

    /// The running workers.
    #[must_use]
    pub fn workers(&self) -> &[RunningProcess] {
        &self.workers
    }

    /// Starts one more coordinator and returns its name, `c-<n>`.
    ///
    /// # Errors
    /// It could not be started.
    pub fn add_coordinator(&mut self) -> Result<String, DevError> {
        self.started += 1;
        let name = format!("c-{}", self.started);
        // A file of its own keeps settings away that lie about on this machine.
        let text = format!(
            "namespace = \"{}\"\nledger_max_bytes = \"{LEDGER_MAX}\"\n\n[nats]\nserver = \"{}\"\n",
            self.options.namespace, self.address
        );
        let config = self.folder.write("coordinator.toml", &text)?;
        let mut arguments = vec![
            "run".to_owned(),
            "--config".to_owned(),
            config.display().to_string(),
            "--name".to_owned(),
            name.clone(),
        ];
        arguments.extend(self.options.coordinator_arguments.iter().cloned());
        let process = self.spawn(&ProcessSpec {
            name: name.clone(),
            program: self.options.coordinator.clone(),
            arguments,
            variables: Vec::new(),
        })?;
        self.coordinators.push(process);
        Ok(name)
    }

    /// Starts a worker. It finds the server in `NATS_URL`.
    ///
    /// # Errors
    /// It could not be started.
    pub fn add_worker(&mut self, spec: ProcessSpec) -> Result<(), DevError> {
        let address = ("NATS_URL".to_owned(), self.address.clone());
        let variables = std::iter::once(address).chain(spec.variables).collect();
        let process = self.spawn(&ProcessSpec { variables, ..spec })?;
        self.workers.push(process);
        Ok(())
    }

    fn spawn(&self, spec: &ProcessSpec) -> Result<RunningProcess, DevError> {
        RunningProcess::start(spec, &self.options.coordinator, &self.folder)
    }

    /// Sends a signal to the process of this name. One that is killed is found by
    /// [`System::next_exit`].
    ///
    /// # Errors
    /// There is no such process, or the system refused.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<(), DevError> {
        let found = self.processes().find(|process| process.name() == name);
        found
            .ok_or_else(|| DevError::NoProcess(name.to_owned()))?
            .signal(signal)
    }

    /// Waits until a process ends, and forgets it. May be dropped and called again. The server
    /// stays in [`System::processes`], and its end is said again by each further call.
    pub async fn next_exit(&mut self) -> Exited {
        let mut waits: Vec<_> = std::iter::once(&mut self.server)
            .chain(&mut self.coordinators)
            .chain(&mut self.workers)
            .map(|process| Box::pin(process.wait()))
            .collect();
        let exited = loop {
            let (exited, _, others) = select_all(waits).await;
            if let Some(exited) = exited {
                break exited;
            }
            waits = others;
            if waits.is_empty() {
                std::future::pending::<()>().await;
            }
        };
        self.coordinators
            .retain(|process| process.pid() != exited.pid);
        self.workers.retain(|process| process.pid() != exited.pid);
        exited
    }

    /// Waits until a coordinator says that it leads, and returns its name.
    ///
    /// # Errors
    /// A coordinator ended, or none led in time.
    pub async fn until_led(&mut self) -> Result<String, DevError> {
        let led = async {
            loop {
                for process in &mut self.coordinators {
                    if let Some(exited) = process.ended() {
                        let what = format!("ended with {}", exited.status);
                        return Err(process.not_ready(what));
                    }
                }
                let subjects = self.broker.subjects();
                let answers = roll_call(self.broker.client(), subjects, ASK).await?;
                if let Some(leader) = leader(&answers) {
                    return Ok(leader.coordinator.clone());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(LEADER_READY, led).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let first = self.coordinators.first().unwrap_or(&self.server);
                Err(first.not_ready(format!(
                    "did not lead, and no other did, within {} s",
                    LEADER_READY.as_secs()
                )))
            }
        }
    }

    async fn make_queues(&self) -> Result<(), DevError> {
        for (queue, config) in &self.options.queues {
            if queue_record::newest(&self.broker, queue).await?.is_none() {
                queue_record::write(&self.broker, queue, Revision::new(1), config).await?;
            }
        }
        Ok(())
    }

    /// Ends the workers, then the coordinators, then the server, each asked first.
    pub async fn stop(self) -> Stopped {
        let mut killed = Vec::new();
        for group in [self.workers, self.coordinators, vec![self.server]] {
            let names: Vec<String> = group.iter().map(|p| p.name().to_owned()).collect();
            let ended = join_all(group.into_iter().map(|process| process.stop(GRACE))).await;
            let refused = names.into_iter().zip(ended).filter(|(_, ended)| !ended);
            killed.extend(refused.map(|(name, _)| name));
        }
        Stopped { killed }
    }
}

async fn start_server(
    binary: &NatsServerBinary,
    options: &SystemOptions,
    folder: &Folder,
) -> Result<(RunningProcess, String), DevError> {
    let spec = ProcessSpec {
        name: "nats-server".to_owned(),
        program: binary.path.clone(),
        arguments: nats_server::configure(folder, options.port, &options.server_config)?,
        variables: Vec::new(),
    };
    let mut process = RunningProcess::start(&spec, &options.coordinator, folder)?;
    let listening = async {
        loop {
            if let Some(exited) = process.ended() {
                return Err(process.not_ready(format!("ended with {}", exited.status)));
            }
            let found = nats_server::address(folder, &binary.path, process.pid());
            if let Some(address) = found {
                return Ok(address);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(SERVER_READY, listening).await {
        Ok(Ok(address)) => Ok((process, address)),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => {
            let what = format!("did not listen within {} s", SERVER_READY.as_secs());
            Err(process.not_ready(what))
        }
    }
}

async fn connect(address: &str, options: &SystemOptions) -> Result<Broker, DevError> {
    let settings = ConnectionSettings {
        server: Some(address.to_owned()),
        ..options.connection.clone()
    };
    let connection = Connection::resolve(&settings, &Environment::default())?;
    let client = connection.connect("dev").await?;
    Ok(connection.broker(client, Names::new(options.namespace.clone())))
}
