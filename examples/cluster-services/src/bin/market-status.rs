//! Asks the job manager for its status, wherever it runs now.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use cluster_services::{MANAGER, STATUS};
use worker_sdk::{CallRequest, LeaderProxy};

/// Prints the manager's status as JSON. Waits while nobody manages.
#[derive(Debug, Parser)]
#[command(name = "market-status", version)]
struct Arguments {
    /// NATS servers, separated by commas.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    server: String,
    /// The cluster whose manager is asked.
    #[arg(long, default_value = "default-group")]
    group: String,
    /// How long to wait, in seconds; at most 60.
    #[arg(long, default_value = "10")]
    within: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let proxy = LeaderProxy::in_group(MANAGER)
        .group(&arguments.group)
        .servers(&arguments.server)
        .start()
        .await?;
    let within = Duration::from_secs(arguments.within);
    let answer = proxy.call(CallRequest::new(STATUS).within(within)).await?;
    let mut out = std::io::stdout();
    out.write_all(&answer.payload)?;
    writeln!(out)?;
    Ok(())
}
