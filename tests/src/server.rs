//! One real nats-server with JetStream in a temporary folder.
//!
//! It never creates streams or users of ours: those come from `nats-config`, as for any operator.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::Command;

use crate::port::Port;
use crate::process::Process;
use crate::program;
use crate::roles;
use crate::wait::{PATIENCE, within};

/// Written by nats-server once it takes connections.
const READY_LINE: &str = "Server is ready";

/// Whether the server has JetStream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JetStream {
    /// With a store in the server's folder.
    #[default]
    On,
    /// A server that knows core messages alone.
    Off,
}

/// What differs from a plain server.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// The name of the server; `n1` by default.
    pub name: Option<String>,
    /// JetStream on or off.
    pub jetstream: JetStream,
    /// Room for JetStream on disk, in bytes; the server's own choice by default.
    pub max_store: Option<u64>,
    /// Where JetStream stores; in the server's folder by default.
    pub store: Option<PathBuf>,
    /// `always` or a duration such as `2m`: when the store is synced to disk.
    pub sync_interval: Option<String>,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// Its profiles can be read at a port of their own: see [`Server::profile_port`].
    pub profile: bool,
    /// In a cluster: clients are told of no other server than those that they know.
    pub no_advertise: bool,
    /// Configuration text put after ours: accounts, permissions, limits.
    pub snippet: String,
    /// A configuration file to run instead of ours. Address, port, name and store are still ours.
    pub config_file: Option<PathBuf>,
    /// The program to start instead of the one that is found; an old version, for instance.
    pub program: Option<PathBuf>,
}

/// The place of a server among others.
pub(crate) struct Routes {
    pub(crate) own: Port,
    /// Where it dials the servers of the cluster.
    pub(crate) all: Vec<u16>,
    /// Where others are told to dial it; nobody listens there, so that they dial by their own lists
    /// alone.
    pub(crate) advertised: Option<Port>,
}

/// A nats-server and its folder. Both are gone when it is dropped, unless a test is failing.
pub struct Server {
    name: String,
    program: PathBuf,
    config: PathBuf,
    overrides: Vec<String>,
    folder: Option<TempDir>,
    port: Port,
    routes: Option<Routes>,
    profile: Option<Port>,
    process: Option<Process>,
    /// What it refused by the roles' permissions.
    refused: Vec<String>,
}

impl Server {
    /// Starts one with a default configuration.
    ///
    /// # Errors
    /// When no nats-server is found or it does not come up.
    pub async fn start() -> Result<Self> {
        Self::start_with(ServerOptions::default()).await
    }

    /// Starts one.
    ///
    /// # Errors
    /// When no nats-server is found or it does not come up.
    pub async fn start_with(options: ServerOptions) -> Result<Self> {
        let mut server = Self::prepare(&options, None)?;
        server.start_again().await?;
        Ok(server)
    }

    pub(crate) fn prepare(options: &ServerOptions, routes: Option<Routes>) -> Result<Self> {
        let program = match &options.program {
            Some(program) => program.clone(),
            None => program::nats_server()?,
        };
        let name = options.name.clone().unwrap_or_else(|| "n1".to_owned());
        let folder = tempfile::Builder::new()
            .prefix(&format!("nats-{name}-"))
            .tempdir()
            .context("make a folder for the server")?;
        let port = Port::take()?;
        let profile = options.profile.then(Port::take).transpose()?;
        let mut overrides = Vec::new();
        if let Some(profile) = &profile {
            overrides.extend(["--profile".to_owned(), profile.number().to_string()]);
        }
        let config = if let Some(file) = &options.config_file {
            let store = folder.path().display();
            overrides.extend(["-a", "127.0.0.1", "-p"].map(str::to_owned));
            overrides.extend([port.number().to_string(), "-n".to_owned(), name.clone()]);
            overrides.extend(["-sd".to_owned(), store.to_string()]);
            if let Some(routes) = &routes {
                let own = format!("nats://127.0.0.1:{}", routes.own.number());
                overrides.extend(["--cluster".to_owned(), own]);
                overrides.extend(["--routes".to_owned(), route_urls(&routes.all).join(",")]);
            }
            file.clone()
        } else {
            let path = folder.path().join("server.conf");
            let mut text = config_text(options, &name, port.number(), folder.path())?;
            if let Some(routes) = &routes {
                let advertised = routes.advertised.as_ref().map(Port::number);
                let advertised =
                    advertised.map(|port| format!("advertise: \"127.0.0.1:{port}\", "));
                writeln!(
                    text,
                    "cluster {{ name: C, listen: \"127.0.0.1:{}\", {}no_advertise: {}, routes: [ {} ] }}",
                    routes.own.number(),
                    advertised.unwrap_or_default(),
                    options.no_advertise,
                    route_urls(&routes.all).join(", ")
                )?;
            }
            std::fs::write(&path, text).context("write the configuration of the server")?;
            path
        };
        Ok(Self {
            name,
            program,
            config,
            overrides,
            folder: Some(folder),
            port,
            routes,
            profile,
            process: None,
            refused: Vec::new(),
        })
    }

    /// Starts it, or starts it again on its port and store after [`Server::kill`] or [`Server::stop`].
    ///
    /// # Errors
    /// When it runs already or does not come up.
    pub async fn start_again(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready().await
    }

