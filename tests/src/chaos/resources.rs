//! What the processes of a run take of the machine: the memory and the open descriptors of each, every
//! ten seconds, as lines of `resources.jsonl`; and whether they stayed flat. It looks from outside
//! alone, at `/proc`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Pid;
use serde::Serialize;

use crate::bench::system::{Memory, memory};
use crate::runs;
use crate::wait::until;

use super::judge::{Check, Checking};
use super::stage::{Seat, Stage};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// Fewer samples than these, after the first fifth, say nothing.
const SAMPLES_MIN: usize = 9;

/// Every process may grow by so much more than by what it must keep: allocators keep pages, and the
/// garbage collector of a server lets its heap double between two rounds.
const ALLOWED_BYTES: u64 = 8 << 20;
/// The same as a share of what it had: one in so many.
const ALLOWED_SHARE: u64 = 10;
/// A process may hold so many more descriptors: connections that were cut are closed a while later.
const ALLOWED_DESCRIPTORS: u64 = 8;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A nats-server: it holds 180 to 240 bytes of a record, and twice that between two rounds of its
    /// garbage collector.
    Server,
    /// A coordinator: it keeps every job of the ledger in its state.
    Coordinator,
    /// A worker: it keeps nothing.
    Worker,
    /// This program: it keeps the whole history for the judge. Never judged.
    Chaos,
}

impl Kind {
    /// The memory that a record of the ledger may take for good; none where it is not judged.
    const fn bytes_a_record(self) -> Option<u64> {
        match self {
            Self::Server => Some(2 * 240),
            Self::Coordinator => Some(300),
            Self::Worker => Some(0),
            Self::Chaos => None,
        }
    }
}

/// One process at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Nanoseconds since boot.
    pub t: u64,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its process: another one after each start.
    pub pid: u32,
    /// Its resident memory in bytes.
    pub memory: u64,
    /// Its open descriptors.
    pub descriptors: u64,
    /// Records in the ledger then.
    pub records: u64,
}

/// Looks at all processes until it is dropped, and writes down what it sees.
pub struct Sampler {
    file: File,
    /// All samples.
    pub samples: Vec<Sample>,
}

impl Sampler {
    /// Writes into this folder.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(folder: &Path) -> Result<Self> {
        let file = File::create(folder.join("resources.jsonl")).context("keep the resources")?;
        let samples = Vec::new();
        Ok(Self { file, samples })
    }

    /// Looks again and again, and never returns by itself.
    ///
    /// # Errors
    /// When a line cannot be written.
    pub async fn watch(&mut self, stage: &Stage) -> Result<Infallible> {
        let mut next = Instant::now();
        loop {
            let from = self.samples.len();
            self.look(stage);
            let fresh = self.samples.iter().skip(from);
            let lines: Result<Vec<String>, _> = fresh.map(serde_json::to_string).collect();
            let text = lines?.join("\n") + "\n";
            let written = self.file.write_all(text.as_bytes());
            written.context("write down the resources")?;
            next += EVERY;
            until(next).await;
        }
    }

    /// Who is being hurt at the moment is left out: its next sample comes soon.
    fn look(&mut self, stage: &Stage) {
        let records = stage.tap.look(|book| book.last);
        let mut look = |kind, name: &str, pid: Option<Pid>| {
            let sample = pid.and_then(|pid| sample(kind, name, pid, records));
            self.samples.extend(sample);
        };
        let of = |seat: &Seat| {
            let mut member = seat.member.try_lock().ok()?;
            let pid = member.pid().ok()?;
            Some((member.name.clone(), i32::try_from(pid).ok()?))
        };
        let seats = [
            (Kind::Coordinator, &stage.coordinators),
            (Kind::Worker, &stage.workers),
        ];
        for (kind, seats) in seats {
            for (name, pid) in seats.iter().filter_map(of) {
                look(kind, &name, Pid::from_raw(pid));
            }
        }
        if let Ok(mut servers) = stage.servers.try_lock() {
            for server in servers.all() {
                let name = server.name().to_owned();
                let pid = server.process().map(|process| process.pid());
                look(Kind::Server, &name, pid);
            }
        }
        look(Kind::Chaos, "chaos", Some(rustix::process::getpid()));
    }
}

/// None where the process has just gone.
fn sample(kind: Kind, name: &str, pid: Pid, records: u64) -> Option<Sample> {
    let memory = memory(pid, Memory::Resident).ok()?;
    let descriptors = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).ok()?;
    Some(Sample {
        t: u64::try_from(runs::now().as_nanos()).unwrap_or(u64::MAX),
        kind,
        name: name.to_owned(),
        pid: u32::try_from(pid.as_raw_nonzero().get()).ok()?,
        memory,
        descriptors: descriptors.count() as u64,
        records,
    })
}

