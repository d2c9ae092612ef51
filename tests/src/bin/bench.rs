//! `./x bench`: starts its own servers, measures, prints Markdown tables. It never judges a figure.
#![expect(clippy::print_stdout, reason = "its tables are its result")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tests::bench::bare::{Figures, Load, run};
use tests::bench::machine::facts;
use tests::bench::table::{flow_row, table};
use tests::{Cluster, Server};
use tokio::process::Command;

/// Measures the system beside the bare flow of messages, on NATS servers of its own.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Jobs of each run at full speed.
    #[arg(long, default_value_t = 100_000)]
    jobs: usize,

    /// Runs at full speed; the best one counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,

    /// Jobs of the idle run.
    #[arg(long, default_value_t = 2_000)]
    idle_jobs: usize,

    /// Jobs a second of the idle run.
    #[arg(long, default_value_t = 200)]
    idle_rate: u32,

    /// Measures on a cluster of three as well.
    #[arg(long)]
    cluster: bool,

    /// Measures the bare flow alone, in turn with another program of the same flow that takes
    /// `<url> <replicas> <jobs> [<rate>]` and prints its figures.
    #[arg(long, value_name = "PROGRAM")]
    bare_check: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.runs > 0 && arguments.jobs > 0 && arguments.idle_jobs > 0,
        "--runs, --jobs and --idle-jobs must be at least 1"
    );
    let facts: Vec<Vec<String>> = facts()
        .into_iter()
        .map(|(name, fact)| vec![name.to_owned(), fact])
        .collect();
    println!("{}\n", table(&["machine", ""], &facts));

    let mut rows = Vec::new();
    let server = Server::start().await?;
    rows.extend(bare_rows(&arguments, &server.url(), 1).await?);
    drop(server);
    if arguments.cluster {
        let cluster = Cluster::start().await?;
        rows.extend(bare_rows(&arguments, &cluster.url(), 3).await?);
    }
    let head = ["flow", "submits/s", "jobs/s", "p50", "p99"];
    println!("{}", table(&head, &rows));
    println!("p50 and p99: from submission to outcome seen by the leader.");
    Ok(())
}

async fn bare_rows(arguments: &Arguments, url: &str, replicas: usize) -> Result<Vec<Vec<String>>> {
    // Like with like: the other program knows one server only.
    let url = match &arguments.bare_check {
        Some(_) => url.split(',').next().unwrap_or(url),
        None => url,
    };
    let mut full: Option<Figures> = None;
    for _ in 0..arguments.runs {
        if let Some(program) = &arguments.bare_check {
            run_other(program, url, &[replicas, arguments.jobs]).await?;
        }
        let figures = run(url, replicas, arguments.jobs, Load::Full).await?;
        println!("ours: R{replicas} {:.0} jobs/s", figures.jobs_per_second);
        let best = full.as_ref().map_or(0.0, |best| best.jobs_per_second);
        if figures.jobs_per_second > best {
            full = Some(figures);
        }
    }
    let full = full.context("no run at full speed")?;
    let rate = usize::try_from(arguments.idle_rate)?;
    if let Some(program) = &arguments.bare_check {
        run_other(program, url, &[replicas, arguments.idle_jobs, rate]).await?;
    }
    let load = Load::PerSecond(arguments.idle_rate);
    let idle = run(url, replicas, arguments.idle_jobs, load).await?;
    println!();
    let (runs, jobs) = (arguments.runs, arguments.jobs);
    Ok(vec![
        flow_row(&format!("bare R{replicas}, best of {runs} x {jobs}"), &full),
        flow_row(&format!("bare R{replicas}, {rate} jobs/s"), &idle),
    ])
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
