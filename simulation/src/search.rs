//! Runs seeds on several threads and finds the first that breaks a promise. It reads no clock: when
//! to stop is asked of the caller.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::count::{Broken, Counts};
use crate::schedule::Schedule;
use crate::world::run;

/// What a search found.
#[derive(Debug, Default)]
pub struct Search {
    /// How many seeds ran.
    pub ran: u64,
    /// What they did and checked.
    pub counts: Counts,
    /// The first seed that broke a promise, and which.
    pub failed: Option<(u64, Broken)>,
}

struct Shared {
    next: AtomicU64,
    end: AtomicU64,
    found: Mutex<Search>,
}

/// Runs the seeds `from..from + seeds` on so many threads, until one breaks a promise or `is_late`.
/// Seeds before a broken one are all run, so that the first is named whatever the threads do.
pub fn search(
    (from, seeds): (u64, u64),
    threads: usize,
    is_late: impl Fn() -> bool + Sync,
) -> Search {
    let shared = Shared {
        next: AtomicU64::new(from),
        end: AtomicU64::new(from.saturating_add(seeds)),
        found: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&shared, &is_late));
        }
    });
    shared.found.into_inner().expect("no thread panics with it")
}

fn work(shared: &Shared, is_late: &impl Fn() -> bool) {
    loop {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        if seed >= shared.end.load(Ordering::Relaxed) || is_late() {
            return;
        }
        let report = run(&Schedule::of(seed));
        let mut found = shared.found.lock().expect("no thread panics with it");
        found.ran += 1;
        found.counts.add(&report.counts);
        if let Some(broken) = report.broken {
            shared.end.fetch_min(seed, Ordering::Relaxed);
            if found.failed.as_ref().is_none_or(|(known, _)| *known > seed) {
                found.failed = Some((seed, broken));
            }
        }
    }
}