    /// Runs another program from the next start on: a newer version.
    pub fn upgrade(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// Starts it again where it does not run, whoever ended it; returns when it takes connections.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn raise(&mut self) -> Result<()> {
        let ended = match &mut self.process {
            Some(process) => process.status()?.is_some(),
            None => true,
        };
        if ended {
            self.bury();
            self.spawn()?;
        }
        self.ready().await
    }

    pub(crate) fn spawn(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("{} runs already", self.name);
        }
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&self.config).args(&self.overrides);
        self.process = Some(Process::start(
            &format!("nats-server {}", self.name),
            command,
        )?);
        Ok(())
    }

    pub(crate) async fn ready(&mut self) -> Result<()> {
        self.running()?.wait_for_line(READY_LINE, PATIENCE).await?;
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Process> {
        match &mut self.process {
            Some(process) => Ok(process),
            None => bail!("{} is not running", self.name),
        }
    }

    /// The address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.number())
    }

    /// The name of the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port for the other servers of its cluster.
    #[must_use]
    pub fn route_port(&self) -> Option<u16> {
        self.routes.as_ref().map(|routes| routes.own.number())
    }

    /// The port on 127.0.0.1 for its profiles, where it was asked for.
    #[must_use]
    pub fn profile_port(&self) -> Option<u16> {
        self.profile.as_ref().map(Port::number)
    }

    /// Its process, while it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Its folder: configuration and store.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// A connection that may do everything.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn connect(&self) -> Result<async_nats::Client> {
        Box::pin(self.connect_with(roles::connect_options(None))).await
    }

    /// A connection with options of one's own.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn connect_with(
        &self,
        options: async_nats::ConnectOptions,
    ) -> Result<async_nats::Client> {
        let what = format!("a connection to {}", self.name);
        let client = within(&what, PATIENCE, options.connect(self.url())).await??;
        Ok(client)
    }

    /// What it refused by the roles' permissions before it was killed or stopped. It is forgotten
    /// then: what is left fails the test when the server is dropped.
    pub fn take_refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    /// The process is over; what it refused is kept.
    fn bury(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        // Dropped, it shows the end of its output when a test is failing.
        if roles::on() && !std::thread::panicking() {
            let lines = process.last_words();
            let texts = lines.iter().map(|line| line.text.as_str());
            self.refused.extend(roles::refusals(texts));
        }
    }

    /// SIGKILL; the store stays. Returns the moment before the signal.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&mut self) -> Result<Instant> {
        let at = self.running()?.kill().await?;
        self.bury();
        Ok(at)
    }

    /// SIGTERM, and waits for its end; the store stays.
    ///
    /// # Errors
    /// When it is not running or does not end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        let status = self.running()?.terminate(PATIENCE).await?;
        self.bury();
        Ok(status)
    }

    /// SIGSTOP. Returns the moment before the signal.
    ///
    /// # Errors
    /// When it is not running.
    pub fn pause(&mut self) -> Result<Instant> {
        self.running()?.pause()
    }

    /// SIGCONT. Returns the moment before the signal.
    ///
    /// # Errors
    /// When it is not running.
    pub fn resume(&mut self) -> Result<Instant> {
        self.running()?.resume()
    }

    /// Reads its configuration anew (SIGHUP), and waits until it says so.
    ///
    /// # Errors
    /// When it is not running or refuses the new configuration.
    pub async fn reload(&mut self) -> Result<()> {
        let process = self.running()?;
        let mark = process.mark();
        process.send(rustix::process::Signal::HUP)?;
        process
            .wait_for_line_after(
                mark,
                "Reloaded server configuration",
                Duration::from_secs(10),
            )
            .await?;
        Ok(())
    }
}

fn route_urls(ports: &[u16]) -> Vec<String> {
    ports
        .iter()
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .collect()
}

fn config_text(options: &ServerOptions, name: &str, port: u16, folder: &Path) -> Result<String> {
    let mut text = format!("server_name: {name}\nlisten: \"127.0.0.1:{port}\"\n");
    if options.jetstream == JetStream::On {
        write!(
            text,
            "jetstream {{\n  store_dir: \"{}\"\n",
            options.store.as_deref().unwrap_or(folder).display()
        )?;
        if let Some(bytes) = options.max_store {
            writeln!(text, "  max_file_store: {bytes}")?;
        }
        if let Some(interval) = &options.sync_interval {
            writeln!(text, "  sync_interval: {interval}")?;
        }
        if let Some(domain) = &options.domain {
            writeln!(text, "  domain: {domain}")?;
        }
        text.push_str("}\n");
    }
    text.push_str(&options.snippet);
    text.push('\n');
    text.push_str(&roles::server_config());
    text.push('\n');
    Ok(text)
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process first: it must not write into a folder that is being removed.
        self.bury();
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            show_folder(&self.name, &folder.keep());
        }
        let refused = &self.refused;
        assert!(
            std::thread::panicking() || refused.is_empty(),
            "{} refused what a role needs, or a program did what its role may not: {refused:#?}",
            self.name
        );
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a failing test says where the store of its server is"
)]
fn show_folder(name: &str, folder: &Path) {
    eprintln!(
        "the folder of nats-server {name} is kept: {}",
        folder.display()
    );
}
