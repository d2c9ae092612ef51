//! `./x bench`: starts its own servers, measures the system beside the bare flow of messages, and
//! prints Markdown tables.
#![expect(clippy::print_stdout, reason = "its tables are its result")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use rustix::process::Pid;
use tests::bench::bare::{Figures, Load, run};
use tests::bench::kills::be_worker;
use tests::bench::machine::facts;
use tests::bench::report::{Plan, Row, Site, measure};
use tests::bench::table::{flow_row, table};
use tests::{Cluster, Server};
use tokio::process::Command;

/// Measures the system beside the bare flow of messages, on NATS servers of its own.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,

    /// Jobs of each run at full speed; 0 leaves these runs out.
    #[arg(long, default_value_t = 100_000)]
    jobs: usize,

    /// Runs at full speed of the bare flow and of the system, in turn.
    #[arg(long, default_value_t = 3)]
    runs: usize,

    /// Jobs of the idle run; 0 leaves it out.
    #[arg(long, default_value_t = 2_000)]
    idle_jobs: usize,

    /// Jobs a second of the idle run.
    #[arg(long, default_value_t = 200)]
    idle_rate: u32,

    /// Kills of the leader of three coordinators; 0 leaves them out.
    #[arg(long, default_value_t = 50)]
    kills: usize,

    /// Kills of a worker in a queue without keys, and as many in one with keys; 0 leaves them out.
    #[arg(long, default_value_t = 10)]
    worker_kills: usize,

    /// Jobs of 1 kB that wait before the worker starts; 0 leaves this out.
    #[arg(long, default_value_t = 200_000)]
    backlog: usize,

    /// Measures on a cluster of three as well.
    #[arg(long)]
    cluster: bool,

    /// Measures the bare flow alone, in turn with another program of the same flow that takes
    /// `<url> <replicas> <jobs> [<rate>]` and prints its figures.
    #[arg(long, value_name = "PROGRAM")]
    bare_check: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Role {
    /// What this program starts itself to have a worker process that it can kill.
    #[command(hide = true)]
    Worker {
        url: String,
        namespace: String,
        name: String,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::Worker {
        url,
        namespace,
        name,
    }) = &arguments.role
    {
        return be_worker(url, namespace, name, say).await;
    }
    ensure!(
        arguments.runs > 0 && arguments.idle_rate > 0,
        "--runs and --idle-rate must be at least 1"
    );
    let facts: Vec<Vec<String>> = facts()
        .into_iter()
        .map(|(name, fact)| vec![name.to_owned(), fact])
        .collect();
    println!("{}\n", table(&["machine", ""], &facts));
    let mut server = Server::start().await?;
    let pids: Vec<Pid> = server
        .process()
        .map(|process| process.pid())
        .into_iter()
        .collect();
    let mut results = one_broker(&arguments, &server.url(), &pids).await?;
    drop(server);
    if arguments.cluster {
        let mut cluster = Cluster::start().await?;
        let url = cluster.url();
        let servers = cluster.servers().iter_mut();
        let pids: Vec<Pid> = servers
            .filter_map(|server| Some(server.process()?.pid()))
            .collect();
        let cluster_results = one_broker(&arguments, &url, &pids).await?;
        results.rows.extend(cluster_results.rows);
    }
    println!("\n{}", table(&results.head, &results.rows));
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
}

struct Results {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

async fn one_broker(arguments: &Arguments, url: &str, servers: &[Pid]) -> Result<Results> {
    let replicas = servers.len();
    if let Some(program) = &arguments.bare_check {
        return bare_check(arguments, program, url, replicas).await;
    }
    let plan = Plan {
        jobs: arguments.jobs,
        runs: arguments.runs,
        idle_jobs: arguments.idle_jobs,
        idle_rate: arguments.idle_rate,
        kills: arguments.kills,
        worker_kills: arguments.worker_kills,
        backlog: arguments.backlog,
    };
    let site = Site {
        url,
        replicas,
        servers,
        tell: say,
    };
    let rows = measure(site, &plan).await?;
    Ok(Results {
        head: Row::HEAD.to_vec(),
        rows: rows.iter().map(Row::cells).collect(),
    })
}

/// Our bare flow in turn with another program's.
async fn bare_check(
    arguments: &Arguments,
    program: &Path,
    url: &str,
    replicas: usize,
) -> Result<Results> {
    ensure!(
        arguments.jobs > 0 && arguments.idle_jobs > 0,
        "--jobs and --idle-jobs must be at least 1"
    );
    // Like with like: the other program knows one server only.
    let url = url.split(',').next().unwrap_or(url);
    let mut full: Option<Figures> = None;
    for _ in 0..arguments.runs {
        run_other(program, url, &[replicas, arguments.jobs]).await?;
        let figures = run(url, replicas, arguments.jobs, Load::Full).await?;
        println!("ours: R{replicas} {:.0} jobs/s", figures.jobs_per_second);
        let best = full.as_ref().map_or(0.0, |best| best.jobs_per_second);
        if figures.jobs_per_second > best {
            full = Some(figures);
        }
    }
    let full = full.context("no run at full speed")?;
    let rate = usize::try_from(arguments.idle_rate)?;
    run_other(program, url, &[replicas, arguments.idle_jobs, rate]).await?;
    let load = Load::PerSecond(arguments.idle_rate);
    let idle = run(url, replicas, arguments.idle_jobs, load).await?;
    let (runs, jobs) = (arguments.runs, arguments.jobs);
    Ok(Results {
        head: vec!["flow", "submits/s", "jobs/s", "p50", "p99"],
        rows: vec![
            flow_row(&format!("bare R{replicas}, best of {runs} x {jobs}"), &full),
            flow_row(&format!("bare R{replicas}, {rate} jobs/s"), &idle),
        ],
    })
}

async fn run_other(program: &Path, url: &str, numbers: &[usize]) -> Result<()> {
    let output = Command::new(program)
        .arg(url)
        .args(numbers.iter().map(ToString::to_string))
        .output()
        .await
        .with_context(|| format!("run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} ended with {}:\n{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    print!("other: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
