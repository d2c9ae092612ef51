//! A real nats-server for one test.

use std::process::Stdio;
use std::time::Duration;

use coordinator::dev::NatsServerBinary;
use nats_config::connection::{Connection, ConnectionSettings, Environment};
use nats_config::{Broker, Ledger, Mode, Names, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

const READY: Duration = Duration::from_secs(20);

/// A server with a configuration of its own; it goes with the value.
pub(crate) struct Server {
    pub(crate) port: u16,
    _process: Child,
    // Held: a server whose stderr is closed ends at its next line.
    _log: Lines<BufReader<ChildStderr>>,
    _dir: TempDir,
}

impl Server {
    /// With JetStream and nothing else.
    pub(crate) async fn start() -> Self {
        Self::with("jetstream { store_dir: \"store\" }").await
    }

    /// With these lines of configuration.
    pub(crate) async fn with(lines: &str) -> Self {
        let found = NatsServerBinary::find(None, &Environment::of_process());
        let binary = found.expect("a nats-server: run the tests by ./x test");
        let dir = TempDir::new().expect("a temporary folder");
        let config = dir.path().join("nats.conf");
        std::fs::write(&config, format!("listen: \"127.0.0.1:-1\"\n{lines}\n")).expect("the file");
        let mut process = Command::new(binary.path)
            .arg("--config")
            .arg(config)
            .current_dir(dir.path())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("nats-server starts");
        let log = process.stderr.take().expect("it is piped");
        let mut log = BufReader::new(log).lines();
        let listening = async {
            let mut port = None;
            let mut said = Vec::new();
            while let Some(line) = log.next_line().await.expect("its log is text") {
                if let Some((_, found)) = line.split_once("client connections on 127.0.0.1:") {
                    port = found.trim().parse().ok();
                }
                if let (Some(port), true) = (port, line.contains("Server is ready")) {
                    return port;
                }
                said.push(line);
            }
            panic!("nats-server ended: {said:#?}");
        };
        let port = tokio::time::timeout(READY, listening).await;
        let port = port.expect("nats-server listens within 20 s");
        Self {
            port,
            _process: process,
            _log: log,
            _dir: dir,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A connection of the test itself.
    pub(crate) async fn broker(&self) -> Broker {
        let settings = ConnectionSettings {
            server: Some(self.address()),
            ..ConnectionSettings::default()
        };
        let connection = Connection::resolve(&settings, &Environment::default());
        let connection = connection.expect("the settings are right");
        let client = connection.connect("test").await.expect("a connection");
        connection.broker(client, Names::default())
    }

    /// Makes the streams, as a coordinator does.
    pub(crate) async fn provisioned(self) -> Self {
        let settings = Settings {
            ledger_bytes_max: 1 << 24,
            work_bytes_max: 1 << 24,
            ..Settings::default()
        };
        let broker = self.broker().await;
        let made = broker.provision(&settings, Mode::Create, Ledger::MayBeNew);
        made.await.expect("the streams are made");
        self
    }
}
