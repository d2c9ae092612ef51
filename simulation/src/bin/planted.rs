//! Plants one bug after the other and shows how soon the simulation notices each: by a seed that it
//! comes upon within its time, or else by the schedule that is kept of an earlier one, which must show
//! it in any case. One that is not noticed fails the run: then the simulation is too weak.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use protocol::planted::{BUGS, plant};
use serde::Serialize;
use simulation::{Schedule, cores, run, search, shrink};

/// Most runs that a search for a shorter schedule takes: there are many to be kept.
const SHRINK_RUNS: usize = 120;

/// Shows that the simulation notices what is wrong.
#[derive(Parser)]
struct Arguments {
    /// Those alone whose names contain one of these.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How long each is searched for.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the schedules are that showed each.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/schedules"))]
    schedules: PathBuf,
    /// Makes the schedule anew of each that is caught, where it shows the bug no more.
    #[arg(long)]
    keep: bool,
}

/// What became of one bug.
#[derive(Serialize)]
struct Row {
    bug: &'static str,
    takes_out: &'static str,
    /// The promise that broke; none: it was not caught.
    rule: Option<&'static str>,
    /// The first seed that shows it; none: the search came upon none within its time.
    seed: Option<u64>,
    seconds: f64,
    /// Steps of the schedule that is kept and shows it.
    kept_steps: Option<usize>,
}

#[derive(Serialize)]
struct Summary {
    planted: usize,
    caught: usize,
    /// Those that a seed showed within its time.
    found: usize,
    kept: usize,
    seconds: f64,
    bugs: Vec<Row>,
}

/// The schedule that is kept, if it shows the bug, and the promise that it breaks.
fn kept(path: &Path) -> anyhow::Result<Option<(Schedule, &'static str)>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path)?;
    let schedule: Schedule =
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    let broken = run(&schedule).broken;
    Ok(broken.map(|broken| (schedule, broken.rule)))
}

/// Looks for one bug.
fn try_one(
    arguments: &Arguments,
    name: &'static str,
    takes_out: &'static str,
) -> anyhow::Result<Row> {
    let path = arguments.schedules.join(format!("{name}.json"));
    let mut known = kept(&path)?;
    let started = Instant::now();
    let is_late = || started.elapsed().as_secs() >= arguments.seconds;
    let found = search((1, u64::MAX), cores(), is_late);
    let seconds = started.elapsed().as_secs_f64();
    if let (true, None, Some((seed, broken))) = (arguments.keep, &known, &found.failed) {
        let mut short = shrink(&Schedule::of(*seed), SHRINK_RUNS);
        short.about = format!("{takes_out}; {}", short.about);
        std::fs::write(&path, serde_json::to_string(&short)? + "\n")?;
        known = Some((short, broken.rule));
    }
    let (seed, rule) = found
        .failed
        .map(|(seed, broken)| (seed, broken.rule))
        .unzip();
    Ok(Row {
        bug: name,
        takes_out,
        rule: rule.or(known.as_ref().map(|(_, rule)| *rule)),
        seed,
        seconds,
        kept_steps: known.map(|(schedule, _)| schedule.steps.len()),
    })
}

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let mut bugs = Vec::new();
    println!(
        "{:<24} {:>6} {:>6} {:>6}  what broke",
        "bug", "seed", "s", "kept"
    );
    for (_, name, takes_out) in BUGS {
        let names = &arguments.names;
        let is_asked = names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
        if !is_asked || !plant(name) {
            continue;
        }
        let row = try_one(&arguments, name, takes_out)?;
        let seed = match (row.seed, row.kept_steps) {
            (Some(seed), _) => seed.to_string(),
            (None, Some(_)) => "kept".to_owned(),
            (None, None) => "-".to_owned(),
        };
        let steps = row
            .kept_steps
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        let rule = row.rule.unwrap_or("NOT CAUGHT");
        println!(
            "{name:<24} {seed:>6} {:>6.1} {steps:>6}  {rule}",
            row.seconds
        );
        bugs.push(row);
    }
    let caught = bugs.iter().filter(|row| row.rule.is_some()).count();
    let kept = bugs.iter().filter(|row| row.kept_steps.is_some()).count();
    let planted = bugs.len();
    let found = bugs.iter().filter(|row| row.seed.is_some()).count();
    println!(
        "{caught} of {planted} planted bugs were caught, {found} of them by a seed, {kept} are shown by a kept schedule"
    );
    let summary = Summary {
        planted,
        caught,
        found,
        kept,
        seconds: started.elapsed().as_secs_f64(),
        bugs,
    };
    println!("PLANTED {}", serde_json::to_string(&summary)?);
    Ok(match caught == planted && kept == planted && planted > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
