//! The processes of a demo: one NATS server, three coordinators, four workers, and the workers'
//! logs.

use std::path::Path;

use anyhow::{Context, Result};
use coordinator::dev::{Exited, ProcessSpec, Signal, System, SystemOptions};
use nats_config::connection::Environment;
use nats_config::{Broker, Role};

use crate::demo::arguments::Arguments;
use crate::demo::clock::{self, Instants};
use crate::demo::plan::{Pace, WORKERS};
use crate::demo::runs::{Line, Tail};
use crate::program::workspace_binary;
use crate::roles;

/// The system, and where its workers write what they do.
pub(super) struct Cast {
    system: System,
    pace: Pace,
    logs: Vec<(Member, Tail)>,
}

struct Member {
    name: String,
    pid: u32,
}

impl Cast {
    /// Starts all processes.
    pub(super) async fn start(arguments: &Arguments, pace: Pace, folder: &Path) -> Result<Self> {
        let worker = workspace_binary("invoice-worker")?;
        let options = SystemOptions {
            nats_server: arguments.nats_server.clone(),
            data_dir: Some(folder.to_owned()),
            coordinator_arguments: ["--lease", "stable"]
                .map(str::to_owned)
                .into_iter()
                .chain(roles::arguments(Some(Role::Coordinator)))
                .collect(),
            server_config: roles::server_config(),
            connection: roles::settings(None),
            ..SystemOptions::new(workspace_binary("coordinator")?)
        };
        let mut system = System::start(options, &Environment::of_process()).await?;
        let variables = worker_variables(folder)?;
        let mut logs = Vec::new();
        for number in 1..=WORKERS {
            let name = format!("w-{number}");
            let log = folder.join(format!("{name}.jsonl"));
            let arguments = [
                ("--name", name.clone()),
                ("--slots", pace.slots.to_string()),
                ("--log", log.display().to_string()),
                (
                    "--work-ms",
                    format!("{}..{}", pace.work_ms_min, pace.work_ms_max),
                ),
            ];
            system.add_worker(ProcessSpec {
                name: name.clone(),
                program: worker.clone(),
                arguments: arguments
                    .into_iter()
                    .flat_map(|(flag, value)| [flag.to_owned(), value])
                    .collect(),
                variables: variables.clone(),
            })?;
            let pid = system.workers().last().map_or(0, |worker| worker.pid());
            logs.push((Member { name, pid }, Tail::new(log)));
        }
        Ok(Self { system, pace, logs })
    }

    /// Who plays, a line each.
    pub(super) fn introduction(&self) -> [String; 2] {
        let Pace {
            slots,
            work_ms_min,
            work_ms_max,
        } = self.pace;
        let slots = match slots {
            1 => "1 slot".to_owned(),
            many => format!("{many} slots"),
        };
        [
            format!(
                "NATS {} at {}, {} coordinators, {} workers with {slots} each",
                self.system.nats_server().version,
                self.system.address(),
                self.system.coordinators().len(),
                self.system.workers().len()
            ),
            format!("each check is drawn out to last {work_ms_min} to {work_ms_max} ms"),
        ]
    }

    pub(super) const fn broker(&self) -> &Broker {
        self.system.broker()
    }

    /// The connection of who submits: the system's own in the normal mode of the tests.
    pub(super) async fn submitter(&self) -> Result<Broker> {
        if !roles::on() {
            return Ok(self.broker().clone());
        }
        let options = roles::connect_options(Some(Role::TrustedSubmitter));
        let client = options.connect(self.system.address()).await?;
        let broker = Broker::new(client, self.broker().names().clone());
        Ok(broker.with_api_prefix(&roles::api_prefix(Some(Role::TrustedSubmitter))))
    }

    /// What the server refused by its permissions, if there are any.
    pub(super) fn refused(&self) -> Result<Vec<String>> {
        if !roles::on() {
            return Ok(Vec::new());
        }
        let mut refused = Vec::new();
        if let Some(server) = self.system.processes().next() {
            let text = std::fs::read_to_string(server.log()).context("read the server's log")?;
            refused.extend(roles::refusals(text.lines()));
        }
        Ok(refused)
    }

    /// The new lines of all workers' logs.
    pub(super) fn read_logs(&mut self) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (_, log) in &mut self.logs {
            lines.extend(log.read()?);
        }
        Ok(lines)
    }

    /// The worker whose process this is, dead or alive.
    pub(super) fn worker_named(&self, pid: u32) -> Option<String> {
        let found = self.logs.iter().find(|(member, _)| member.pid == pid);
        found.map(|(member, _)| member.name.clone())
    }

    /// Kills a process, and returns the moment right before.
    pub(super) fn kill(&self, name: &str) -> Result<Instants> {
        let at = clock::now();
        self.system.signal(name, Signal::KILL)?;
        Ok(at)
    }

    pub(super) fn signal_workers(&self, signal: Signal) -> Result<()> {
        for worker in self.system.workers() {
            self.system.signal(worker.name(), signal)?;
        }
        Ok(())
    }

    pub(super) fn has_workers(&self) -> bool {
        !self.system.workers().is_empty()
    }

    /// Waits until a process ends, and forgets it. May be dropped and called again.
    pub(super) async fn next_exit(&mut self) -> Exited {
        self.system.next_exit().await
    }

    /// Ends all in order; returns who had to be killed.
    pub(super) async fn stop(self) -> Vec<String> {
        self.system.stop().await.killed
    }
}

/// The workers have flags for the server alone: the rest comes from a context file.
fn worker_variables(folder: &Path) -> Result<Vec<(String, String)>> {
    if !roles::on() {
        return Ok(Vec::new());
    }
    let path = folder.join("worker.json");
    std::fs::write(&path, roles::context_file(Role::Worker)).context("write a context file")?;
    let path = path.display().to_string();
    Ok(vec![("NATS_CONTEXT".to_owned(), path)])
}
