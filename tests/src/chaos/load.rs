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

/// Job number `n` of a seed.
#[must_use]
pub fn wanted(seed: u64, n: u64) -> Wanted {
    let mut dice = Dice::new(seed, 1_000 + n);
    let millis = |dice: &mut Dice, to| Duration::from_millis(dice.between(0, to));
    // Most are short, so that a run holds many; some must keep their lease.
    let work_ms = match dice.between(0, 49) {
        // Long enough that a worker must keep its lease, and gives it back when it is told to end.
        0 => dice.between(1_000, 2_500),
        1..6 => dice.between(50, 300),
        _ => dice.between(0, 20),
    };
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
            after: millis(&mut dice, 2_000),
            way: way(&mut dice),
            is_other: dice.one_in(3),
        });
    }
    let priority = u8::try_from(dice.between(0, 9)).unwrap_or(5);
    let run_after = dice.one_in(20).then(|| millis(&mut dice, 4_000));
    // After the time at which it may run: a job that cannot is malformed.
    let expires_from = run_after.unwrap_or_default() + Duration::from_millis(1);
    let expires_after = dice.one_in(25).then(|| millis(&mut dice, 10_000));
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
        way: way(&mut dice),
        repeats,
        cancel_after: dice.one_in(25).then(|| millis(&mut dice, 1_500)),
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
    use super::{Timestamp, wanted};

    #[test]
    fn every_job_of_a_seed_can_be_submitted() {
        for n in 0..2_000 {
            let job = wanted(3, n);
            assert_eq!(job, wanted(3, n));
            let run_after = job.run_after.unwrap_or_default();
            assert!(job.expires_after.is_none_or(|after| after > run_after));
            job.request(n % 2 == 0, Timestamp::from_millis(1_000_000))
                .unwrap();
        }
    }
}
