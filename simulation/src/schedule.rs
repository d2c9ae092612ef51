//! What a run of the simulation does, as a list that can be shortened and replayed. Each word gives
//! one step and all chance in it, so that a step means the same whatever stands before it.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Steps of a seed, before everything is brought to its end.
pub const STEPS: usize = 3_000;

/// A run, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What the world is like.
    pub world: u64,
    /// One step each.
    pub steps: Vec<u64>,
    /// What it is for: the promise that it broke, and when that was found.
    #[serde(default)]
    pub about: String,
}

impl Schedule {
    /// The run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let world = rng.word();
        let steps = (0..STEPS).map(|_| rng.word()).collect();
        Self {
            world,
            steps,
            about: format!("seed {seed}"),
        }
    }
}
