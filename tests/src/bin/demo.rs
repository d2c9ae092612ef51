//! `./x demo`: a system of its own, thousands of invoices, two kills, and a verdict from the records.
#![expect(clippy::print_stdout, reason = "its report is its result")]
#![expect(clippy::print_stderr, reason = "it says where it keeps what")]

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tests::demo::arguments::Arguments;
use tests::demo::documents::documents;
use tests::demo::findings::findings;
use tests::demo::report::{Documents, last_line, report};
use tests::demo::stage::{Interrupted, play};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let made = documents(&arguments)?;
    eprintln!("{}", made.note);
    let folder = tempfile::Builder::new()
        .prefix("coordinator-demo-")
        .tempdir()
        .context("make a temporary folder")?;
    // Boxed: it holds the whole system.
    let played = Box::pin(play(&arguments, made.all, folder.path())).await;
    let kept = |folder: tempfile::TempDir| eprintln!("kept: {}", folder.keep().display());
    let played = match played {
        Ok(played) => played,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("{error}; everything was stopped");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(error) => {
            // Where nothing was started there is nothing to look at.
            if folder.path().read_dir()?.next().is_some() {
                kept(folder);
            }
            return Err(error);
        }
    };
    let found = findings(&played.evidence);
    for name in played.stop().await {
        eprintln!("{name} did not end when asked, and was killed");
    }
    let shown = match arguments.invoices {
        Some(_) => Documents::Each,
        None => Documents::None,
    };
    println!("{}", report(&found, shown));
    let code = match found.shown() {
        true => {
            println!(
                "Each of {} invoices was accepted once and done once, one of a market at a time, though a leader and a worker were killed.",
                found.summary.accepted
            );
            ExitCode::SUCCESS
        }
        false => {
            println!("The demo has NOT shown what it should: see above.");
            ExitCode::FAILURE
        }
    };
    if arguments.keep || code == ExitCode::FAILURE {
        kept(folder);
    }
    println!("{}", last_line(&found.summary)?);
    Ok(code)
}