/// Judges each process that lived for at least half of `steady`: the median of the last third of its
/// samples against that of the first, without the first fifth of its life.
#[must_use]
pub fn judge(samples: &[Sample], steady: Duration) -> Vec<Check> {
    let mut memory = Checking::new("memory", "processes whose memory grew without a reason");
    let mut open = Checking::new("descriptors", "processes that opened ever more files");
    let mut lives: BTreeMap<(Kind, &str, u32), Vec<&Sample>> = BTreeMap::new();
    for one in samples {
        let life = lives.entry((one.kind, &one.name, one.pid)).or_default();
        life.push(one);
    }
    for ((kind, name, pid), life) in lives {
        let Some(a_record) = kind.bytes_a_record() else {
            continue;
        };
        let Some(grown) = Grown::of(&life, steady) else {
            continue;
        };
        let kept = a_record * (grown.records.1 - grown.records.0);
        let most = grown.memory.0 + grown.memory.0 / ALLOWED_SHARE + ALLOWED_BYTES + kept;
        let text = || format!("{name} ({pid}): {grown:?}, at most {most} bytes");
        memory.look(grown.memory.1 <= most, text);
        let most = grown.descriptors.0 + grown.descriptors.0 / ALLOWED_SHARE + ALLOWED_DESCRIPTORS;
        let text = || format!("{name} ({pid}): {grown:?}, at most {most} descriptors");
        open.look(grown.descriptors.1 <= most, text);
    }
    [memory, open].map(Checking::done).into()
}

/// The medians of the first and of the last third of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Grown {
    /// Bytes.
    pub memory: (u64, u64),
    /// Open ones.
    pub descriptors: (u64, u64),
    /// Records of the ledger.
    pub records: (u64, u64),
}

impl Grown {
    /// None where the life was too short to tell.
    fn of(life: &[&Sample], steady: Duration) -> Option<Self> {
        let (first, last) = (life.first()?.t, life.last()?.t);
        let age = Duration::from_nanos(last - first);
        let warm = life.len() / 5;
        let judged = &life[warm..];
        if age < steady / 2 || judged.len() < SAMPLES_MIN {
            return None;
        }
        let third = judged.len() / 3;
        let (early, late) = (&judged[..third], &judged[judged.len() - third..]);
        let of = |look: fn(&Sample) -> u64| (median(early, look), median(late, look));
        Some(Self {
            memory: of(|sample| sample.memory),
            descriptors: of(|sample| sample.descriptors),
            records: of(|sample| sample.records),
        })
    }
}

fn median(samples: &[&Sample], look: fn(&Sample) -> u64) -> u64 {
    let mut all: Vec<u64> = samples.iter().map(|sample| look(sample)).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Duration, Kind, Sample, judge};

    const STEADY: Duration = Duration::from_secs(1_000);

    /// A sample each ten seconds; both numbers are given by the number of the sample.
    fn life(kind: Kind, count: u64, memory: fn(u64) -> u64, open: fn(u64) -> u64) -> Vec<Sample> {
        let sample = |n| Sample {
            t: n * 10_000_000_000,
            kind,
            name: "x".to_owned(),
            pid: 7,
            memory: memory(n),
            descriptors: open(n),
            records: n * 200,
        };
        (0..count).map(sample).collect()
    }

    /// Checked and wrong, of memory and of descriptors.
    fn judged(life: &[Sample]) -> [(usize, usize); 2] {
        let all = judge(life, STEADY);
        [0, 1].map(|at| (all[at].checked, all[at].wrong))
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_life_is_judged_by_its_ends() {
        let flat = life(
            Kind::Worker,
            100,
            |n| 20 * MIB + n % 7 * MIB,
            |n| 20 + n % 5,
        );
        assert_eq!(judged(&flat), [(1, 0), (1, 0)]);
        let leaks = life(Kind::Worker, 100, |n| 20 * MIB + n * MIB / 4, |n| 20 + n);
        assert_eq!(judged(&leaks), [(1, 1), (1, 1)]);
    }

    #[test]
    fn what_warms_up_is_let_warm_up() {
        let warms = life(
            Kind::Worker,
            100,
            |n| n.min(15) * 4 * MIB,
            |n| n.min(15) * 3,
        );
        assert_eq!(judged(&warms), [(1, 0), (1, 0)]);
    }

    #[test]
    fn a_server_may_keep_what_the_ledger_holds_and_a_worker_not() {
        let memory = |n| 30 * MIB + n * 200 * 400;
        let server = life(Kind::Server, 1_000, memory, |_| 9);
        assert_eq!(judged(&server), [(1, 0), (1, 0)]);
        let worker = life(Kind::Worker, 1_000, memory, |_| 9);
        assert_eq!(judged(&worker), [(1, 1), (1, 0)]);
    }

    #[test]
    fn a_short_life_proves_nothing() {
        let short = life(Kind::Worker, 45, |n| n * MIB, |n| n);
        assert_eq!(judged(&short), [(0, 0), (0, 0)]);
        assert_eq!(
            judged(&life(Kind::Chaos, 100, |n| n * MIB, |n| n)),
            [(0, 0); 2]
        );
    }
}
