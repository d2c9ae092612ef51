//! One process of a local system: started so that it dies with us, with a log file of its own,
//! signalled and ended by name.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::error::DevError;
use super::folder::Folder;

/// How much of a log an error shows.
const TAIL_LINES: usize = 12;

/// Variables that would lead a child elsewhere than to the system it belongs to.
const CLEARED: [&str; 16] = [
    "NATS_URL",
    "NATS_USER",
    "NATS_PASSWORD",
    "NATS_TOKEN",
    "NATS_CREDS",
    "NATS_NKEY",
    "NATS_JWT",
    "NATS_SEED",
    "NATS_CERT",
    "NATS_KEY",
    "NATS_CA",
    "NATS_TIMEOUT",
    "NATS_SOCKS_PROXY",
    "NATS_CONTEXT",
    "COORDINATOR_NAME",
    "COORDINATOR_CONFIG",
];

/// What to start.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// What it is called: in errors, in `kill`, and as its log file.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables set beside those of this process.
    pub variables: Vec<(String, String)>,
}

/// A process that was started and not seen to end.
#[derive(Debug)]
pub struct RunningProcess {
    name: String,
    pid: u32,
    log: PathBuf,
    child: Child,
}

/// A process that ended.
#[derive(Debug, Clone)]
pub struct Exited {
    /// Which.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// How.
    pub status: ExitStatus,
    /// Its log file.
    pub log: PathBuf,
}

impl RunningProcess {
    /// Starts it through `coordinator`, which makes it die with us.
    ///
    /// The system ends it when the *thread* that calls this ends: call it from the main thread or
    /// from one that lives as long.
    pub(super) fn start(
        spec: &ProcessSpec,
        coordinator: &Path,
        folder: &Folder,
    ) -> Result<Self, DevError> {
        let log = folder.log(&spec.name);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(DevError::files("write", log.clone()))?;
        let copy = file
            .try_clone()
            .map_err(DevError::files("write", log.clone()))?;
        let spawn_error = |error| DevError::Spawn {
            name: spec.name.clone(),
            program: spec.program.clone(),
            error,
        };
        if !spec.program.is_file() {
            return Err(spawn_error(std::io::ErrorKind::NotFound.into()));
        }
        let mut command = Command::new(coordinator);
        command
            .arg("with-parent")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&spec.program)
            .args(&spec.arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(copy)
            .stderr(file)
            // A group of its own: Ctrl-C on the terminal reaches us alone, and we end all in order.
            .process_group(0)
            .kill_on_drop(true);
        for name in CLEARED {
            command.env_remove(name);
        }
        for (name, value) in &spec.variables {
            command.env(name, value);
        }
        let child = command.spawn().map_err(spawn_error)?;
        let pid = child
            .id()
            .expect("a child that nobody waited for has an id");
        Ok(Self {
            name: spec.name.clone(),
            pid,
            log,
            child,
        })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<Exited> {
        // An error means that it can no longer be asked, and it is not ours to guess.
        let status = self.child.try_wait().ok().flatten()?;
        Some(self.exited(status))
    }

    /// Waits until it ends. May be dropped and called again.
    pub(super) async fn wait(&mut self) -> Option<Exited> {
        let status = self.child.wait().await.ok()?;
        Some(self.exited(status))
    }

    fn exited(&self, status: ExitStatus) -> Exited {
        Exited {
            name: self.name.clone(),
            pid: self.pid,
            status,
            log: self.log.clone(),
        }
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), DevError> {
        // The id is still ours: a process that nobody waited for keeps it.
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| DevError::NoProcess(self.name.clone()))?;
        kill_process(pid, signal).map_err(|error| DevError::Signal {
            name: self.name.clone(),
            signal,
            error,
        })
    }

    /// Asks it to end, waits up to `grace`, then kills it. `true`: it ended by itself.
    pub(super) async fn stop(mut self, grace: Duration) -> bool {
        if self.ended().is_some() {
            return true;
        }
        // A stopped process hears nothing else.
        let asked = self.signal(Signal::TERM).and(self.signal(Signal::CONT));
        if asked.is_ok() {
            let ended = tokio::time::timeout(grace, self.child.wait()).await;
            if ended.is_ok() {
                return true;
            }
        }
        if let Err(error) = self.child.kill().await {
            tracing::warn!(name = self.name, pid = self.pid, %error, "a process could not be killed");
        }
        false
    }

    /// Why it is not ready, with the end of its log.
    pub(super) fn not_ready(&self, what: impl Into<String>) -> DevError {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        DevError::NotReady {
            name: self.name.clone(),
            what: what.into(),
            log: self.log.clone(),
            tail,
        }
    }
}
