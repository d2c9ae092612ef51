//! Some seeds on every run of the tests. `./x simulate` runs many more.

use simulation::{Schedule, cores, search};

/// Seeds of a run of the tests, which is not optimised.
const SEEDS: u64 = 150;

#[test]
fn no_seed_breaks_a_promise() {
    let found = search((1, SEEDS), cores(), || false);
    assert_eq!(
        found.failed, None,
        "./x simulate --seed <n> --tell shows how"
    );
    assert_eq!(found.ran, SEEDS);
    for what in [
        "jobs",
        "elections won",
        "takeovers",
        "rescues",
        "audits",
        "folds compared",
        "stops",
    ] {
        let times = found.counts.done.get(what).copied().unwrap_or_default();
        assert!(times > 0, "a run without {what} promises nothing");
    }
}

#[test]
fn a_seed_does_the_same_each_time() {
    let schedule = Schedule::of(7);
    let (first, second) = (simulation::tell(&schedule), simulation::tell(&schedule));
    assert_eq!(first.story, second.story);
    assert!(!first.story.is_empty());
}
