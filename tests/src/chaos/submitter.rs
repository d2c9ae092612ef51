//! Submits the jobs of a run at a steady pace, and writes down each answer. It repeats nothing but
//! what the load asks for: an answer that stays unknown is left to the judge.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::{ConnectOptions, HeaderMap};
use bytes::Bytes;
use nats_config::{Broker, Names};
use protocol::answer::Answer;
use protocol::submission::header;
use protocol::time::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use worker_sdk::{Client, SubmitError, Submitted};

use crate::demo::clock;
use crate::system::QUEUE;
use crate::wait::until;

use super::load::{Load, Wanted, Way};

/// How long a submission by the SDK is tried.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a plain write waits for its answer.
const PLAIN: Duration = Duration::from_millis(700);
/// Jobs whose submissions are under way at a time.
const UNDER_WAY: usize = 4_096;
/// Between two bursts of submissions.
const TICK: Duration = Duration::from_millis(20);

/// What a submitter was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Accepted under this number.
    Accepted(u64),
    /// The same job had been accepted under this number.
    Duplicate(u64),
    /// Another job had been accepted under this number.
    Conflict(u64),
    /// Something is there, by a plain write.
    Taken,
    /// Nothing was stored.
    NotStored(String),
    /// Nobody knows.
    Unknown(String),
}

/// One submission and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The number of the job.
    pub n: u64,
    /// Whether it had the other payload.
    pub is_other: bool,
    /// By which way.
    pub way: Way,
    /// The answer.
    pub said: Said,
}

/// What the submitters did.
#[derive(Debug, Default)]
pub struct History {
    /// All submissions.
    pub asked: Vec<Asked>,
    /// The jobs for which a cancel was asked, and whether it was answered.
    pub cancels: Vec<(u64, bool)>,
    /// When an answer came late or not at all, since boot.
    pub unknown_at: Vec<Duration>,
}

/// The submitters of a run.
#[derive(Clone)]
pub struct Submitter {
    load: Load,
    direct: Client,
    front: Client,
    plain: Broker,
    history: Arc<Mutex<History>>,
}

impl Submitter {
    /// Connects by these addresses.
    ///
    /// # Errors
    /// When nobody takes the connection.
    pub async fn connect(load: Load, url: &str) -> Result<Self> {
        let options = || {
            ConnectOptions::new()
                .ignore_discovered_servers()
                .reconnect_delay_callback(|_| Duration::from_millis(50))
        };
        let names = Names::default();
        let client = Client::connect(url, options(), names.namespace().clone()).await?;
        let addresses: Vec<&str> = url.split(',').collect();
        let plain = options().connect(addresses).await.context("connect")?;
        Ok(Self {
            load,
            front: client.front_door().with_patience(PATIENCE),
            direct: client.with_patience(PATIENCE),
            plain: Broker::new(plain, names).with_timeout(PLAIN),
            history: Arc::default(),
        })
    }

    /// Submits `jobs` jobs over `span`, and returns when the last answer is in.
    ///
    /// # Errors
    /// When a submission panicked.
    pub async fn run(&self, jobs: u64, span: Duration) -> Result<()> {
        let start = Instant::now();
        let room = Arc::new(Semaphore::new(UNDER_WAY));
        let mut open = JoinSet::new();
        let mut next = 0;
        while next < jobs {
            let share = start.elapsed().as_secs_f64() / span.as_secs_f64().max(0.001);
            while next < jobs && (next as f64) < share * jobs as f64 {
                let place = Arc::clone(&room).acquire_owned().await?;
                let (own, n) = (self.clone(), next);
                open.spawn(async move {
                    own.job(n).await;
                    drop(place);
                });
                next += 1;
            }
            while let Some(done) = open.try_join_next() {
                done?;
            }
            until(Instant::now() + TICK).await;
        }
        while let Some(done) = open.join_next().await {
            done?;
        }
        Ok(())
    }

