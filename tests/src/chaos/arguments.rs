//! What `./x chaos` can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::load::Load;

/// Submits jobs to a system of its own, hurts every part of it on the way, and checks from the stored
/// records that each was accepted once and done once.
#[derive(Debug, Clone, Parser)]
#[command(name = "chaos")]
pub struct Arguments {
    /// Another seed makes other jobs and other faults.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// How many jobs to submit, without repeats.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    pub jobs: u64,

    /// How long the load and the faults last.
    #[arg(long, default_value_t = 2.0)]
    pub minutes: f64,

    /// How many faults to make; 40 a minute by default.
    #[arg(long, value_name = "COUNT")]
    pub faults: Option<u64>,

    /// Lets every process live for so many minutes at a time, and judges then whether its memory and
    /// its descriptors stayed flat. In between, for a fifth of that time, comes every kind of fault.
    #[arg(long, value_name = "MINUTES")]
    pub steady: Option<f64>,

    /// Does not ask that this run alone visits every fail point: several runs together do.
    #[arg(long)]
    pub some_points: bool,

    /// One server, or three that replicate.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub replicas: u8,

    /// Keep the history there; else in a temporary folder that is kept when something is wrong.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

impl Arguments {
    /// How long the load and the faults last.
    #[must_use]
    pub fn span(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    /// The jobs.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::new(self.seed, self.jobs, self.span())
    }

    /// How long processes are let live, where they are.
    #[must_use]
    pub fn steady(&self) -> Option<Duration> {
        self.steady
            .map(|minutes| Duration::from_secs_f64(minutes * 60.0))
    }
}
