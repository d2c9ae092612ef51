//! `coordinator dev`: a whole system on this machine, until Ctrl-C.

use std::path::{Path, PathBuf};

use crate::dev::{ProcessSpec, System, SystemOptions};
use crate::settings::LeaseProfile;
use nats_config::connection::Environment;
use protocol::id::{JobId, QueueName};
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failure};
use super::output::Output;
use super::{Global, signals};

/// The example worker, started if it lies beside this program.
const EXAMPLE_WORKER: &str = "invoice-worker";
/// The example submitter, named if it lies beside this program.
const EXAMPLE_SUBMITTER: &str = "invoice-submitter";
/// How many workers.
const EXAMPLE_WORKERS: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct DevArguments {
    /// The nats-server program [default: PATH, then .tools/].
    #[arg(long, env = "NATS_SERVER_BIN", value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// The port of the NATS server [default: a free one].
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Keep store and logs in this folder [default: a temporary one].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// How many coordinators to start, 1 to 9.
    #[arg(long, value_name = "COUNT", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=9))]
    coordinators: u8,
    /// How many workers to start, up to 64 [default: 4 of the invoice-worker beside this program].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(0..=64))]
    workers: Option<u8>,
    /// The worker program; it finds the server in NATS_URL and its name in WORKER_NAME.
    #[arg(long, value_name = "FILE")]
    worker_bin: Option<PathBuf>,
    /// The times of the election: stable, quick or test.
    #[arg(long, value_name = "PROFILE", default_value = "stable")]
    lease: LeaseProfile,
}

pub(crate) async fn dev(global: Global, arguments: DevArguments) -> Result<Exit, Failure> {
    let output = Output::new(&global);
    let this = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("find this program: {error}")))?;
    let workers = workers(&arguments, &this)?;
    let options = SystemOptions {
        nats_server: arguments.nats_server,
        port: arguments.port,
        data_dir: arguments.data_dir,
        coordinators: usize::from(arguments.coordinators),
        coordinator_arguments: vec!["--lease".to_owned(), arguments.lease.to_string()],
        namespace: global.namespace.unwrap_or_default(),
        ..SystemOptions::new(this)
    };
    let shutdown = CancellationToken::new();
    let work = keep_running(output, options, workers, shutdown.clone());
    signals::in_order(shutdown.clone(), Box::pin(work)).await
}

/// The workers to start.
fn workers(arguments: &DevArguments, this: &Path) -> Result<Vec<ProcessSpec>, Failure> {
    let beside = this.with_file_name(EXAMPLE_WORKER);
    let (program, count) = match (&arguments.worker_bin, arguments.workers) {
        (Some(program), count) => (program.clone(), count.map_or(1, usize::from)),
        (None, None) if !beside.is_file() => return Ok(Vec::new()),
        (None, None) => (beside, EXAMPLE_WORKERS),
        (None, Some(0)) => return Ok(Vec::new()),
        (None, Some(count)) if beside.is_file() => (beside, usize::from(count)),
        (None, Some(_)) => {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "--workers: there is no {EXAMPLE_WORKER} beside this program; name a worker with --worker-bin"
                ),
            ));
        }
    };
    let program = program.canonicalize().map_err(|error| {
        let path = program.display();
        Failure::new(
            Exit::Usage,
            format!("--worker-bin: {path} cannot be started: {error}; name a program"),
        )
    })?;
    let spec = |number: usize| ProcessSpec {
        name: format!("w-{number}"),
        program: program.clone(),
        arguments: Vec::new(),
        variables: vec![("WORKER_NAME".to_owned(), format!("w-{number}"))],
    };
    Ok((1..=count).map(spec).collect())
}

async fn keep_running(
    output: Output,
    options: SystemOptions,
    workers: Vec<ProcessSpec>,
    shutdown: CancellationToken,
) -> Result<Exit, Failure> {
    let namespace = options.namespace.clone();
    let start = async {
        let mut system = System::start(options, &Environment::of_process()).await?;
        for mut worker in workers {
            let variable = ("JOBS_NAMESPACE".to_owned(), namespace.to_string());
            worker.variables.push(variable);
            system.add_worker(worker)?;
        }
        Ok::<System, Failure>(system)
    };
    let mut system = tokio::select! {
        system = start => system?,
        () = shutdown.cancelled() => return Ok(Exit::Done),
    };
    output.data(&summary(&system), || welcome(&system))?;
    let ended = loop {
        let exited = tokio::select! {
            () = shutdown.cancelled() => break Ok(Exit::Done),
            exited = system.next_exit() => exited,
        };
        let said = format!(
            "{} (process {}) ended with {}; its log is {}",
            exited.name,
            exited.pid,
            exited.status,
            exited.log.display()
        );
        if exited.name == "nats-server" {
            break Err(Failure::failed(said));
        }
        output.note(&said);
    };
    output.note("stopping");
    let stopped = system.stop().await;
    for name in stopped.killed {
        output.note(&format!("{name} did not end when asked, and was killed"));
    }
    ended
}

#[derive(serde::Serialize)]
struct Summary {
    server: String,
    folder: PathBuf,
    processes: Vec<Shown>,
}

#[derive(serde::Serialize)]
struct Shown {
    name: String,
    pid: u32,
    log: PathBuf,
}

fn summary(system: &System) -> Summary {
    let shown = |process: &crate::dev::RunningProcess| Shown {
        name: process.name().to_owned(),
        pid: process.pid(),
        log: process.log().to_owned(),
    };
    Summary {
        server: system.address().to_owned(),
        folder: system.folder().to_owned(),
        processes: system.processes().map(shown).collect(),
    }
}

/// What runs, and how to give it a job.
fn welcome(system: &System) -> String {
    let queue = QueueName::new("default").expect("it is one valid token");
    let id = JobId::from_raw("first-1").expect("it is a valid id");
    let subject = system.broker().subjects().submit(&queue, &id);
    let (address, version) = (system.address(), &system.nats_server().version);
    let program = std::env::current_exe().unwrap_or_else(|_| "coordinator".into());
    let program = program.display();
    let processes: Vec<String> = system
        .processes()
        .map(|process| format!("{} {}", process.name(), process.pid()))
        .collect();
    let folder = system.folder().display();
    let namespace = system.broker().subjects().namespace();
    let many = std::env::current_exe()
        .map(|this| this.with_file_name(EXAMPLE_SUBMITTER))
        .ok()
        .filter(|path| path.is_file() && !system.workers().is_empty())
        .map_or_else(String::new, |path| {
            let path = path.display();
            format!(
                "\nThousands of invoices, which the workers check, one market at a time:\n  {path} -s {address} --namespace {namespace} --generate 2000\n"
            )
        });
    format!(
        "NATS {version} listens on {address}. This is for trying things out, not for production.
processes  {}
folder     {folder}   (logs/ holds a file each)

Submit a job with the nats command line; the same line again is refused:
  nats -s {address} pub -J --no-templates {subject} '{{\"hello\":\"world\"}}'
with this program:
  {program} -s {address} --namespace {namespace} submit default first-2 '{{\"hello\":\"world\"}}'
  {program} -s {address} --namespace {namespace} status
or in Rust:
  let client = worker_sdk::Client::connect(\"{address}\", Default::default(), \"{namespace}\".parse()?).await?;
  client.submit(\"invoices\", \"INV-1001\", &job).await?;
{many}
Ctrl-C stops everything.",
        processes.join(", ")
    )
}
