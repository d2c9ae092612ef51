//! The jobs of a run, each made by the seed and its number: the same again for a repeat and for the
//! judge. It sends nothing.

use std::time::Duration;

use protocol::submission::Priority;
use protocol::time::Timestamp;
use worker_sdk::{SubmitError, SubmitRequest};

use crate::system::QUEUE;

use super::dice::Dice;

/// Keys that few jobs share.
const KEYS: u64 = 90;
/// Keys that a quarter of the jobs with a key share: there is always somebody waiting for his turn.
const HOT_KEYS: u64 = 6;

/// One in so many jobs is long: a worker must keep its lease, and gives it back when told to end.
const LONG_ONE_IN: u64 = 50;
/// So many long ones begin each second at least, and all workers hold some: else a slow load would
/// leave nothing to give back.
const LONG_A_SECOND: f64 = 2.0;
/// The most long ones: one in so many.
const LONG_ONE_IN_MIN: u64 = 4;

/// The jobs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    seed: u64,
    long_one_in: u64,
}

/// By which way a job is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The SDK, into the ledger.
    Direct,
    /// The SDK, through a coordinator.
    FrontDoor,
    /// One plain write that nobody repeats: its answer may stay unknown.
    Plain,
}

/// One more submission of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// After the answer to the one before.
    pub after: Duration,
    /// By which way.
    pub way: Way,
    /// Whether it has another payload under the same id.
    pub is_other: bool,
}

/// A job and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its id.
    pub id: String,
    /// What its worker is to do.
    pub payload: String,
    /// Its key.
    pub key: Option<String>,
    /// 0 first to 9.
    pub priority: u8,
    /// It does not run before this long after its submission.
    pub run_after: Option<Duration>,
    /// It is not begun after this long after its submission.
    pub expires_after: Option<Duration>,
    /// How many attempts may fail.
    pub max_attempts: u32,
    /// By which way it is submitted first.
    pub way: Way,
    /// Submitted again.
    pub repeats: Vec<Repeat>,
    /// Cancelled so long after the first answer.
    pub cancel_after: Option<Duration>,
}

impl Load {
    /// `jobs` jobs over `span`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative, and what is too much is cut"
    )]
    pub fn new(seed: u64, jobs: u64, span: Duration) -> Self {
        let rate = jobs as f64 / span.as_secs_f64().max(1.0);
        let long_one_in = (rate / LONG_A_SECOND) as u64;
        let long_one_in = long_one_in.clamp(LONG_ONE_IN_MIN, LONG_ONE_IN);
        Self { seed, long_one_in }
    }

    /// Job number `n`.
    #[must_use]
    pub fn wanted(&self, n: u64) -> Wanted {
        let mut dice = Dice::new(self.seed, 1_000 + n);
        let work_ms = self.work_ms(&mut dice);
        wanted(n, work_ms, &mut dice)
    }

    /// Most are short, so that a run holds many.
    fn work_ms(&self, dice: &mut Dice) -> u64 {
        match dice.between(0, LONG_ONE_IN - 1) {
            0 => dice.between(1_000, 2_500),
            _ if self.long_one_in < LONG_ONE_IN && dice.one_in(self.long_one_in) => {
                dice.between(1_000, 2_500)
            }
            1..6 => dice.between(50, 300),
            _ => dice.between(0, 20),
        }
    }
}

fn wanted(n: u64, work_ms: u64, dice: &mut Dice) -> Wanted {
    let millis = |dice: &mut Dice, to| Duration::from_millis(dice.between(0, to));
    let what = match dice.between(0, 99) {
        0..6 => "fail-once",
        6..9 => "fail",
        9..11 => "permanent",
        11 => "panic",
        _ => "work",
    };
    let mut repeats = Vec::new();
    while dice.one_in(8) {
        repeats.push(Repeat {
            after: millis(dice, 2_000),
            way: way(dice),
            is_other: dice.one_in(3),
        });
    }
    let priority = u8::try_from(dice.between(0, 9)).unwrap_or(5);
    let run_after = dice.one_in(20).then(|| millis(dice, 4_000));
    // After the time at which it may run: a job that cannot is malformed.
    let expires_from = run_after.unwrap_or_default() + Duration::from_millis(1);
    let expires_after = dice.one_in(25).then(|| millis(dice, 10_000));
    Wanted {
        id: format!("j{n}"),
        payload: format!(r#"{{"do":"{what}","ms":{work_ms},"n":{n}}}"#),
        key: dice.one_in(3).then(|| match dice.one_in(4) {
            true => format!("hot-{}", dice.next() % HOT_KEYS),
            false => format!("key-{}", dice.next() % KEYS),
        }),
        priority,
        run_after,
        expires_after: expires_after.map(|after| expires_from + after),
        max_attempts: 3,
        way: way(dice),
        repeats,
        cancel_after: dice.one_in(25).then(|| millis(dice, 1_500)),
    }
}

fn way(dice: &mut Dice) -> Way {
    match dice.between(0, 9) {
        0..5 => Way::Direct,
        5..8 => Way::FrontDoor,
        _ => Way::Plain,
    }
}

impl Wanted {
    /// The payload of the job, or the other one that some repeats have.
    #[must_use]
    pub fn payload(&self, is_other: bool) -> String {
        match is_other {
            true => self.payload.replace("\"ms\"", "\"other\":1,\"ms\""),
            false => self.payload.clone(),
        }
    }

    /// The submission; `first` is when the job was submitted first.
    ///
    /// # Errors
    /// When a part of it is none, which the tests would show.
    pub fn request(&self, is_other: bool, first: Timestamp) -> Result<SubmitRequest, SubmitError> {
        let mut request = SubmitRequest::new(QUEUE, &self.id)?
            .payload(self.payload(is_other))
            .priority(Priority::new(self.priority).unwrap_or_default())
            .max_attempts(self.max_attempts);
        if let Some(key) = &self.key {
            request = request.key(key)?;
        }
        if let Some(after) = self.run_after {
            request = request.run_at(later(first, after));
        }
        if let Some(after) = self.expires_after {
            request = request.expires_at(later(first, after));
        }
        Ok(request)
    }
}

fn later(first: Timestamp, after: Duration) -> Timestamp {
    let after = u64::try_from(after.as_millis()).unwrap_or_default();
    Timestamp::from_millis(first.as_millis() + after)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Load, Timestamp};

    #[test]
    fn every_job_of_a_seed_can_be_submitted() {
        let load = Load::new(3, 2_000, Duration::from_secs(10));
        for n in 0..2_000 {
            let job = load.wanted(n);
            assert_eq!(job, load.wanted(n));
            let run_after = job.run_after.unwrap_or_default();
            assert!(job.expires_after.is_none_or(|after| after > run_after));
            job.request(n % 2 == 0, Timestamp::from_millis(1_000_000))
                .unwrap();
        }
    }

    #[test]
    fn a_slow_load_has_long_jobs_too() {
        let span = Duration::from_secs(100);
        for jobs in [800, 2_000, 40_000] {
            let load = Load::new(3, jobs, span);
            let ms = |n| load.work_ms(&mut super::Dice::new(load.seed, n));
            let long = (0..jobs).filter(|n| ms(*n) >= 1_000).count() as u64;
            // A second of a fast load has as many as before.
            let least = (jobs / (2 * super::LONG_ONE_IN)).max(120);
            assert!((least..jobs / 3).contains(&long), "{long} of {jobs}");
        }
    }
}
