//! A whole run: the load and the faults at once, then everything is healed, drained, read back and
//! judged.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::book::Book;
use crate::runs;
use crate::wait::{eventually, within};

use super::arguments::Arguments;
use super::faults::{Done, Planned};
use super::judge::judge;
use super::nemesis;
use super::plan::{Shape, plan};
use super::points;
use super::read_back::read_back;
use super::report::{Verdict, counts};
use super::resources::{self, Sampler};
use super::stage::Stage;
use super::submitter::Submitter;
use super::valid::{Least, invalid};

/// Faults a minute, where nothing else is asked for.
const FAULTS_A_MINUTE: f64 = 40.0;
/// How long after the end of the load the last answer to a submitter may come: each has its patience,
/// and a job is submitted a few times.
const ANSWERS_WITHIN: Duration = Duration::from_secs(90);
/// How long after the end of the load the last fault may go on: an armed process has its time to come
/// to its point, and whoever is told to end has his.
const FAULTS_WITHIN: Duration = Duration::from_secs(150);
/// How long everything may take to be healed.
const HEALED_WITHIN: Duration = Duration::from_secs(120);
/// After everything is healed: without the end of a single job for so long, the rest never ends.
const STILL: Duration = Duration::from_secs(60);
/// How long all jobs may take to end then: a busy machine has a long backlog.
const DRAIN: Duration = Duration::from_secs(600);
/// How long the work queue may take to be empty then: spent work that a killed server brought back is
/// deleted when a second audit finds it, and a minute lies between two.
const EMPTY_WITHIN: Duration = Duration::from_secs(180);

/// Plays a run, and keeps its history in `folder`.
///
/// # Errors
/// When something of the machinery does not work; a broken promise is no error but a verdict.
pub async fn play(arguments: &Arguments, folder: &Path) -> Result<Verdict> {
    let span = arguments.span();
    let count = arguments.faults.unwrap_or_else(|| faults_in(arguments));
    fs::create_dir_all(runs::folder(folder)).context("make the folder of the runs")?;
    let stage = Stage::start(usize::from(arguments.replicas), folder).await?;
    let submitter = Submitter::connect(arguments.load(), &stage.submitters_url()).await?;
    let shape = Shape {
        count,
        span,
        servers: usize::from(arguments.replicas),
        steady: arguments.steady(),
    };
    let plan = plan(arguments.seed, &shape);
    let least = Least::of(arguments, &plan);
    let mut sampler = Sampler::new(folder)?;
    let mut faults = loaded(&stage, &submitter, (arguments, plan), &mut sampler).await?;
    let healing = within(
        "everything to be healed",
        HEALED_WITHIN,
        nemesis::heal(&stage),
    );
    healing.await.flatten()?;
    let drained = Instant::now();
    let history = submitter.take_history();
    // Whoever still holds an unanswered write is gone before the ledger is read back.
    drop(submitter);
    drain(&stage).await;
    let drained = drained.elapsed();
    let judged = Instant::now();
    let (evidence, seen) = Box::pin(read_back(arguments, stage, (folder, history))).await?;
    for fault in &mut faults {
        seen.add_to(fault);
    }
    faults.sort_by_key(|fault| fault.start_ns);
    let lines: Result<Vec<String>, _> = faults.iter().map(serde_json::to_string).collect();
    fs::write(folder.join("faults.jsonl"), lines?.join("\n"))?;
    let visits = points::visits(folder)?;
    let mut checks = judge(&evidence);
    let mut invalid = invalid(&evidence, &faults, &visits, &least);
    if let Some(steady) = arguments.steady() {
        let flat = resources::judge(&sampler.samples, steady);
        if flat.iter().any(|check| check.checked == 0) {
            let text = "no process lived long enough to say whether its memory stayed flat";
            invalid.push(text.to_owned());
        }
        checks.extend(flat);
    }
    let mut counts = counts(&evidence);
    counts.insert("seconds_to_drain", drained.as_secs());
    counts.insert("seconds_to_judge", judged.elapsed().as_secs());
    Ok(Verdict {
        invalid,
        checks,
        counts,
        faults,
        visits,
    })
}

/// Load and faults to the ends of both. Whichever breaks, breaks the run.
async fn loaded(
    stage: &Stage,
    submitter: &Submitter,
    (arguments, plan): (&Arguments, Vec<Planned>),
    sampler: &mut Sampler,
) -> Result<Vec<Done>> {
    let span = arguments.span();
    let load = async {
        let load = submitter.run(arguments.jobs, span);
        let done = within(
            "the last answer to a submitter",
            span + ANSWERS_WITHIN,
            load,
        );
        done.await.flatten()
    };
    let hurting = async {
        let hurting = nemesis::play(stage, plan, Instant::now());
        let done = within("the end of all faults", span + FAULTS_WITHIN, hurting);
        done.await.flatten()
    };
    let ((), faults) = tokio::select! {
        both = async { futures::try_join!(load, hurting) } => both?,
        broken = sampler.watch(stage) => match broken? {},
    };
    Ok(faults)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "minutes are few and not negative"
)]
fn faults_in(arguments: &Arguments) -> u64 {
    (arguments.minutes * FAULTS_A_MINUTE).ceil() as u64
}

/// Returns when every job has ended.
async fn all_ended(stage: &Stage) -> Result<()> {
    let open = |book: &Book| book.jobs.len() - book.ended();
    loop {
        let (before, left) = stage.tap.look(|book| (book.ended(), open(book)));
        if left == 0 {
            return Ok(());
        }
        let next = stage.tap.until("the end of one more job", STILL, |book| {
            (book.ended() > before || open(book) == 0).then_some(())
        });
        next.await?;
    }
}

/// Waits until all is done; what is not, the judge finds.
async fn drain(stage: &Stage) {
    let drained = async {
        within("the end of all jobs", DRAIN, all_ended(stage))
            .await
            .flatten()?;
        let work = stage.broker.names().work();
        let filter = stage.broker.subjects().work_all();
        eventually("an empty work queue", EMPTY_WITHIN, async || {
            match stage.broker.list_subjects(work, &filter).await {
                Ok(left) if left.is_empty() => Ok(()),
                Ok(left) => Err(format!("{left:?}")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    };
    if let Err(error) = drained.await {
        tracing::warn!("not drained: {error:#}");
    }
}
