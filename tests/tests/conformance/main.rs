//! The simulation's model of the broker, and a real nats-server: both are asked the same, step by
//! step, and must answer alike. The cases of `cases/` name each answer; scripts by seed compare the
//! two.
//!
//! The streams, the bucket and the consumers are those of `nats-config`, as on any broker of ours.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod broker;
mod generate;
mod model;
mod script;

use std::fs;
use std::path::Path;

use broker::Real;
use model::Model;
use script::{Script, Step};

/// Scripts by seed of a run of the tests.
const SEEDS: u64 = 60;

/// Runs a script on both. `expected` is what a case says.
async fn compare(name: &str, script: &Script, real: &mut Real) -> Result<(), String> {
    let mut model = Model::new(script.stream);
    real.begin(script).await.unwrap();
    let mut told = String::new();
    for (step, expected) in &script.steps {
        let ours = model.take(step);
        // Patience is for what is to come; what is not to come is not waited for.
        let theirs = real.take(step, ours != "nothing").await.unwrap();
        told.push_str(&format!("{step} -> {theirs}\n"));
        let allowed = expected.as_ref().unwrap_or(&ours);
        let is_allowed = |answer: &str| allowed.split(" | ").any(|one| one == answer);
        if !is_allowed(&theirs) || !is_allowed(&ours) {
            return Err(format!(
                "{name}: expected `{allowed}`, the model says `{ours}`, the server `{theirs}`, after\n{told}"
            ));
        }
    }
    Ok(())
}

fn none(differences: &[String]) {
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn the_model_answers_each_case_as_the_server_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let mut real = Real::start().await.unwrap();
    let (mut cases, mut steps, mut differences) = (0, 0, Vec::new());
    for file in &files {
        for (name, script) in script::parse_file(&fs::read_to_string(file).unwrap()) {
            differences.extend(compare(&name, &script, &mut real).await.err());
            cases += 1;
            steps += script.steps.len();
        }
    }
    none(&differences);
    assert!(cases >= 20 && steps >= 150, "{cases} cases, {steps} steps");
}

#[tokio::test]
async fn the_model_answers_scripts_by_seed_as_the_server_does() {
    let mut real = Real::start().await.unwrap();
    let mut differences = Vec::new();
    for seed in 1..=SEEDS {
        let script = generate::script(seed);
        let compared = compare(&format!("seed {seed}"), &script, &mut real).await;
        differences.extend(compared.err());
    }
    none(&differences);
}

#[test]
fn a_step_is_read_as_it_is_written() {
    for seed in 1..=SEEDS {
        for (step, _) in generate::script(seed).steps {
            assert_eq!(Step::parse(&step.to_string()), step);
        }
    }
}
