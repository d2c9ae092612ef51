//! The coordinators and workers of a run: each a process that is started again after it ended. It
//! keeps when each ended or stood still, and what it said. It chooses no fault.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use tokio::process::Command;

use crate::process::Process;
use crate::program::workspace_binary;
use crate::runs;
use crate::system::QUEUE;
use crate::wait::{eventually, within};

use super::altered::Alterations;
use super::faults::Action;
use super::stage::{LEASE_NAME, LEDGER_BYTES_MAX};

/// How long a process that was told to end may take: a worker lets its jobs end first.
const LEAVES_WITHIN: Duration = Duration::from_secs(20);

/// SIGKILL's number.
const KILL: i32 = Signal::KILL.as_raw();
/// SIGTERM's number.
const TERM: i32 = Signal::TERM.as_raw();

/// Written by either program when it could not go on.
const PANICKED: &str = "panicked at";
/// Where a panic is what a job asked for.
const ASKED: &str = "test-worker.rs";

/// What a member runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `coordinator run`.
    Coordinator,
    /// The tests' worker.
    Worker,
}

/// When a process stood still.
#[derive(Debug, Clone, Copy)]
pub struct Pause {
    /// Its process.
    pub pid: u32,
    /// From, since boot.
    pub from: Duration,
    /// Until, since boot.
    pub until: Duration,
}

/// One of the processes.
pub struct Member {
    /// Its name.
    pub name: String,
    program: Program,
    folder: PathBuf,
    /// The addresses of its lines to the servers.
    urls: Vec<String>,
    /// What explains that it ended by itself.
    alterations: Alterations,
    process: Option<Process>,
    starts: usize,
    /// When it was started last, since boot.
    started: Duration,
    /// The processes that ended, and when at the latest.
    pub ended: Vec<(u32, Duration)>,
    /// When it stood still.
    pub pauses: Vec<Pause>,
    /// What no fault explains.
    pub wrong: Vec<String>,
}

impl Member {
    /// A member that does not run yet, and connects by these addresses.
    #[must_use]
    pub fn new(
        (name, program): (&str, Program),
        folder: PathBuf,
        urls: Vec<String>,
        alterations: Alterations,
    ) -> Self {
        Self {
            name: name.to_owned(),
            program,
            folder,
            urls,
            alterations,
            process: None,
            starts: 0,
            started: Duration::ZERO,
            ended: Vec::new(),
            pauses: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Starts it; `armed` is a fail point and what happens there.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&mut self, armed: Option<(&str, Action)>) -> Result<()> {
        if self.process.is_some() {
            bail!("{} runs already", self.name);
        }
        self.starts += 1;
        let mut command = self.command()?;
        let log = format!("{}-{}.points", self.name, self.starts);
        command.env("FAIL_POINT_LOG", self.folder.join(log));
        if let Some((point, action)) = armed {
            command.env("FAIL_POINT", format!("{point}={}", action.as_str()));
        }
        self.started = runs::now();
        self.process = Some(Process::start(&self.name, command)?);
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let (url, name) = (self.urls.join(","), &self.name);
        let mut command;
        match self.program {
            Program::Coordinator => {
                command = Command::new(workspace_binary("coordinator")?);
                command.env_clear().args(["--server", &url, "run"]);
                command.args(["--name", name, "--lease", LEASE_NAME]);
                command.args(["--replicas", &self.urls.len().to_string()]);
                command.args(["--ledger-max-bytes", &LEDGER_BYTES_MAX.to_string()]);
            }
            Program::Worker => {
                command = Command::new(workspace_binary("test-worker")?);
                command.args(["--server", &url, "--name", name, "--slots", "32"]);
                command.args(["--queue", QUEUE, "--patience", "200", "--log"]);
                // A log for each process: a line that a kill tore is the last one of its file.
                let log = format!("{name}-{}.jsonl", self.starts);
                command.arg(runs::folder(&self.folder).join(log));
            }
        }
        Ok(command)
    }

    /// Starts it again where it has ended without a fault. Returns whether it had.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn mend(&mut self) -> Result<bool> {
        let over = match &mut self.process {
            Some(process) => process.status()?.is_some(),
            None => true,
        };
        if over {
            self.ended_by_itself();
            self.bury();
            self.start(None)?;
        }
        Ok(over)
    }

