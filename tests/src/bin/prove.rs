//! `./x prove`: runs the whole proof, and writes one page.
#![expect(clippy::print_stdout, reason = "its report is its result")]
#![expect(clippy::print_stderr, reason = "it says what it is at")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::Parser;
use tests::bench::machine;
use tests::prove::arguments::Arguments;
use tests::prove::child;
use tests::prove::page::{Done, Proof};
use tests::prove::parts::parts;
use tests::prove::tally::{Tally, Verdict};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::signal::unix::{SignalKind, signal};

/// How much of the output of a part is shown that did not go well.
const TAIL_LINES: usize = 80;

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut term = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    // Dropped, a part is told to end with all that it started.
    tokio::select! {
        code = Box::pin(prove(&arguments)) => code,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
        _ = term.recv() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

async fn prove(arguments: &Arguments) -> Result<ExitCode> {
    let began = began()?;
    let folder = folder(arguments, &began)?;
    let form = arguments.form();
    let mut proof = Proof {
        form,
        is_partial: arguments.only.is_some(),
        began,
        facts: machine::facts(),
        done: Vec::new(),
        tally: Tally::default(),
    };
    for part in parts(form, arguments.seed, &folder) {
        let name = &part.order.name;
        let is_asked = |only: &String| name.contains(only.as_str());
        if !arguments.only.as_ref().is_none_or(is_asked) {
            continue;
        }
        eprintln!("prove: {name}: {}", part.order.words.join(" "));
        let ran = child::run(&part.order, &folder).await?;
        let verdict = proof.tally.add(&part, &ran);
        let (took, log) = (ran.took, ran.log.display());
        eprintln!(
            "prove: {name}: {verdict:?} after {} s, see {log}",
            took.as_secs()
        );
        if verdict != Verdict::Kept {
            // For whoever sees no more than this output.
            let lines: Vec<&str> = ran.text.lines().collect();
            let from = lines.len().saturating_sub(TAIL_LINES);
            eprintln!("{}", lines[from..].join("\n"));
        }
        proof.done.push(Done {
            part,
            verdict,
            took,
        });
        // After each part: what was found is not lost with the rest.
        fs::write(folder.join("prove.md"), proof.page()).context("write the page")?;
    }
    let page = folder.join("prove.md");
    fs::write(&page, proof.page()).context("write the page")?;
    println!("{}", proof.page());
    eprintln!("prove: the page is {}", page.display());
    println!("PROVE {}", proof.line());
    Ok(ExitCode::from(proof.exit_code()))
}

fn began() -> Result<String> {
    let now = OffsetDateTime::from(SystemTime::now());
    let form = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    now.format(form).context("write the date")
}

/// In full, as the parts run elsewhere.
fn folder(arguments: &Arguments, began: &str) -> Result<PathBuf> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => PathBuf::from(format!(
            "prove-{}",
            began.replace([' ', ':'], "-").trim_end_matches("-UTC")
        )),
    };
    fs::create_dir_all(&folder).context("make the folder of the proof")?;
    folder
        .canonicalize()
        .context("find the folder of the proof")
}
