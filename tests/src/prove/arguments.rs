//! What `./x prove` can be told.

use std::path::PathBuf;

use clap::Parser;

/// Runs the simulation, the planted bugs, the fuzzer, chaos on one server and on three, the checker's
/// own tests and the attackers, and writes one page. Ends with 0 where every promise was kept and
/// enough was tried, 1 where one was broken, 2 where it does not count.
#[derive(Debug, Clone, Parser)]
#[command(name = "prove")]
pub struct Arguments {
    /// The form for each change: at most 20 minutes.
    #[arg(long, conflicts_with = "hours")]
    pub short: bool,

    /// A soak instead: one system under chaos for so many hours.
    #[arg(long, value_name = "HOURS")]
    pub hours: Option<f64>,

    /// The first seed of chaos; each run takes the next one.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Only the parts whose names contain this: to look at one, never a proof.
    #[arg(long, value_name = "PART")]
    pub only: Option<String>,

    /// Where the page, the logs of the parts and their histories are kept; `prove-<date>` if not said.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// Which form is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// All of it.
    Full,
    /// For each change.
    Short,
    /// One long run.
    Soak {
        /// How long.
        hours: f64,
    },
}

impl Form {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Short => "short",
            Self::Soak { .. } => "soak",
        }
    }
}

impl Arguments {
    /// The form that is asked for.
    #[must_use]
    pub const fn form(&self) -> Form {
        match (self.hours, self.short) {
            (Some(hours), _) => Form::Soak { hours },
            (None, true) => Form::Short,
            (None, false) => Form::Full,
        }
    }
}
