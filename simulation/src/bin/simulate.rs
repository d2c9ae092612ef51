//! Runs seeds of the simulation on all cores, says what was checked, and shortens what fails.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use simulation::{Broken, Counts, Schedule, run, shrink, tell};

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
    keep: Option<std::path::PathBuf>,
    /// Stops after so many seconds, however many seeds are left.
    #[arg(long)]
    seconds: Option<u64>,
    /// Prints what happens in the shortened schedule.
    #[arg(long)]
    tell: bool,
    /// Does not shorten what fails.
    #[arg(long)]
    no_shrink: bool,
}

/// What all threads share.
struct Shared {
    next: AtomicU64,
    end: AtomicU64,
    counts: Mutex<(u64, Counts)>,
    failed: Mutex<Option<(u64, Broken)>>,
}

fn work(shared: &Shared, is_late: impl Fn() -> bool) {
    loop {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        if seed >= shared.end.load(Ordering::Relaxed) || is_late() {
            return;
        }
        let report = run(&Schedule::of(seed));
        let mut counts = shared.counts.lock().expect("no thread panics with it");
        counts.0 += 1;
        counts.1.add(&report.counts);
        drop(counts);
        if let Some(broken) = report.broken {
            // Seeds before this one go on, so that the first one is named whatever the threads do.
            shared.end.fetch_min(seed, Ordering::Relaxed);
            let mut failed = shared.failed.lock().expect("no thread panics with it");
            if failed.as_ref().is_none_or(|(known, _)| *known > seed) {
                *failed = Some((seed, broken));
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted")]
    if let Ok(name) = std::env::var("PLANTED_BUG") {
        anyhow::ensure!(protocol::planted::plant(&name), "no planted bug is named {name}");
    }
    let (from, seeds) = arguments
        .seed
        .map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let started = Instant::now();
    let is_late = || arguments.seconds.is_some_and(|most| started.elapsed().as_secs() >= most);
    let shared = Shared {
        next: AtomicU64::new(from),
        end: AtomicU64::new(from.saturating_add(seeds)),
        counts: Mutex::default(),
        failed: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(cores) {
            scope.spawn(|| work(&shared, is_late));
        }
    });
    let (ran, counts) = shared.counts.into_inner()?;
    let line = |sums: &std::collections::BTreeMap<&str, u64>| {
        let sums = sums.iter().map(|(what, times)| format!("{times} {what}"));
        sums.collect::<Vec<_>>().join(", ")
    };
    println!("checked: {}", line(&counts.done));
    println!("faults: {}", line(&counts.faults));
    let took = started.elapsed().as_secs_f64();
    let jobs = counts.done.get("jobs").copied().unwrap_or_default();
    let failed = shared.failed.into_inner()?;
    if let Some((seed, broken)) = failed {
        println!("seed {seed} breaks '{}': {}", broken.rule, broken.what);
        if !arguments.no_shrink {
            let short = shrink(&Schedule::of(seed));
            println!("{} steps do: {}", short.steps.len(), short.about);
            if arguments.tell {
                println!("{}", tell(&short).story.join("\n"));
            }
            if let Some(folder) = &arguments.keep {
                let path = folder.join(format!("seed-{seed}.json"));
                std::fs::write(&path, serde_json::to_string(&short)?)?;
                println!("kept as {}", path.display());
            }
        }
        println!("broken in {took:.1} s: seed {seed}, '{}'", broken.rule);
        return Ok(ExitCode::FAILURE);
    }
    println!("{ran} seeds, {jobs} jobs in {took:.1} s: no promise was broken");
    Ok(ExitCode::SUCCESS)
}
