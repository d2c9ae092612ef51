//! One nats-server with JetStream, on a port and a folder of its own.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

/// How long anything that must happen may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    running: Option<(Child, BufReader<ChildStderr>)>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let mut server = Self {
            folder: tempfile::tempdir().expect("a folder"),
            port,
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
        let mut child = Command::new(program)
            .args(["-js", "-a", "127.0.0.1", "-p"])
            .arg(self.port.to_string())
            .arg("-sd")
            .arg(self.folder.path())
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

    pub(crate) async fn kill(&mut self) {
        let (mut child, _log) = self.running.take().expect("it runs");
        child.kill().await.expect("it can be killed");
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
