//! The run itself: starts the system, submits, looks, kills, waits until all is done, and gathers
//! the evidence. It decides when to kill, and nothing else.

mod cast;
mod kills;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use coordinator::dev::{Exited, Signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use worker_sdk::Client;

use super::arguments::Arguments;
use super::documents::Document;
use super::evidence::{Evidence, Sent, Victim};
use super::observer::Observer;
use super::plan::{self, Pace, Step};
use super::records::{read_ledger, read_work};
use super::runs::{Event, Line};
use super::screen::{Screen, Shown};
use super::submitter::{QUEUE, Submitter};
use super::watch::{Seen, Watch};
use cast::Cast;
use kills::Kills;

/// How often logs are read and moments are judged: short beside the shortest check.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// How long all workers may take until the leader sees them.
const HERE_WITHIN: Duration = Duration::from_secs(20);
/// How long nothing may be finished before the demo gives up: longer than a work lease.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// How long workers may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How long the work queue may take to be acked empty.
const DRAINED_WITHIN: Duration = Duration::from_secs(35);

/// Everything that is going on.
struct Stage<'a> {
    screen: &'a Screen,
    cast: Cast,
    watch: Watch,
    kills: Kills,
    jobs: usize,
    lines: Vec<Line>,
    /// Runs that have started and not ended, by process, job, attempt and delivery.
    open: BTreeMap<(u32, u64, u64, u64), Line>,
    /// Runs that a kill cut off and that have not started again: job and attempt, and the killed
    /// process.
    cut: BTreeMap<(u64, u64), u32>,
    /// How many runs have ended, for the pace.
    ended: usize,
    /// The newest epoch that was told of.
    epoch: u64,
    done: watch::Sender<usize>,
    answered: watch::Receiver<usize>,
    accidents: Vec<String>,
}

/// A demo that has run: the evidence, and the system that can be stopped.
pub struct Played {
    /// What it is judged by.
    pub evidence: Evidence,
    cast: Cast,
}

impl Played {
    /// Ends the system in order.
    pub async fn stop(self) -> Vec<String> {
        self.cast.stop().await
    }
}

/// Somebody pressed Ctrl-C.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Runs the demo in `folder`.
///
/// # Errors
/// The system does not start, or cannot be asked any more; or somebody pressed Ctrl-C.
pub async fn play(
    arguments: &Arguments,
    documents: Vec<Document>,
    folder: &std::path::Path,
) -> Result<Played> {
    let steps = plan::steps(&documents, arguments.seed);
    let pace = Pace::of(&documents, arguments.seconds);
    let submissions = steps.iter().map(|step| step.sends.len()).sum();
    let screen = Screen::new(documents.len(), submissions)?;
    let cast = Cast::start(arguments, pace, folder).await?;
    for line in cast.introduction() {
        screen.event(&line);
    }
    let observer = Observer::start(cast.broker().clone()).await?;
    let (done, done_seen) = watch::channel(0);
    let (answered, answered_seen) = watch::channel(0);
    let documents = Arc::new(documents);
    let submitter = Submitter {
        client: Client::with_broker(cast.submitter().await?),
        documents: Arc::clone(&documents),
        done: done_seen,
        answered,
    };
    let mut stage = Stage {
        screen: &screen,
        watch: Watch::start(cast.broker().clone(), QUEUE),
        kills: Kills::new(documents.len(), pace),
        cast,
        jobs: documents.len(),
        lines: Vec::new(),
        open: BTreeMap::new(),
        cut: BTreeMap::new(),
        ended: 0,
        epoch: 0,
        done,
        answered: answered_seen,
        accidents: Vec::new(),
    };
    let played = tokio::select! {
        played = stage.perform(submitter, steps) => played,
        pressed = tokio::signal::ctrl_c() => {
            pressed.context("hear Ctrl-C")?;
            Err(Interrupted.into())
        }
    };
    screen.close();
    let sent = played?;
    let evidence = stage.gather(sent, observer, &documents).await?;
    Ok(Played {
        evidence,
        cast: stage.cast,
    })
}

