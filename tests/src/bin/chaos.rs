//! `./x chaos`: a system of its own under a load, hurt by a plan that a seed makes, and a verdict from
//! the stored records.
#![expect(clippy::print_stdout, reason = "its report is its result")]
#![expect(clippy::print_stderr, reason = "it says where it keeps what")]

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tests::chaos::arguments::Arguments;
use tests::chaos::play::play;
use tests::chaos::report::{last_line, report};
use tokio::signal::unix::{SignalKind, signal};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Ctrl-C or SIGTERM.
async fn told_to_end() {
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_ansi(false)
        // The connections of the harness break as often as all others.
        .with_env_filter("warn,async_nats=off")
        .with_writer(std::io::stderr)
        .init();
    let scratch = tempfile::Builder::new()
        .prefix("coordinator-chaos-")
        .tempdir()
        .context("make a temporary folder")?;
    let folder = match &arguments.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder).context("make the folder of the history")?;
            folder.clone()
        }
        None => scratch.path().to_owned(),
    };
    // Boxed: it holds the whole system.
    let played = Box::pin(play(&arguments, &folder));
    let played = tokio::select! {
        played = played => played,
        // The run is dropped, and its servers and processes with it.
        () = told_to_end() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let is_good = played
        .as_ref()
        .is_ok_and(|verdict| verdict.exit_code() == 0);
    if arguments.folder.is_none() && !is_good {
        eprintln!("the history is kept: {}", scratch.keep().display());
    }
    let verdict = played?;
    println!("{}", report(&verdict));
    println!("{}", last_line(&arguments, &verdict)?);
    Ok(ExitCode::from(verdict.exit_code()))
}