    /// What was asked and answered so far.
    #[must_use]
    pub fn take_history(&self) -> History {
        std::mem::take(&mut *self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn job(&self, n: u64) {
        let job = self.load.wanted(n);
        let first = Timestamp::from_millis(clock::now().unix_ms);
        self.ask(n, &job, (job.way, false), first).await;
        if let Some(after) = job.cancel_after {
            until(Instant::now() + after).await;
            let answered = self.direct.cancel(QUEUE, &job.id).await.is_ok();
            self.note(|history| history.cancels.push((n, answered)));
        }
        for repeat in &job.repeats {
            until(Instant::now() + repeat.after).await;
            self.ask(n, &job, (repeat.way, repeat.is_other), first)
                .await;
        }
    }

    async fn ask(&self, n: u64, job: &Wanted, (way, is_other): (Way, bool), first: Timestamp) {
        let said = match way {
            Way::Plain => self.plain(job, is_other, first).await,
            Way::Direct | Way::FrontDoor => {
                let client = match way {
                    Way::FrontDoor => &self.front,
                    Way::Direct | Way::Plain => &self.direct,
                };
                match job.request(is_other, first) {
                    Ok(request) => said(client.submit_raw(request).await),
                    Err(error) => Said::NotStored(error.to_string()),
                }
            }
        };
        let unknown = matches!(said, Said::Unknown(_));
        self.note(|history| {
            if unknown {
                history.unknown_at.push(crate::runs::now());
            }
            history.asked.push(Asked {
                n,
                is_other,
                way,
                said,
            });
        });
    }

    fn note(&self, note: impl FnOnce(&mut History)) {
        note(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One write, as any client of the broker makes it.
    async fn plain(&self, job: &Wanted, is_other: bool, first: Timestamp) -> Said {
        let mut headers = HeaderMap::new();
        headers.insert(header::PRIORITY, job.priority.to_string().as_str());
        headers.insert(header::MAX_ATTEMPTS, job.max_attempts.to_string().as_str());
        if let Some(key) = &job.key {
            headers.insert(header::KEY, key.as_str());
        }
        let at =
            |after: Duration| first.as_millis() + u64::try_from(after.as_millis()).unwrap_or(0);
        let texts = [
            (header::RUN_AT, job.run_after.map(at)),
            (header::EXPIRES_AT, job.expires_after.map(at)),
        ];
        for (name, millis) in texts {
            if let Some(millis) = millis {
                let text = Timestamp::from_millis(millis).to_string();
                headers.insert(name, text.as_str());
            }
        }
        let subject = format!("jobs.submit.{QUEUE}.{}", job.id);
        let payload = Bytes::from(job.payload(is_other));
        match self.plain.write(subject, headers, payload).await {
            Answer::Stored(sequence) => Said::Accepted(sequence.get()),
            Answer::Occupied | Answer::WrongLast => Said::Taken,
            Answer::Duplicate(_) => Said::Unknown("duplicate".to_owned()),
            Answer::Unanswered => Said::Unknown("no answer".to_owned()),
            Answer::Busy => Said::Unknown("busy".to_owned()),
            other @ (Answer::NoResponders | Answer::Full(_) | Answer::Refused { .. }) => {
                Said::NotStored(format!("{other:?}"))
            }
        }
    }
}

fn said(answer: Result<Submitted, SubmitError>) -> Said {
    match answer {
        Ok(Submitted::Accepted { accepted }) => Said::Accepted(accepted.get()),
        Ok(Submitted::Duplicate { accepted }) => Said::Duplicate(accepted.get()),
        Ok(Submitted::Conflict { accepted, .. }) => Said::Conflict(accepted.get()),
        Err(error @ (SubmitError::Unknown { .. } | SubmitError::Rejected { .. })) => {
            Said::Unknown(error.to_string())
        }
        Err(error) => Said::NotStored(error.to_string()),
    }
}
