//! Rules about the Rust files.

use crate::tree::{File, files, none, rust_below};

const LINES_MAX: usize = 500;

/// The loops in which all threads meet grow without end unless they are told not to.
const LOOP_LINES_MAX: usize = 300;
const LOOPS: [&str; 2] = ["coordinator/src/driver.rs", "worker-sdk/src/worker.rs"];

/// What `protocol` must not know.
const IMPURE: [&str; 9] = [
    "async ",
    ".await",
    "Instant::now",
    "SystemTime",
    "tokio",
    "async_nats",
    "std::env",
    "std::fs",
    "std::net",
];

/// What the judge may take from `protocol`: names, numbers and the decoders of what crosses the wire.
const JUDGE_MAY: [&str; 9] = [
    "config",
    "id",
    "leadership::EPOCH_MAX",
    "message",
    "number",
    "outcome",
    "subject",
    "submission",
    "time",
];

/// Where subjects are made and parsed: those that streams keep, and those of core messages.
const SUBJECT_FILES: [&str; 2] = ["protocol/src/subject.rs", "protocol/src/core_subject.rs"];

/// Pieces of subject text, in every form that is worth writing by hand.
const SUBJECT_TEXT: [&str; 10] = [
    "\"jobs.",
    ".api.",
    ".submit.",
    ".outcome.",
    ".control.",
    ".retire.",
    ".epoch.",
    ".fence.",
    ".work.",
    ".config.",
];

fn matches<'a>(
    files: impl IntoIterator<Item = &'a File>,
    broken: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            if broken(line) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

fn program_matches(files: &[File], broken: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.program_lines() {
            if broken(line) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    let found: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.path)
        .collect();
    none(
        &found,
        "open the file with `//!`: what it is for and what it never does",
    );
}

#[test]
fn no_file_is_a_hall() {
    let found: Vec<String> = files(&[".rs"])
        .iter()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(file, lines)| {
            let driver = LOOPS.contains(&file.path.as_str()) && *lines > LOOP_LINES_MAX;
            driver || *lines > LINES_MAX
        })
        .map(|(file, lines)| format!("{} has {lines} lines", file.path))
        .collect();
    none(
        &found,
        "split the file by its nouns: 500 lines at most, 300 for the driver and the worker loop",
    );
}

#[test]
fn the_rules_know_no_clock_no_runtime_and_no_broker() {
    let mut rules = rust_below("protocol/src/");
    rules.retain(|file| !is_simulation(&file.path));
    let found = program_matches(&rules, |line| {
        IMPURE.iter().any(|word| holds_word(line, word))
    });
    none(
        &found,
        "protocol decides and never acts: take time and answers as arguments, do the rest in a hand",
    );
}

#[test]
fn the_judge_shares_no_rule_with_what_it_judges() {
    let found = matches(&rust_below("checker/src/"), |line| {
        line.match_indices("protocol::").any(|(at, path)| {
            let rest = &line[at + path.len()..];
            !line.trim_start().starts_with("//")
                && !JUDGE_MAY.iter().any(|may| rest.starts_with(may))
        })
    });
    none(
        &found,
        "the checker reckons for itself: a rule that it shares with the fold hides that rule's mistakes",
    );
}

/// Simulations stand beside the rules that they run, and are compiled for tests alone.
fn is_simulation(path: &str) -> bool {
    path.ends_with("/sim.rs") || path.starts_with("simulation/")
}

/// Whether `word` stands in the line and ends there: `.await` is not in `.awaits(`.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let next = line[at + word.len()..].chars().next();
        let open_end = word.ends_with(|c: char| c.is_alphanumeric());
        !open_end || next.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    })
}

#[test]
fn subject_text_is_made_in_one_place() {
    let mut program = files(&[".rs"]);
    program.retain(|file| {
        file.path.contains("/src/")
            && !file.path.starts_with("tests/")
            && !file.path.starts_with("fuzz/")
            && !file.path.ends_with("/tests.rs")
            && !file.path.contains("/tests/")
            && !is_simulation(&file.path)
            && !SUBJECT_FILES.contains(&file.path.as_str())
    });
    let found = program_matches(&program, |line| {
        quoted(line).any(|text| {
            let text = format!("\"{text}");
            !text.contains(' ') && SUBJECT_TEXT.iter().any(|piece| text.contains(piece))
        })
    });
    none(
        &found,
        "a subject is made and parsed by protocol/src/subject.rs and core_subject.rs alone: call them, or add the twin functions there",
    );
}

/// The texts between quotation marks of a line; wrong about escaped ones, which no subject has.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

#[test]
fn nothing_is_left_over() {
    let todo = ["TO", "DO"].concat();
    let fixme = ["FIX", "ME"].concat();
    let stubs = ["todo", "unimplemented"].map(|name| [name, "!("].concat());
    let texts = files(&[".rs", ".toml", ".conf", ".md", "x", "run"]);
    let found = matches(&texts, |line| {
        let names_issue = line.split_once(&todo).is_none_or(|(_, rest)| {
            let issue = rest.split_once('#').map(|(_, number)| number);
            issue.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        });
        line.contains(&fixme) || !names_issue || stubs.iter().any(|stub| line.contains(stub))
    });
    none(
        &found,
        "finish it now, or open an issue and name it in the line as `#12`",
    );
}

#[test]
fn no_test_is_switched_off() {
    let ignore = ["#[", "ignore"].concat();
    let found = matches(&files(&[".rs"]), |line| line.contains(&ignore));
    none(
        &found,
        "mend the test or remove it: an ignored test promises nothing",
    );
}

#[test]
fn no_test_sleeps() {
    let mut tests = files(&[".rs"]);
    tests.retain(|file| {
        let of_tests = file.path.starts_with("tests/") || file.path.contains("/tests/");
        of_tests && file.path != "tests/src/wait.rs" && !file.path.starts_with("tests/src/bench")
    });
    let sleep = ["sle", "ep("].concat();
    let found = matches(&tests, |line| {
        line.contains(&sleep) && !line.trim_start().starts_with("//")
    });
    none(
        &found,
        "wait for the event itself: tests::wait and Process::wait_for_line say what was awaited",
    );
}

#[test]
fn no_machine_shows() {
    // Put together here, or this file would find itself.
    let folders = ["work", "root", "farm", "tmp"].map(|folder| format!("/{folder}/"));
    let texts = files(&[".rs", ".toml", ".md", ".conf", ".json", "x", "run", ".yml"]);
    let found = matches(&texts, |line| {
        folders.iter().any(|folder| {
            line.match_indices(folder.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| !(c.is_alphanumeric() || "./-_}*".contains(c)))
            })
        })
    });
    none(
        &found,
        "name no path of one machine: take it as an argument or from the repository's root",
    );
}
