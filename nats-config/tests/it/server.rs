//! Starts a nats-server in a temporary folder and stops it when dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

/// A running server.
pub(crate) struct Server {
    process: Child,
    log: Option<JoinHandle<()>>,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// One server with JetStream and no accounts.
    pub(crate) fn start() -> Self {
        Self::with_config("jetstream { store_dir: \"@STORE@\" }\n")
    }

    /// A server with `config`, in which `@STORE@` stands for its folder. Its port is chosen here.
    pub(crate) fn with_config(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("store");
        let text = config.replace("@STORE@", &store.to_string_lossy());
        Self::run(folder, &text, free_port())
    }

    fn run(folder: TempDir, config: &str, port: u16) -> Self {
        let path = folder.path().join("server.conf");
        let mut file = std::fs::File::create(&path).expect("a config file");
        write!(file, "listen: \"127.0.0.1:{port}\"\n{config}").expect("the config is written");
        let (process, log) = spawn(&path);
        Self {
            process,
            log: Some(log),
            port,
            folder,
        }
    }

    /// Starts a stopped server again on the same store and port.
    pub(crate) fn start_again(&mut self) {
        let (process, log) = spawn(&self.folder.path().join("server.conf"));
        self.process = process;
        self.log = Some(log);
    }

    /// Kills the server as `kill -9` does.
    pub(crate) fn stop(&mut self) {
        self.process.kill().expect("the server is killed");
        self.process.wait().expect("the server has ended");
        if let Some(log) = self.log.take() {
            log.join().expect("the log's reader has ended");
        }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A connection without credentials.
    pub(crate) async fn connect(&self) -> async_nats::Client {
        async_nats::connect(self.url())
            .await
            .expect("a connection to the server")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        if let Some(log) = self.log.take() {
            log.join().ok();
        }
    }
}

/// Starts the server and waits for its log to say that it is ready.
fn spawn(config: &std::path::Path) -> (Child, JoinHandle<()>) {
    let binary = std::env::var("NATS_SERVER_BIN").unwrap_or_else(|_| "nats-server".into());
    let mut process = Command::new(&binary)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {binary}: {error}; set NATS_SERVER_BIN"));
    let mut lines = BufReader::new(process.stderr.take().expect("stderr is piped")).lines();
    let mut seen = String::new();
    for line in lines.by_ref() {
        let line = line.expect("the server's log is text");
        seen.push_str(&line);
        seen.push('\n');
        if line.contains("Server is ready") {
            // Somebody must read on, or a full pipe stops the server.
            let log = std::thread::spawn(move || lines.for_each(drop));
            return (process, log);
        }
    }
    process.wait().expect("the server has ended");
    panic!("the server ended before it was ready:\n{seen}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
