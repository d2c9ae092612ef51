//! What front ends and workers share: the queue and the job. It never talks to the broker by itself.

pub mod executor;
pub mod front_end;
pub mod program;

use serde::{Deserialize, Serialize};
use worker_sdk::Job;

/// The queue of all work.
pub const QUEUE: &str = "multiply";

/// Work for one worker: a number to multiply by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multiply {
    /// The number.
    pub n: u32,
}

impl Multiply {
    /// The square, which is the result in the job's outcome.
    #[must_use]
    pub fn product(&self) -> u64 {
        u64::from(self.n) * u64::from(self.n)
    }
}

impl Job for Multiply {
    const KIND: &'static str = "multiply";
    type Output = u64;
}

#[cfg(test)]
mod tests {
    use super::Multiply;

    #[test]
    fn the_largest_number_has_a_product() {
        let largest = Multiply { n: u32::MAX };
        assert_eq!(largest.product(), 18_446_744_065_119_617_025);
    }
}
