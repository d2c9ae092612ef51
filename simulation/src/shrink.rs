//! Makes a schedule that breaks a promise shorter, as long as it breaks the same one.

use crate::schedule::Schedule;
use crate::world::run;

/// Most runs that a search for a shorter schedule takes.
const RUNS_MAX: usize = 600;

/// A schedule as short as was found that breaks the same promise. One that breaks none comes back as
/// it is.
#[must_use]
pub fn shrink(schedule: &Schedule) -> Schedule {
    let Some(first) = run(schedule).broken else {
        return schedule.clone();
    };
    let mut best = schedule.clone();
    let mut runs = 0;
    let mut chunk = best.steps.len().div_ceil(2).max(1);
    while runs < RUNS_MAX {
        let before = best.steps.len();
        let mut at = 0;
        while at < best.steps.len() && runs < RUNS_MAX {
            let end = (at + chunk).min(best.steps.len());
            let mut shorter = best.clone();
            shorter.steps.drain(at..end);
            runs += 1;
            match run(&shorter).broken {
                Some(broken) if broken.rule == first.rule => best = shorter,
                _ => at = end,
            }
        }
        if chunk == 1 && best.steps.len() == before {
            break;
        }
        chunk = (chunk / 2).max(1);
    }
    if let Some(broken) = run(&best).broken {
        best.about = format!("{}: {}: {}", schedule.about, broken.rule, broken.what);
    }
    best
}
