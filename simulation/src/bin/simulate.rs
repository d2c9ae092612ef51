//! Runs seeds of the simulation on all cores, says what was checked, and shortens what fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use serde::Serialize;
use simulation::{PROMISES, Schedule, Search, cores, search, shrink, tell};

/// Most runs that a search for a shorter schedule takes.
const SHRINK_RUNS: usize = 600;

/// Runs the rules in a world of faults, by seed.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// This one alone.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// On so many threads; as many as there are cores if not said.
    #[arg(long)]
    threads: Option<usize>,
    /// Writes the shortened schedule of a failing seed into this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Starts no seed after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Prints what happens in the shortened schedule.
    #[arg(long)]
    tell: bool,
}

fn line(sums: &BTreeMap<&str, u64>) -> String {
    let sums = sums.iter().map(|(what, times)| format!("{times} {what}"));
    sums.collect::<Vec<_>>().join(", ")
}

/// One line for programs: what was checked beside each zero.
#[derive(Serialize)]
struct Summary<'a> {
    seeds: u64,
    first: u64,
    jobs: u64,
    faults_total: u64,
    seconds: f64,
    broken: Option<(u64, &'static str)>,
    promises: BTreeMap<&'static str, Promise>,
    checked: &'a BTreeMap<&'static str, u64>,
    faults: &'a BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Promise {
    broken: u64,
    checked: BTreeMap<&'static str, u64>,
}

impl<'a> Summary<'a> {
    fn new(found: &'a Search, first: u64, seconds: f64) -> Self {
        let counts = &found.counts;
        let times = |what: &str| counts.done.get(what).copied().unwrap_or_default();
        let broken = found.failed.as_ref().map(|(seed, b)| (*seed, b.rule));
        let promise = |(rule, beside): &(&'static str, &'static [&'static str])| {
            let is_it = broken.is_some_and(|(_, name)| name == *rule);
            let checked = beside.iter().map(|what| (*what, times(what))).collect();
            let broken = u64::from(is_it);
            (*rule, Promise { broken, checked })
        };
        Self {
            seeds: found.ran,
            first,
            jobs: times("jobs"),
            faults_total: counts.faults.values().sum(),
            seconds,
            broken,
            promises: PROMISES.iter().map(promise).collect(),
            checked: &counts.done,
            faults: &counts.faults,
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted")]
    if let Ok(name) = std::env::var("PLANTED_BUG") {
        anyhow::ensure!(
            protocol::planted::plant(&name),
            "no planted bug is named {name}"
        );
    }
    let seeds = arguments.seed.map(|seed| (seed, 1));
    let seeds = seeds.unwrap_or((arguments.from, arguments.seeds));
    let started = Instant::now();
    let is_late = || {
        let most = arguments.seconds;
        most.is_some_and(|most| started.elapsed().as_secs() >= most)
    };
    let found = search(seeds, arguments.threads.unwrap_or_else(cores), is_late);
    println!("checked: {}", line(&found.counts.done));
    println!("faults: {}", line(&found.counts.faults));
    let took = started.elapsed().as_secs_f64();
    let jobs = found.counts.done.get("jobs").copied().unwrap_or_default();
    let summary = serde_json::to_string(&Summary::new(&found, seeds.0, took))?;
    let Some((seed, broken)) = &found.failed else {
        println!(
            "{} seeds, {jobs} jobs in {took:.1} s: no promise was broken",
            found.ran
        );
        println!("SIMULATE {summary}");
        return Ok(ExitCode::SUCCESS);
    };
    println!("seed {seed} breaks '{}': {}", broken.rule, broken.what);
    let short = shrink(&Schedule::of(*seed), SHRINK_RUNS);
    println!("{} steps do: {}", short.steps.len(), short.about);
    if let Some(folder) = &arguments.keep {
        let path = folder.join(format!("seed-{seed}.json"));
        std::fs::write(&path, serde_json::to_string(&short)?)?;
        println!("kept as {}", path.display());
    }
    if arguments.tell {
        println!("{}", tell(&short).story.join("\n"));
    }
    println!("broken in {took:.1} s: seed {seed}, '{}'", broken.rule);
    println!("SIMULATE {summary}");
    Ok(ExitCode::FAILURE)
}
