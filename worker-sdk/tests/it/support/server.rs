//! One nats-server with JetStream, on a port and a folder of its own.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

/// How long anything that must happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Below the ports that Linux takes for outgoing connections: a client that dials a dead one of
/// those may be given it as its own, and then talks to itself.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    /// Text of its configuration, beside address, port and store.
    config: String,
    running: Option<(Child, BufReader<ChildStderr>)>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    pub(crate) async fn start_with(config: &str) -> Self {
        let mut server = Self {
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            config: config.to_owned(),
            running: None,
        };
        server.start_again().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn start_again(&mut self) {
        let program = std::env::var("NATS_SERVER_BIN").unwrap_or_else(|_| "nats-server".to_owned());
        let config = self.folder.path().join("server.conf");
        std::fs::write(&config, &self.config).expect("its configuration");
        let mut child = Command::new(program)
            .args(["-js", "-a", "127.0.0.1", "-p"])
            .arg(self.port.to_string())
            .arg("-sd")
            .arg(self.folder.path())
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("nats-server: set NATS_SERVER_BIN or put it into PATH");
        let stderr = child.stderr.take().expect("it is piped");
        let mut log = BufReader::new(stderr);
        let ready = async {
            let mut line = String::new();
            while !line.contains("Server is ready") {
                line.clear();
                let read = log.read_line(&mut line).await.expect("its log");
                assert!(read > 0, "nats-server ended");
            }
        };
        tokio::time::timeout(PATIENCE, ready)
            .await
            .expect("nats-server is ready");
        // The pipe stays open: a server whose log cannot be written ends.
        self.running = Some((child, log));
    }

    /// The log since its start.
    pub(crate) async fn kill(&mut self) -> String {
        let (mut child, mut log) = self.running.take().expect("it runs");
        child.kill().await.expect("it can be killed");
        let mut text = String::new();
        log.read_to_string(&mut text).await.expect("its log");
        text
    }

    /// Returns once each of its threads stands still.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid().as_raw_nonzero());
        let runs = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat")));
            stat.is_ok_and(|stat| !stat.contains(") T "))
        };
        while std::fs::read_dir(&tasks).expect("its threads").any(runs) {
            std::thread::yield_now();
        }
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it takes signals");
    }

    fn pid(&self) -> Pid {
        let (child, _) = self.running.as_ref().expect("it runs");
        let pid = i32::try_from(child.id().expect("it runs")).expect("a process id");
        Pid::from_raw(pid).expect("a process id")
    }
}

fn free_port() -> u16 {
    let count = PORTS.end - PORTS.start;
    let start = RandomState::new().hash_one(0) % u64::from(count);
    let start = u16::try_from(start).expect("below a port");
    (0..count)
        .map(|step| PORTS.start + (start + step) % count)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
