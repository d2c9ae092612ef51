//! Starts and stops nats-servers for one test. Never shares one between tests.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use election::Broker;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

const READY_MAX: Duration = Duration::from_secs(20);

/// One server with JetStream; killed when dropped.
pub(crate) struct Server {
    dir: PathBuf,
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    logs: JoinSet<()>,
    /// Whether the server has said who of its cluster places streams.
    placing: watch::Receiver<bool>,
    /// The folder of a server that stands alone.
    _own_dir: Option<TempDir>,
}

impl Server {
    /// A server of its own on a free port.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--jetstream"]).await
    }

    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let dir = TempDir::new().expect("make a temporary folder");
        let arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let mut server = Self::stopped(dir.path(), free_ports(1)[0], arguments);
        server._own_dir = Some(dir);
        server.run().await;
        server
    }

    fn stopped(dir: &Path, port: u16, arguments: Vec<String>) -> Self {
        Self {
            dir: dir.to_owned(),
            port,
            arguments,
            child: None,
            logs: JoinSet::new(),
            placing: watch::channel(false).1,
            _own_dir: None,
        }
    }

    /// Starts the server, on the port and the files it had before, and waits until it is ready.
    pub(crate) async fn run(&mut self) {
        let binary = std::env::var("NATS_SERVER_BIN").unwrap_or_else(|_| "nats-server".to_owned());
        let mut child = Command::new(&binary)
            .args(["--addr", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--store_dir", &self.dir.to_string_lossy()])
            .args(&self.arguments)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("start {binary} (set NATS_SERVER_BIN): {error}"));
        let stderr = child.stderr.take().expect("stderr is piped");
        let mut log = BufReader::new(stderr).lines();
        let ready = tokio::time::timeout(READY_MAX, until_ready(&mut log)).await;
        ready.expect("nats-server is ready within 20 s");
        self.child = Some(child);
        let (says, said) = watch::channel(false);
        self.placing = said;
        self.logs.spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                if line.contains("metadata leader") {
                    says.send_replace(true);
                }
            }
        });
    }

    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().await.expect("kill the server");
    }

    /// Stops the server in its tracks, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(Child::id);
        let id = id.expect("the server runs").cast_signed();
        let pid = Pid::from_raw(id).expect("a process id");
        kill_process(pid, signal).expect("send a signal");
    }

    pub(crate) fn url(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn broker(&self) -> Broker {
        Broker::new(vec![self.address()], ConnectOptions::new())
    }

    pub(crate) fn address(&self) -> ServerAddr {
        self.url().parse().expect("an address")
    }

    pub(crate) async fn jetstream(&self) -> async_nats::jetstream::Context {
        let client = async_nats::connect(self.url()).await.expect("connect");
        async_nats::jetstream::new(client)
    }
}

async fn until_ready(log: &mut Lines<BufReader<ChildStderr>>) {
    let mut seen = Vec::new();
    while let Some(line) = log.next_line().await.expect("read the server's log") {
        if line.contains("Server is ready") {
            return;
        }
        seen.push(line);
    }
    panic!(
        "nats-server ended before it was ready:\n{}",
        seen.join("\n")
    );
}

/// Three servers of one cluster.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    _dir: TempDir,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new().expect("make a temporary folder");
        let ports = free_ports(6);
        let routes = ports[3..]
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"));
        let routes = routes.collect::<Vec<_>>().join(",");
        let mut servers = Vec::new();
        for place in 0..3 {
            let own = format!("nats://127.0.0.1:{}", ports[3 + place]);
            let arguments = [
                "--jetstream",
                "--name",
                &format!("n{place}"),
                "--cluster_name",
                "c",
                "--cluster",
                &own,
                "--routes",
                &routes,
            ];
            let arguments = arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect();
            let files = dir.path().join(place.to_string());
            servers.push(Server::stopped(&files, ports[place], arguments));
        }
        for server in &mut servers {
            server.run().await;
        }
        for server in &mut servers {
            let known = tokio::time::timeout(READY_MAX, server.placing.wait_for(|known| *known));
            let known = known.await.expect("the cluster elects within 20 s");
            drop(known.expect("the server runs"));
        }
        Self { servers, _dir: dir }
    }

    pub(crate) fn broker(&self) -> Broker {
        let addresses = self.servers.iter().map(Server::address).collect();
        Broker::new(addresses, ConnectOptions::new())
    }
}

/// Ports below those that the kernel hands out by itself, so that no connection takes one of them
/// between its choice and its use.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let candidates = std::iter::repeat_with(|| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = std::process::id().wrapping_mul(97).wrapping_add(step) % 20_000;
        10_000 + u16::try_from(place).expect("below 20,000")
    });
    let ports: Vec<u16> = candidates.take(20_000).filter(free).take(count).collect();
    assert_eq!(
        ports.len(),
        count,
        "no free ports between 10,000 and 30,000"
    );
    ports
}
