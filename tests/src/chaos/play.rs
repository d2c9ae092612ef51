//! A whole run: the load and the faults at once, then everything is healed, drained, read back and
//! judged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::StreamMessage;
use futures::StreamExt;
use nats_config::Broker;
use rustix::time::{ClockId, clock_gettime};

use crate::book::Book;
use crate::runs;
use crate::wait::{PATIENCE, eventually, within};

use super::arguments::Arguments;
use super::judge::{Evidence, judge};
use super::nemesis;
use super::plan::{Shape, plan};
use super::points;
use super::report::{Verdict, counts};
use super::resources::{self, Sampler};
use super::stage::Stage;
use super::submitter::{History, Submitter};
use super::valid::{Least, Sightings, invalid};

/// Faults a minute, where nothing else is asked for.
const FAULTS_A_MINUTE: f64 = 40.0;
/// How long all jobs may take to end after everything is healed: one may wait for its attempts.
const DRAIN: Duration = Duration::from_secs(120);

/// Plays a run, and keeps its history in `folder`.
///
/// # Errors
/// When something of the machinery does not work; a broken promise is no error but a verdict.
pub async fn play(arguments: &Arguments, folder: &Path) -> Result<Verdict> {
    let span = arguments.span();
    let count = arguments.faults.unwrap_or_else(|| faults_in(arguments));
    fs::create_dir_all(runs::folder(folder)).context("make the folder of the runs")?;
    let stage = Stage::start(usize::from(arguments.replicas), folder).await?;
    let submitter = Submitter::connect(arguments.seed, &stage.submitters_url()).await?;
    let shape = Shape {
        count,
        span,
        servers: usize::from(arguments.replicas),
        steady: arguments.steady(),
    };
    let plan = plan(arguments.seed, &shape);
    let least = Least::of(arguments.jobs, &plan);
    let mut sampler = Sampler::new(folder)?;
    let start = Instant::now();
    let (submitted, mut faults) = tokio::select! {
        both = async { futures::join!(
            submitter.run(arguments.jobs, span),
            nemesis::play(&stage, plan, start)
        ) } => both,
        broken = sampler.watch(&stage) => match broken? {},
    };
    submitted?;
    nemesis::heal(&stage).await?;
    let history = submitter.take_history();
    // Whoever still holds an unanswered write is gone before the ledger is read back.
    drop(submitter);
    drain(&stage).await;
    let (evidence, seen) = read_back(arguments, stage, (folder, history)).await?;
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
    Ok(Verdict {
        invalid,
        checks,
        counts: counts(&evidence),
        faults,
        visits,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "minutes are few and not negative"
)]
fn faults_in(arguments: &Arguments) -> u64 {
    (arguments.minutes * FAULTS_A_MINUTE).ceil() as u64
}

/// Waits until all is done; what is not, the judge finds.
async fn drain(stage: &Stage) {
    let all = stage.tap.until("the end of all jobs", DRAIN, |book| {
        (book.ended() >= book.jobs.len()).then_some(())
    });
    let drained = async {
        all.await?;
        let work = stage.broker.names().work();
        let filter = stage.broker.subjects().work_all();
        eventually("an empty work queue", PATIENCE, async || {
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

/// Ends all processes, and gathers what they left.
async fn read_back(
    arguments: &Arguments,
    stage: Stage,
    (folder, history): (&Path, History),
) -> Result<(Evidence, Sightings)> {
    let (mut ended, mut pauses, mut processes) = (BTreeMap::new(), Vec::new(), Vec::new());
    for seat in stage.workers.iter().chain(&stage.coordinators) {
        let mut member = seat.member.lock().await;
        member.end().await?;
        ended.extend(member.ended.iter().copied());
        pauses.extend(member.pauses.iter().copied());
        processes.append(&mut member.wrong);
    }
    let broker = &stage.broker;
    let (book, stored) = ledger(broker).await?;
    let work = broker.names().work();
    let work_last = broker.state(work).await?.last.get();
    let work_left = broker
        .list_subjects(work, &broker.subjects().work_all())
        .await?;
    let heard = stage.wire.close().await;
    let (explained, gaps) = heard.explain(work_last);
    let seen = stage.tap.look(|book| book.subjects.clone());
    let evidence = Evidence {
        seed: arguments.seed,
        book,
        seen,
        stored,
        work: explained,
        work_last,
        gaps,
        work_left,
        runs: runs::read(&runs::folder(folder))?,
        ended,
        pauses,
        history,
        processes,
        boot: boot(),
    };
    let sightings = Sightings::new(&evidence, heard.redeliveries, heard.outcomes);
    Ok((evidence, sightings))
}

/// The moment of boot, since 1970. Nobody sets the clocks in a run.
fn boot() -> Duration {
    let unix = clock_gettime(ClockId::Realtime);
    let unix = Duration::new(
        u64::try_from(unix.tv_sec).unwrap_or_default(),
        u32::try_from(unix.tv_nsec).unwrap_or_default(),
    );
    unix.saturating_sub(runs::now())
}

/// The whole ledger as it is now.
async fn ledger(broker: &Broker) -> Result<(Book, BTreeMap<u64, String>)> {
    let last = broker.state(broker.names().ledger()).await?.last.get();
    let jetstream = broker.jetstream();
    let stream = jetstream.get_stream(broker.names().ledger()).await?;
    let consumer = stream.create_consumer(OrderedConfig::default()).await?;
    let mut messages = consumer.messages().await?;
    let (mut book, mut stored) = (Book::default(), BTreeMap::new());
    while book.last < last {
        let next = within("the next record of the ledger", PATIENCE, messages.next());
        let message = next.await?.context("the ledger ended early")??;
        let info = message.info().map_err(|error| anyhow::anyhow!("{error}"))?;
        let record = StreamMessage {
            subject: message.subject.clone(),
            sequence: info.stream_sequence,
            headers: message.headers.clone().unwrap_or_default(),
            payload: message.payload.clone(),
            time: info.published,
        };
        stored.insert(record.sequence, record.subject.to_string());
        book.add(&record);
    }
    Ok((book, stored))
}
