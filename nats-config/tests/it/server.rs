//! Starts nats-servers in temporary folders and stops them when dropped.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nats_config::Role;
use tempfile::TempDir;

/// How long anything that a test waits for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration that operators are given for one server.
const SINGLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/server/single.conf");
const ACCOUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/server/accounts.conf");
const DEV_ENV: &str = include_str!("../../server/dev.env");

/// A running server.
pub(crate) struct Server {
    process: Child,
    log: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// One server with JetStream and no accounts.
    pub(crate) fn start() -> Self {
        Self::with_config("jetstream { store_dir: \"@STORE@\" }\n")
    }

    /// A server with `config`, in which `@STORE@` stands for its folder. Its port is chosen by the
    /// system and kept from then on.
    pub(crate) fn with_config(config: &str) -> Self {
        let server = Self::spawn(config);
        server.wait_for_log("Server is ready");
        server
    }

    /// The server that `server/single.conf` describes, with the users of `permissions.conf` and the
    /// passwords of `dev.env`, on a port and in a folder of its own.
    pub(crate) fn with_roles() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = program();
        command
            .args(["-a", "127.0.0.1", "-p", "-1", "-c", SINGLE])
            .current_dir(folder.path())
            .envs(Role::ALL.map(|role| (role.password_variable(), password(role))));
        let server = Self::run(command, folder);
        server.wait_for_log("Server is ready");
        server
    }

    /// The same with the accounts of `accounts.conf`.
    pub(crate) fn with_accounts() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("single.conf");
        let single = std::fs::read_to_string(SINGLE).expect("it is there");
        let single = single.replace("permissions.conf", "accounts.conf");
        std::fs::write(&path, single).expect("it is written");
        std::fs::copy(ACCOUNTS, folder.path().join("accounts.conf")).expect("it is copied");
        let mut command = program();
        command
            .args(["-a", "127.0.0.1", "-p", "-1", "-c"])
            .arg(path)
            .current_dir(folder.path())
            .envs(Role::ALL.map(|role| (role.password_variable(), password(role))));
        let server = Self::run(command, folder);
        server.wait_for_log("Server is ready");
        server
    }

    /// A connection as a user of a role on a server [`Self::with_roles`] or [`Self::with_accounts`].
    pub(crate) async fn connect_as(&self, role: Role) -> async_nats::Client {
        async_nats::ConnectOptions::with_user_and_password(role.user().into(), password(role))
            .custom_inbox_prefix(role.inbox_prefix())
            .connect(self.url())
            .await
            .expect("a connection of the role")
    }

    fn spawn(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("store");
        let path = folder.path().join("server.conf");
        let text = config.replace("@STORE@", &store.to_string_lossy());
        let write = |port: &str| {
            std::fs::write(&path, format!("listen: \"127.0.0.1:{port}\"\n{text}"))
                .expect("the config is written");
        };
        write("-1");
        let server = Self::run(with_file(&path), folder);
        write(&server.port.to_string());
        server
    }

    /// Starts a server and reads its port from its log.
    fn run(command: Command, folder: TempDir) -> Self {
        let (process, log, reader) = start(command);
        let mut server = Self {
            process,
            log,
            reader: Some(reader),
            port: 0,
            folder,
        };
        let line = server.wait_for_log("Listening for client connections on");
        let (_, port) = line.rsplit_once(':').expect("the line ends with a port");
        server.port = port.parse().expect("a port is a number");
        server
    }

    /// Starts a stopped server again on the same store and port.
    pub(crate) fn start_again(&mut self) {
        let config = self.folder.path().join("server.conf");
        let (process, log, reader) = start(with_file(&config));
        self.process = process;
        self.log = log;
        self.reader = Some(reader);
        self.wait_for_log("Server is ready");
    }

    /// Kills the server as `kill -9` does.
    pub(crate) fn stop(&mut self) {
        self.process.kill().expect("the server is killed");
        self.process.wait().expect("the server has ended");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log's reader has ended");
        }
    }

    /// Waits for a line of the log that holds `text`.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no log line with {text:?}: {error}\n{}", seen.join("\n")),
            }
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
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

/// A cluster of three servers with JetStream and an elected leader of its metadata. It may still
/// leave a first request unanswered.
pub(crate) fn cluster() -> [Server; 3] {
    let routes = [free_port(), free_port(), free_port()];
    let all: Vec<String> = routes
        .iter()
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .collect();
    let servers = [1, 2, 3].map(|n| {
        Server::spawn(&format!(
            "server_name: s{n}\njetstream {{ store_dir: \"@STORE@\" }}\ncluster {{ name: c, listen: \"127.0.0.1:{}\", routes: [{}] }}\n",
            routes[n - 1],
            all.join(", ")
        ))
    });
    for server in &servers {
        server.wait_for_log("metadata leader");
    }
    servers
}

fn program() -> Command {
    Command::new(std::env::var("NATS_SERVER_BIN").unwrap_or_else(|_| "nats-server".into()))
}

fn with_file(config: &Path) -> Command {
    let mut command = program();
    command.arg("--config").arg(config);
    command
}

/// The password of a role in `dev.env`.
pub(crate) fn password(role: Role) -> String {
    let start = format!("{}=", role.password_variable());
    let password = DEV_ENV.lines().find_map(|line| line.strip_prefix(&start));
    password.expect("each role has one").to_owned()
}

/// Starts the server; its log comes line by line.
fn start(mut command: Command) -> (Child, Receiver<String>, JoinHandle<()>) {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}; set NATS_SERVER_BIN"));
    let lines = BufReader::new(process.stderr.take().expect("stderr is piped")).lines();
    let (sender, log) = channel();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // A test that no longer listens still needs the pipe emptied.
            sender.send(line).ok();
        }
    });
    (process, log, reader)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
