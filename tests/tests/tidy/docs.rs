//! Rules about the written pages.

use std::path::Path;

use tests::program::repository;

use crate::tree::{File, files, none};

#[test]
fn every_link_leads_to_a_file() {
    let root = repository();
    let mut found = Vec::new();
    for page in files(&[".md"]) {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        for (number, target) in links(&page) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !root.join(folder).join(file).exists() {
                found.push(format!("{}:{number}: {target}", page.path));
            }
        }
    }
    none(
        &found,
        "correct the link, relative to the page it stands in",
    );
}

/// The targets of `[text](target)` that are no addresses, outside code blocks.
fn links(page: &File) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for piece in line.split("](").skip(1) {
            let target = piece.split([')', ' ']).next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push((number, target));
            }
        }
    }
    found
}

#[test]
fn the_change_log_has_a_place_for_the_next_change() {
    let pages = files(&["CHANGELOG.md"]);
    for page in pages.iter().filter(|page| page.path == "CHANGELOG.md") {
        assert!(
            page.text
                .lines()
                .any(|line| line.starts_with("## ") && line.contains("Unreleased")),
            "CHANGELOG.md: add a heading `## [Unreleased]` above the newest version"
        );
    }
}
