//! What the figures were measured on. It never measures speed itself.

use std::fs;
use std::process::Command;

use crate::program;

/// Lines for the head of a table: processors, memory, kernel, versions, commit, load.
#[must_use]
pub fn facts() -> Vec<(&'static str, String)> {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let nats = program::nats_server().map(|path| path.display().to_string());
    let mut facts = vec![
        ("processors", format!("{processors} x {}", processor())),
        ("memory", first_words("/proc/meminfo", "MemTotal:")),
        ("kernel", read("/proc/sys/kernel/osrelease")),
        ("rust", said_by("rustc", &["--version"])),
        ("commit", commit()),
        ("load before", read("/proc/loadavg")),
    ];
    if let Ok(nats) = nats {
        facts.push(("nats-server", said_by(&nats, &["--version"])));
    }
    facts
}

fn processor() -> String {
    let name = first_words("/proc/cpuinfo", "model name");
    name.trim_start_matches([':', ' ', '\t']).to_owned()
}

fn commit() -> String {
    let head = said_by("git", &["rev-parse", "--short", "HEAD"]);
    let changed = said_by("git", &["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_empty() {
        head
    } else {
        format!("{head} with changes")
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// The rest of the first line that starts with `start`.
fn first_words(path: &str, start: &str) -> String {
    let text = read(path);
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    line.unwrap_or("unknown").trim().to_owned()
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .current_dir(program::repository())
        .args(arguments)
        .output();
    match output {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}
