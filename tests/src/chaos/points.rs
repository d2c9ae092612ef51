//! The fail points that a run must visit, each, and how often it did. What happens at one is said by
//! the crate `fail-point`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

pub use fail_point::ALL;

/// Whether the programs beside this one were built with them.
#[must_use]
pub const fn are_built() -> bool {
    cfg!(feature = "fail-points")
}

/// How often each was visited, at least: a process writes down its 1st, 2nd, 4th, 8th … visit.
///
/// # Errors
/// When a log cannot be read.
pub fn visits(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).context("list the logs of the fail points")? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "points")
        {
            continue;
        }
        let text = fs::read_to_string(&path).context("read a log of fail points")?;
        let mut own: BTreeMap<&str, u64> = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, count)) = line.split_once(' ')
                && let Ok(count) = count.parse::<u64>()
            {
                let most = own.entry(name).or_default();
                *most = count.max(*most);
            }
        }
        for (name, count) in own {
            *all.entry(name.to_owned()).or_default() += count;
        }
    }
    Ok(all)
}
