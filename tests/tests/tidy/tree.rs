//! The files of the repository, as text. It knows no rule.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tests::program::repository;

/// Folders that are made, or that others wrote.
const NOT_OURS: [&str; 5] = ["target", ".git", ".tools", "node_modules", "third-party"];

/// What the name of a folder begins with that `./x prove` wrote.
const PROOF: &str = "prove-";

/// One file of ours.
pub(crate) struct File {
    /// Its path from the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The lines with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// The lines of the program itself: no comments, and nothing from the first test module on.
    pub(crate) fn program_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// All files whose name ends in one of `ends`, sorted by path.
pub(crate) fn files(ends: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    collect(&repository(), "", ends, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The files of `files(&[".rs"])` below a folder.
pub(crate) fn rust_below(folder: &str) -> Vec<File> {
    let mut all = files(&[".rs"]);
    all.retain(|file| file.path.starts_with(folder));
    all
}

fn collect(folder: &Path, path: &str, ends: &[&str], found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let entry = entry.expect("the entry is readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{path}{name}");
        let kind = entry.file_type().expect("the entry has a type");
        if kind.is_dir() {
            if NOT_OURS.contains(&name.as_str()) || name.starts_with(PROOF) {
                continue;
            }
            collect(&entry.path(), &format!("{path}/"), ends, found);
        } else if kind.is_file() && ends.iter().any(|end| name.ends_with(end)) {
            // Files that are no text hold no rule to break.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                found.push(File { path, text });
            }
        }
    }
}

/// Fails with all findings at once and with what to do.
#[track_caller]
pub(crate) fn none(findings: &[String], what_to_do: &str) {
    let mut text = String::new();
    for finding in findings {
        writeln!(text, "  {finding}").expect("a string takes all");
    }
    assert!(findings.is_empty(), "{what_to_do}:\n{text}");
}
