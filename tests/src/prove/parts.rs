//! The parts of each form of the proof: which command, for how long at most, and what it proves. It
//! runs nothing.

use std::path::Path;
use std::time::Duration;

use super::arguments::Form;
use super::child::Order;

/// What a part says of itself, and what is read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The rules in a world of faults.
    Simulation,
    /// Bugs planted in the rules.
    Planted,
    /// Hostile bytes.
    Fuzzing,
    /// Real servers and processes.
    Chaos,
    /// Tests of the judge.
    Checker,
    /// Tests of attackers and of the broker's traps.
    Attacks,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// How it is run.
    pub order: Order,
}

/// The tests that hold an attacker or a trap of the broker, by parts of their names.
const ATTACKS: [&str; 6] = [
    "attackers",
    "traps",
    "accepted_once",
    "door",
    "ghosts",
    "broker",
];

/// A run of chaos.
struct Run {
    servers: u64,
    jobs: u64,
    minutes: f64,
    faults: u64,
}

/// Three servers stand still for some seconds whenever one that leads a stream dies, so that fewer
/// jobs are accepted there in the same time. All plans together promise a quarter more than the least.
const FULL: [Run; 6] = [
    Run::new(1, 90_000, 4.5, 270),
    Run::new(1, 90_000, 4.5, 270),
    Run::new(1, 90_000, 4.5, 270),
    Run::new(3, 66_000, 4.0, 200),
    Run::new(3, 66_000, 4.0, 200),
    Run::new(3, 66_000, 4.0, 200),
];
const SHORT: [Run; 2] = [Run::new(1, 50_000, 3.0, 180), Run::new(3, 30_000, 2.0, 90)];

/// Jobs a minute of a soak: little load, for long.
const SOAK_JOBS_A_MINUTE: f64 = 480.0;
/// Faults a minute of a soak.
const SOAK_FAULTS_A_MINUTE: f64 = 4.0;
/// How long a soak lets processes live, in minutes, where it is long enough for two such times.
const SOAK_STEADY: f64 = 45.0;

impl Run {
    const fn new(servers: u64, jobs: u64, minutes: f64, faults: u64) -> Self {
        Self {
            servers,
            jobs,
            minutes,
            faults,
        }
    }
}

/// The parts of a form, in their order; histories go to `folder`.
#[must_use]
pub fn parts(form: Form, seed: u64, folder: &Path) -> Vec<Part> {
    match form {
        Form::Full => {
            let mut all = vec![
                checker(),
                simulation(20_000),
                planted(),
                fuzzing(5_200_000),
                attacks(),
            ];
            all.extend(chaos(&FULL, seed, folder));
            all
        }
        Form::Short => {
            let mut all = vec![checker(), simulation(5_000), fuzzing(1_000_000), attacks()];
            all.extend(chaos(&SHORT, seed, folder));
            all
        }
        Form::Soak { hours } => vec![soak(hours * 60.0, seed, folder)],
    }
}

fn part(kind: Kind, name: &str, words: &[&str], speaks: &'static str, minutes: u64) -> Part {
    Part {
        kind,
        order: Order {
            name: name.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            speaks,
            limit: Duration::from_secs(minutes * 60),
        },
    }
}

fn simulation(seeds: u64) -> Part {
    let seeds = seeds.to_string();
    let words = ["./x", "simulate", "--seeds", &seeds];
    part(Kind::Simulation, "simulation", &words, "SIMULATE", 30)
}

fn planted() -> Part {
    let words = ["./x", "planted"];
    part(Kind::Planted, "planted", &words, "PLANTED", 40)
}

fn fuzzing(inputs: u64) -> Part {
    let inputs = inputs.to_string();
    let words = ["./x", "fuzz", "--inputs", &inputs];
    part(Kind::Fuzzing, "fuzzing", &words, "FUZZ", 40)
}

fn checker() -> Part {
    let words = ["cargo", "test", "-p", "checker", "--locked"];
    let words = [words.as_slice(), &["--", "--show-output"]].concat();
    part(Kind::Checker, "checker", &words, "MUTATIONS", 20)
}

fn attacks() -> Part {
    let words = ["cargo", "test", "-p", "tests", "--test", "it", "--test"];
    let more = ["kills", "--locked", "--no-fail-fast", "--"];
    let words = [words.as_slice(), &more, &ATTACKS].concat();
    part(Kind::Attacks, "attacks", &words, "TESTS", 30)
}

