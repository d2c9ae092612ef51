//! Rules about who depends on whom, read from the manifests and from cargo itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use tests::program::repository;

use crate::tree::{files, none};

/// All that the rules may depend on.
const PROTOCOL_MAY: [&str; 3] = ["serde", "serde_json", "thiserror"];

/// What every program that talks to NATS in Rust has anyway.
const BASE: [&str; 4] = ["async-nats", "tokio", "serde", "serde_json"];

/// How many crates the SDK may add to that, our own among them.
const SDK_ADDS_MAX: usize = 15;

fn manifests() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = files(&["Cargo.toml"])
        .into_iter()
        .map(|file| (file.path, file.text))
        .collect();
    // The fuzzer's workspace is its own, for the sake of its build flags.
    found.retain(|(path, _)| path != "Cargo.toml" && path != "fuzz/Cargo.toml");
    found
}

/// The names under `[dependencies]`.
fn direct(manifest: &str) -> BTreeSet<&str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

/// Every crate below a package, itself included, as cargo resolves it for this machine.
fn tree(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(repository())
        .args(["tree", "-e", "normal", "--prefix", "none", "--locked"])
        .args(["--offline", "-f", "{p}", "-p", package])
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree -p {package}: {errors}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_rules_depend_on_nothing_that_does_io() {
    let manifests = manifests();
    let mut found = Vec::new();
    for (pure, more) in [("protocol", None), ("checker", Some("protocol"))] {
        let (path, text) = manifests
            .iter()
            .find(|(path, _)| *path == format!("{pure}/Cargo.toml"))
            .expect("it has a manifest");
        let may: BTreeSet<&str> = PROTOCOL_MAY.into_iter().chain(more).collect();
        let others = direct(text);
        found.extend(
            others
                .difference(&may)
                .map(|name| format!("{path}: {name}")),
        );
    }
    none(
        &found,
        "protocol and checker may depend on serde, serde_json and thiserror alone: do the rest in another crate",
    );
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let found: Vec<String> = manifests()
        .into_iter()
        .filter(|(_, text)| !text.contains("[lints]\nworkspace = true"))
        .map(|(path, _)| path)
        .collect();
    none(
        &found,
        "add `[lints]` with `workspace = true` to the manifest",
    );
}

#[test]
fn every_version_stands_in_one_place() {
    let mut found = Vec::new();
    for (path, text) in manifests() {
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                found.push(format!("{path}: {line}"));
            }
        }
    }
    none(
        &found,
        "name the version in [workspace.dependencies] and take it with `workspace = true`",
    );
}

#[test]
fn a_worker_pays_for_few_crates() {
    let mut base = BTreeSet::new();
    for package in BASE {
        base.extend(tree(package));
    }
    let sdk = tree("worker-sdk");
    let added: Vec<&String> = sdk.difference(&base).collect();
    assert!(
        added.len() <= SDK_ADDS_MAX,
        "worker-sdk adds {} crates to {BASE:?}, {SDK_ADDS_MAX} at most: drop a dependency of it. It adds {added:?}",
        added.len()
    );
}

/// What each of our crates depends on, as a lock file says it. Crates of others have a source.
fn locked(lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let ours = lock
        .split("[[package]]")
        .skip(1)
        .filter(|package| !package.contains("\nsource = "));
    ours.filter_map(|package| {
        let name = package
            .lines()
            .find_map(|line| line.strip_prefix("name = "))?;
        let names = package
            .lines()
            .skip_while(|line| !line.starts_with("dependencies"))
            .skip(1)
            // Where two versions are locked, the version follows the name.
            .filter_map(|line| line.trim().trim_matches([',', '"']).split(' ').next())
            .collect();
        Some((name.trim_matches('"'), names))
    })
    .collect()
}

#[test]
fn the_fuzzer_locks_what_our_crates_depend_on() {
    let lock = fs::read_to_string(repository().join("fuzz/Cargo.lock")).expect("it is readable");
    let locked = locked(&lock);
    let mut seen = 0;
    let mut found = Vec::new();
    for (path, text) in manifests() {
        let Some(locked) = path
            .strip_suffix("/Cargo.toml")
            .and_then(|folder| locked.get(folder))
        else {
            continue;
        };
        seen += 1;
        let optional = |name: &str| {
            text.lines()
                .any(|line| line.starts_with(&format!("{name} =")) && line.contains("optional"))
        };
        let missing = direct(&text).into_iter().filter(|name| !optional(name));
        found.extend(
            missing
                .filter(|name| !locked.contains(name))
                .map(|name| format!("{path}: {name}")),
        );
    }
    assert!(seen >= 5, "{seen} of our crates found in fuzz/Cargo.lock");
    none(
        &found,
        "the fuzzer's workspace has a lock file of its own: run `cargo update --workspace` in fuzz/",
    );
}
