//! Schedules that broke a promise once: with a bug that is planted they still do, and without it
//! they keep every promise. `./x planted --keep` makes one anew where the simulation has changed.

#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

use std::fs;
use std::path::{Path, PathBuf};

use simulation::{Schedule, run};

fn kept() -> Vec<(String, Schedule)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let schedule = serde_json::from_str(&text).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        (name.to_owned(), schedule)
    };
    paths.into_iter().map(read).collect()
}

#[test]
#[cfg(not(feature = "planted"))]
fn no_kept_schedule_breaks_a_promise_again() {
    let all = kept();
    assert!(all.len() >= 25, "{} schedules", all.len());
    for (name, schedule) in all {
        assert_eq!(run(&schedule).broken, None, "{name}: {}", schedule.about);
    }
}

#[test]
#[cfg(feature = "planted")]
fn each_kept_schedule_shows_its_bug() {
    for (name, schedule) in kept() {
        assert!(protocol::planted::plant(&name), "no bug is named {name}");
        assert!(run(&schedule).broken.is_some(), "{name} shows nothing");
    }
}