impl Stage<'_> {
    /// Until all is submitted and done, or nothing moves any more.
    async fn perform(&mut self, submitter: Submitter, steps: Vec<Step>) -> Result<Vec<Sent>> {
        self.until_all_are_here().await?;
        let mut submitting = JoinSet::new();
        submitting.spawn(submitter.submit(steps));
        let mut sent: Option<Vec<Sent>> = None;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut moved = (0, Instant::now());
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.look()?;
                    self.kill()?;
                    self.show();
                }
                exited = self.cast.next_exit() => self.exited(&exited)?,
                Some(joined) = submitting.join_next() => {
                    sent = Some(joined.context("submit")??);
                    self.screen.event("all is submitted");
                }
            }
            let seen = self.seen();
            let all_done = seen.finished >= self.jobs && seen.open == 0;
            if let Some(sent) = sent.take_if(|_| all_done) {
                self.screen.event("all is done");
                return Ok(sent);
            }
            if moved.0 != seen.finished + self.ended {
                moved = (seen.finished + self.ended, Instant::now());
            } else if moved.1.elapsed() > STALLED_AFTER {
                let text = format!(
                    "nothing was finished for {} s: {} of {} jobs are done",
                    STALLED_AFTER.as_secs(),
                    seen.finished,
                    self.jobs
                );
                self.accidents.push(text);
                return Ok(sent.unwrap_or_default());
            }
        }
    }

    async fn until_all_are_here(&mut self) -> Result<()> {
        let mut seen = self.watch.seen.clone();
        let here = seen.wait_for(|seen| seen.workers >= plan::WORKERS && seen.leader.is_some());
        match tokio::time::timeout(HERE_WITHIN, here).await {
            Ok(Ok(seen)) => {
                let text = format!("{} workers are here", seen.workers);
                self.screen.event(&text);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => bail!(
                "waited {} s for {} workers; the leader sees {}",
                HERE_WITHIN.as_secs(),
                plan::WORKERS,
                self.seen().workers
            ),
        }
    }

    fn seen(&self) -> Seen {
        self.watch.seen.borrow().clone()
    }

    /// Reads what is new in the workers' logs.
    fn look(&mut self) -> Result<()> {
        for line in self.cast.read_logs()? {
            let name = (line.pid, line.accepted, line.attempt, line.delivery);
            match line.event {
                Event::Start => {
                    if let Some(killed) = self.cut.remove(&(line.accepted, line.attempt)) {
                        self.tell_rescue(&line, killed);
                    }
                    self.open.insert(name, line.clone());
                }
                Event::End => {
                    self.open.remove(&name);
                    self.ended += 1;
                }
            }
            self.lines.push(line);
        }
        self.done.send_replace(self.done());
        Ok(())
    }

    fn tell_rescue(&self, line: &Line, killed: u32) {
        let worker = self.cast.worker_named(line.pid).unwrap_or_default();
        let ago = self.kills.killed_ms_ago(killed).unwrap_or_default();
        let text = format!(
            "{} starts again on {worker}, {ago} ms after the kill",
            line.id
        );
        self.screen.event(&text);
    }

    /// How many jobs are done, as far as anybody has said.
    fn done(&self) -> usize {
        let finished = self.watch.seen.borrow().finished;
        finished.max(self.ended).min(self.jobs)
    }

    fn kill(&mut self) -> Result<()> {
        let seen = self.seen();
        let done = self.done();
        let due = self.kills.due((&seen, done), self.open.values());
        let Some(due) = due else { return Ok(()) };
        let percent = done * 100 / self.jobs.max(1);
        let running = self.open.len();
        let victim = match due {
            kills::Due::Leader(name) => Victim::Leader { name },
            kills::Due::Worker(pid) => match self.cast.worker_named(pid) {
                Some(name) => Victim::Worker { name, pid },
                None => return Ok(()),
            },
        };
        let (what, name) = match &victim {
            Victim::Leader { name } => ("the leader", name.clone()),
            Victim::Worker { name, .. } => ("the worker", name.clone()),
        };
        let at = self.cast.kill(&name)?;
        self.kills.killed(victim, at);
        self.screen.event(&format!(
            "SIGKILL to {what} {name}, with {percent} % of the jobs done and {running} running"
        ));
        Ok(())
    }

    fn exited(&mut self, exited: &Exited) -> Result<()> {
        let Exited {
            name, pid, status, ..
        } = exited;
        if name == "nats-server" {
            bail!(
                "the NATS server ended with {status}; its log is {}",
                exited.log.display()
            );
        }
        if !self.kills.is_killed(name) {
            let text = format!("{name} (process {pid}) ended by itself with {status}");
            self.screen.event(&text);
            self.accidents.push(text);
            return Ok(());
        }
        // All that it wrote before it died is there now.
        self.look()?;
        let mut cut = Vec::new();
        for line in self.open.values().filter(|line| line.pid == *pid) {
            cut.push(line.id.clone());
            self.cut.insert((line.accepted, line.attempt), *pid);
        }
        self.open.retain(|(of, ..), _| of != pid);
        if self.kills.worker_died(name, &cut) {
            let text = match cut.is_empty() {
                true => format!("{name} died between two checks: another worker has to"),
                false => format!("{name} died inside {}", cut.join(", ")),
            };
            self.screen.event(&text);
        }
        Ok(())
    }

    fn show(&mut self) {
        let seen = self.seen();
        if let Some((leader, epoch)) = &seen.leader
            && *epoch > self.epoch
        {
            self.epoch = *epoch;
            self.screen
                .event(&format!("{leader} leads in epoch {epoch}"));
        }
        let mut running: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.open.values() {
            let worker = self.cast.worker_named(line.pid).unwrap_or_default();
            let market = line.key.clone().unwrap_or_else(|| "-".to_owned());
            running.entry(market).or_default().push(worker);
        }
        self.screen.show(&Shown {
            submitted: *self.answered.borrow(),
            done: self.done(),
            leader: seen.leader.filter(|(_, epoch)| self.kills.lives(*epoch)),
            running,
        });
    }

    /// Lets the workers stop, so that their logs are whole, and reads everything back.
    async fn gather(
        &mut self,
        sent: Vec<Sent>,
        observer: Observer,
        documents: &[Document],
    ) -> Result<Evidence> {
        let work_left = self.drain().await?;
        self.stop_workers().await?;
        self.look()?;
        self.accidents.extend(self.cast.refused()?);
        let expected = documents.iter().filter_map(|document| {
            let expected = document.expected?;
            Some((document.id.clone(), expected))
        });
        Ok(Evidence {
            sent,
            records: read_ledger(self.cast.broker()).await?,
            work_left,
            lines: std::mem::take(&mut self.lines),
            kills: self.kills.all().to_vec(),
            first_work: observer.stop().await,
            expected: expected.collect(),
            accidents: std::mem::take(&mut self.accidents),
        })
    }

    /// Waits until every work message is acked, and returns those that are not.
    async fn drain(&self) -> Result<Vec<String>> {
        let since = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            let left = read_work(self.cast.broker()).await?;
            if left.is_empty() || since.elapsed() > DRAINED_WITHIN {
                return Ok(left);
            }
        }
    }

    async fn stop_workers(&mut self) -> Result<()> {
        self.cast.signal_workers(Signal::TERM)?;
        let stopped = async {
            while self.cast.has_workers() {
                let exited = self.cast.next_exit().await;
                if !exited.status.success() {
                    let Exited { name, status, .. } = exited;
                    self.accidents
                        .push(format!("{name} ended with {status} when asked to stop"));
                }
            }
        };
        tokio::time::timeout(STOP_WITHIN, stopped)
            .await
            .with_context(|| format!("waited {} s for the workers to stop", STOP_WITHIN.as_secs()))
    }
}
