//! Indices i of n among members that come, go and die: generation after generation.

use std::collections::{BTreeMap, BTreeSet};

use tests::wait::PATIENCE;

use crate::stand::{Rules, Run, Stand};

const fn index(mode: &'static str, lease: &'static str) -> Rules {
    Rules {
        partitions: None,
        mode,
        lease,
    }
}

/// The generations by their numbers: each has indices without gaps among as many members, and has ended
/// before the next one begins.
fn generations(runs: &[Run]) -> Vec<u64> {
    let mut generations: BTreeMap<u64, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        generations.entry(run.token).or_default().push(run);
    }
    let mut ended = 0;
    for (token, runs) in &generations {
        let of: BTreeSet<u32> = runs.iter().map(|run| run.of).collect();
        assert_eq!(of.len(), 1, "{runs:?}");
        let holders: BTreeSet<(u32, &str)> = runs
            .iter()
            .map(|run| (run.number, run.process.as_str()))
            .collect();
        let numbers: BTreeSet<u32> = holders.iter().map(|(number, _)| *number).collect();
        let processes: BTreeSet<&str> = holders.iter().map(|(_, process)| *process).collect();
        assert_eq!(numbers.len(), holders.len(), "{runs:?}");
        assert_eq!(processes.len(), holders.len(), "{runs:?}");
        let count = of.first().copied().unwrap();
        assert!(numbers.iter().all(|number| *number < count), "{runs:?}");
        let began = runs.iter().map(|run| run.began).min().unwrap();
        assert!(
            ended < began,
            "generation {token} began too early: {runs:?}"
        );
        ended = runs.iter().map(|run| run.last).max().unwrap();
    }
    generations.into_keys().collect()
}

fn token(held: &[Run]) -> u64 {
    let tokens: BTreeSet<u64> = held.iter().map(|run| run.token).collect();
    assert_eq!(tokens.len(), 1, "one generation: {held:?}");
    tokens.first().copied().unwrap()
}

#[tokio::test]
async fn each_change_of_the_crew_is_a_generation_that_begins_when_the_last_one_has_ended() {
    let stand = Stand::new(index("strict", "short")).await;
    let mut first = stand.start("a", &[]).await;
    let alone = token(&stand.shared_by(&["a"]).await);
    let mut second = stand.start("b", &[]).await;
    let two = token(&stand.shared_by(&["a", "b"]).await);
    let _third = stand.start("c", &[]).await;
    let three = token(&stand.shared_by(&["a", "b", "c"]).await);
    let status = first.terminate(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
    let left = token(&stand.shared_by(&["b", "c"]).await);
    second.kill().await.unwrap();
    let last = token(&stand.shared_by(&["c"]).await);
    let stable = [alone, two, three, left, last];
    assert!(
        stable.is_sorted_by(|before, after| before < after),
        "{stable:?}"
    );
    let all = generations(&stand.never_two_at_once());
    assert!(stable.iter().all(|token| all.contains(token)), "{all:?}");
}
