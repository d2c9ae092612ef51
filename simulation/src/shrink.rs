//! Makes a schedule that breaks a promise shorter, as long as it breaks the same one.

use crate::schedule::Schedule;
use crate::world::run;

/// A schedule as short as was found within about so many runs that breaks the same promise. One that
/// breaks none comes back as it is.
#[must_use]
pub fn shrink(schedule: &Schedule, runs_max: usize) -> Schedule {
    let Some(first) = run(schedule).broken else {
        return schedule.clone();
    };
    let breaks = |steps: Vec<u64>| {
        let shorter = Schedule {
            steps,
            ..schedule.clone()
        };
        let broken = run(&shorter).broken;
        broken
            .is_some_and(|broken| broken.rule == first.rule)
            .then_some(shorter.steps)
    };
    // What comes after the break is not needed; nor, often, are all steps before it.
    let mut best = schedule.steps.clone();
    let (mut none, mut runs) = (0, 0);
    while none + 1 < best.len() && runs < runs_max {
        let half = none.midpoint(best.len());
        runs += 1;
        match breaks(best[..half].to_vec()) {
            Some(shorter) => best = shorter,
            None => none = half,
        }
    }
    let mut chunk = best.len().div_ceil(2).max(1);
    while runs < runs_max {
        let before = best.len();
        let mut at = 0;
        while at < best.len() && runs < runs_max {
            let end = (at + chunk).min(best.len());
            let mut shorter = best.clone();
            shorter.drain(at..end);
            runs += 1;
            match breaks(shorter) {
                Some(shorter) => best = shorter,
                None => at = end,
            }
        }
        if chunk == 1 && best.len() == before {
            break;
        }
        chunk = (chunk / 2).max(1);
    }
    let mut best = Schedule {
        steps: best,
        ..schedule.clone()
    };
    if let Some(broken) = run(&best).broken {
        best.about = format!("{}: {}: {}", schedule.about, broken.rule, broken.what);
    }
    best
}