    /// After it was armed: starts it again where it has ended, else kills and starts it, so that it
    /// is armed no longer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn disarm(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process {
            match process.status()? {
                None => {
                    process.kill().await?;
                }
                Some(status) if status.signal() == Some(KILL) => {}
                Some(_) => self.ended_by_itself(),
            }
            self.bury();
        }
        self.start(None)
    }

    fn running(&mut self) -> Result<&mut Process> {
        let name = &self.name;
        self.process
            .as_mut()
            .with_context(|| format!("{name} does not run"))
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&mut self) -> Result<u32> {
        let pid = self.running()?.pid().as_raw_nonzero().get();
        u32::try_from(pid).context("a process id is positive")
    }

    /// The process is over, and no signal of ours ended it: wrong, unless it says that it found what a
    /// foreign hand had altered then.
    fn ended_by_itself(&mut self) {
        if let Some(process) = self.process.as_ref().filter(|_| !self.is_explained()) {
            let text = format!("{} ended by itself: {}", self.name, process.tail());
            self.wrong.push(text);
        }
    }

    fn is_explained(&self) -> bool {
        let lines = self.process.as_ref().map(Process::heard_out);
        let lines = lines.unwrap_or_default();
        let texts = lines.iter().map(|line| line.text.as_str());
        (self.alterations).explain(texts, (self.started, runs::now()))
    }

    /// The process is over: keeps when, and what it said of a panic.
    fn bury(&mut self) {
        let pid = self.pid();
        let Some(process) = self.process.take() else {
            return;
        };
        if let Ok(pid) = pid {
            self.ended.push((pid, runs::now()));
        }
        let panics = process.lines().into_iter();
        let panics =
            panics.filter(|line| line.text.contains(PANICKED) && !line.text.contains(ASKED));
        let name = &self.name;
        self.wrong
            .extend(panics.map(|line| format!("{name}: {}", line.text)));
        let log = self.folder.join(format!("{name}-{}.log", self.starts));
        let lines: Vec<String> = process.lines().into_iter().map(|line| line.text).collect();
        if let Err(error) = std::fs::write(&log, lines.join("\n")) {
            self.wrong
                .push(format!("the log of {name} is lost: {error}"));
        }
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> Result<()> {
        let killed = self.running()?.kill().await;
        self.bury();
        killed.map(drop)
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it does not run, or cannot be killed after it did not end.
    pub async fn end(&mut self) -> Result<()> {
        let name = self.name.clone();
        if self.running()?.status()?.is_some() {
            self.ended_by_itself();
            self.bury();
            return Ok(());
        }
        let ended = self.running()?.terminate(LEAVES_WITHIN).await;
        match &ended {
            // One that has just been started does not listen to the signal yet.
            Ok(status)
                if !status.success() && status.signal() != Some(TERM) && !self.is_explained() =>
            {
                self.wrong.push(format!("{name} was told to end: {status}"));
            }
            Ok(_) => {}
            Err(_) => {
                let text = format!("{name} did not end within {LEAVES_WITHIN:?} of SIGTERM");
                self.wrong.push(text);
                self.running()?.kill().await?;
            }
        }
        self.bury();
        Ok(())
    }

    /// SIGSTOP; SIGCONT comes after `span`.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn stand_still(&mut self, span: Duration) -> Result<()> {
        let pid = self.pid()?;
        self.running()?.pause()?;
        let from = runs::now();
        crate::wait::until(std::time::Instant::now() + span).await;
        // What it does after this moment, it does after it was woken.
        let until = runs::now();
        self.running()?.resume()?;
        self.pauses.push(Pause { pid, from, until });
        Ok(())
    }

    /// Waits until it comes to the fail point that it was armed with: then it is dead, or stands
    /// still and is woken after `span`.
    ///
    /// # Errors
    /// When it does not come there in time.
    pub async fn comes_to_its_point(
        &mut self,
        action: Action,
        limit: Duration,
        span: Duration,
    ) -> Result<()> {
        let pid = self.pid()?;
        match action {
            Action::Kill => {
                let status = self.running()?.wait_exit(limit).await?;
                let came = status.signal() == Some(KILL);
                if !came {
                    self.ended_by_itself();
                }
                self.bury();
                if !came {
                    bail!("{} ended before it came there: {status}", self.name);
                }
            }
            Action::Stop => {
                let raw = self.running()?.pid();
                let options =
                    WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                eventually(
                    "the stop at a fail point",
                    limit,
                    async || match rustix::process::waitid(WaitId::Pid(raw), options) {
                        Ok(Some(status)) if status.stopped() => Ok(()),
                        other => Err(format!("{other:?}")),
                    },
                )
                .await?;
                // It stands still since a look ago at most.
                let from = runs::now();
                crate::wait::until(std::time::Instant::now() + span).await;
                let until = runs::now();
                self.running()?.send(Signal::CONT)?;
                self.pauses.push(Pause { pid, from, until });
            }
            Action::Pause => {
                let process = self.running()?;
                within(
                    "the pause at a fail point",
                    limit,
                    process.wait_for_line("fail point", limit),
                )
                .await??;
            }
        }
        Ok(())
    }
}