fn chaos(runs: &[Run], seed: u64, folder: &Path) -> Vec<Part> {
    let of = |(run, n): (&Run, u64)| {
        let name = format!("chaos-{}-of-{}", n, run.servers);
        let mut one = run_of_chaos(&name, run, n, folder);
        // All of them together must visit every one.
        one.order.words.push("--some-points".to_owned());
        one
    };
    runs.iter().zip(seed..).map(of).collect()
}

fn run_of_chaos(name: &str, run: &Run, seed: u64, folder: &Path) -> Part {
    let history = folder.join(name).display().to_string();
    let [seed, jobs, servers, faults] =
        [seed, run.jobs, run.servers, run.faults].map(|number| number.to_string());
    let minutes = run.minutes.to_string();
    let words = ["./x", "chaos", "--seed", &seed, "--jobs", &jobs];
    let when = ["--minutes", &minutes, "--faults", &faults];
    let place = ["--replicas", &servers, "--folder", &history];
    let words = [words.as_slice(), &when, &place].concat();
    let mut one = part(Kind::Chaos, name, &words, "CHAOS", 20);
    one.order.limit += Duration::from_secs_f64(run.minutes * 60.0);
    one
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "minutes are few and not negative"
)]
fn soak(minutes: f64, seed: u64, folder: &Path) -> Part {
    let run = Run {
        servers: 1,
        jobs: (minutes * SOAK_JOBS_A_MINUTE) as u64,
        minutes,
        faults: (minutes * SOAK_FAULTS_A_MINUTE) as u64,
    };
    let mut one = run_of_chaos("soak", &run, seed, folder);
    let steady = SOAK_STEADY.min(minutes / 2.5).to_string();
    one.order.words.extend(["--steady".to_owned(), steady]);
    one
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tally::Tally;
    use super::{FULL, Form, Kind, Run, SHORT, parts};
    use crate::chaos::plan::{Shape, plan};

    #[test]
    fn every_part_has_a_name_of_its_own() {
        for form in [Form::Full, Form::Short, Form::Soak { hours: 2.0 }] {
            let all = parts(form, 7, "somewhere".as_ref());
            let mut names: Vec<&str> = all.iter().map(|part| part.order.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all.len());
        }
    }

    /// Jobs, faults, and faults of one server and of three that the runs try.
    fn promised(runs: &[Run], seed: u64) -> [u64; 4] {
        let mut sums = [0; 4];
        for (run, seed) in runs.iter().zip(seed..) {
            let shape = Shape {
                count: run.faults,
                span: Duration::from_secs_f64(run.minutes * 60.0),
                servers: usize::try_from(run.servers).unwrap(),
                steady: None,
            };
            let all = plan(seed, &shape);
            let of_servers = all.iter().filter(|planned| planned.fault.is_of_a_server());
            sums[0] += run.jobs;
            sums[1] += run.faults;
            sums[if run.servers == 1 { 2 } else { 3 }] += of_servers.count() as u64;
        }
        sums
    }

    #[test]
    fn the_plans_promise_a_quarter_more_than_the_least() {
        let names = [
            "jobs accepted by real servers",
            "faults done to real processes",
            "faults of one server",
            "faults of three servers",
        ];
        for (form, runs) in [(Form::Full, FULL.as_slice()), (Form::Short, &SHORT)] {
            let least = Tally::default().least(form);
            for seed in [1, 100, 4_711] {
                for (name, promised) in names.into_iter().zip(promised(runs, seed)) {
                    let least = least.iter().find(|least| least.what == name).unwrap().least;
                    assert!(promised * 4 >= least * 5, "{name}: {promised} for {least}");
                }
            }
        }
    }

    #[test]
    fn each_run_of_chaos_has_a_seed_of_its_own() {
        let all = parts(Form::Full, 7, "somewhere".as_ref());
        let seeds: Vec<&str> = all
            .iter()
            .filter(|part| part.kind == Kind::Chaos)
            .map(|part| part.order.words[3].as_str())
            .collect();
        assert_eq!(seeds, ["7", "8", "9", "10", "11", "12"]);
    }
}
