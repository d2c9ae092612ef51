//! What the processes of a run take of the machine: the memory and the open descriptors of each, every
//! ten seconds, as lines of `resources.jsonl`; and whether they stayed flat. It looks from outside
//! alone, at `/proc`; a server is also asked for its live heap, each minute.

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

use super::heap;
use super::judge::{Check, Checking};
use super::stage::{Seat, Stage};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// Between two questions for the live heap of the servers: each makes them collect.
const HEAP_EVERY: Duration = Duration::from_secs(60);
/// Fewer samples than these, after the first fifth, say nothing.
const SAMPLES_MIN: usize = 9;

/// Every process may grow by so much more than by what it must keep: allocators keep pages.
const ALLOWED_BYTES: u64 = 8 << 20;
/// The same of the live heap of a server: the blocks of both streams that are being written are kept
/// in memory whole, each up to 8 MiB, and grow from nothing.
const ALLOWED_HEAP: u64 = 16 << 20;
/// The same as a share of what it had: one in so many.
const ALLOWED_SHARE: u64 = 10;
/// A process may hold so many more descriptors: connections that were cut are closed a while later.
const ALLOWED_DESCRIPTORS: u64 = 8;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A nats-server: its index holds 180 to 240 bytes of a record.
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
            Self::Server => Some(240),
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
    /// What a server needs of it, in bytes: its heap after a round of its garbage collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heap: Option<u64>,
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
        let mut heap_due = next;
        loop {
            let from = self.samples.len();
            let servers = self.look(stage);
            if next >= heap_due && self.ask_for_heaps(servers).await {
                heap_due = next + HEAP_EVERY;
            }
            let fresh = self.samples.iter().skip(from);
            let lines: Result<Vec<String>, _> = fresh.map(serde_json::to_string).collect();
            let text = lines?.join("\n") + "\n";
            let written = self.file.write_all(text.as_bytes());
            written.context("write down the resources")?;
            next += EVERY;
            until(next).await;
        }
    }

    /// Asks servers, by the place of their sample and their profile port. Returns whether one answered.
    async fn ask_for_heaps(&mut self, servers: Vec<(usize, u16)>) -> bool {
        let mut answered = false;
        for (place, port) in servers {
            let heap = heap::live(port).await.ok();
            answered |= heap.is_some();
            self.samples[place].heap = heap;
        }
        answered
    }

    /// Who is being hurt at the moment is left out: its next sample comes soon. Returns the places of
    /// the servers' samples, and the servers' profile ports.
    fn look(&mut self, stage: &Stage) -> Vec<(usize, u16)> {
        let records = stage.tap.look(|book| book.last);
        let mut look = |kind, name: &str, pid: Option<Pid>| {
            let sample = pid.and_then(|pid| sample(kind, name, pid, records));
            let place = sample.as_ref().map(|_| self.samples.len());
            self.samples.extend(sample);
            place
        };
        let mut ports = Vec::new();
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
                let place = look(Kind::Server, &name, pid);
                ports.extend(place.zip(server.profile_port()));
            }
        }
        look(Kind::Chaos, "chaos", Some(rustix::process::getpid()));
        ports
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
        heap: None,
        descriptors: descriptors.count() as u64,
        records,
    })
}

/// Judges each process that lived for at least half of `steady`: the median of the last third of its
/// samples against that of the first, without the first fifth of its life.
#[must_use]
pub fn judge(samples: &[Sample], steady: Duration) -> Vec<Check> {
    let mut memory = Checking::new("memory", "processes whose memory grew without a reason");
    let mut heap = Checking::new("heap", "servers whose live heap grew without a reason");
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
        let at_most = |from: u64, beyond: u64| from + from / ALLOWED_SHARE + beyond + kept;
        let dead = match grown.heap {
            Some((early, late)) => {
                let most = at_most(early, ALLOWED_HEAP);
                let text = || format!("{name} ({pid}): {grown:?}, at most {most} bytes of heap");
                heap.look(late <= most, text);
                // Between two rounds as much may lie dead as is in use.
                late
            }
            None => 0,
        };
        let most = at_most(grown.memory.0, ALLOWED_BYTES + dead);
        let text = || format!("{name} ({pid}): {grown:?}, at most {most} bytes");
        memory.look(grown.memory.1 <= most, text);
        let open_at_first = grown.descriptors.0;
        let most = open_at_first + open_at_first / ALLOWED_SHARE + ALLOWED_DESCRIPTORS;
        let text = || format!("{name} ({pid}): {grown:?}, at most {most} descriptors");
        open.look(grown.descriptors.1 <= most, text);
    }
    [memory, heap, open].map(Checking::done).into()
}

/// The medians of the first and of the last third of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Grown {
    /// Bytes.
    pub memory: (u64, u64),
    /// Bytes of the live heap, where both thirds know it.
    pub heap: Option<(u64, u64)>,
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
        let of = |look: fn(&Sample) -> Option<u64>| median(early, look).zip(median(late, look));
        Some(Self {
            memory: of(|sample| Some(sample.memory))?,
            heap: of(|sample| sample.heap),
            descriptors: of(|sample| Some(sample.descriptors))?,
            records: of(|sample| Some(sample.records))?,
        })
    }
}

fn median(samples: &[&Sample], look: fn(&Sample) -> Option<u64>) -> Option<u64> {
    let mut all: Vec<u64> = samples.iter().filter_map(|sample| look(sample)).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
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
            heap: None,
            descriptors: open(n),
            records: n * 200,
        };
        (0..count).map(sample).collect()
    }

    /// The same with a live heap in one of six samples.
    fn with_heap(mut life: Vec<Sample>, heap: fn(u64) -> u64) -> Vec<Sample> {
        for (n, sample) in (0..).zip(&mut life) {
            sample.heap = (n % 6 == 0).then(|| heap(n));
        }
        life
    }

    fn of(life: &[Sample], name: &str) -> (usize, usize) {
        let all = judge(life, STEADY);
        let check = all.iter().find(|check| check.name == name).unwrap();
        (check.checked, check.wrong)
    }

    /// Checked and wrong, of memory and of descriptors.
    fn judged(life: &[Sample]) -> [(usize, usize); 2] {
        ["memory", "descriptors"].map(|name| of(life, name))
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
        let memory = |n| 30 * MIB + n * 200 * 220;
        let server = life(Kind::Server, 1_000, memory, |_| 9);
        assert_eq!(judged(&server), [(1, 0), (1, 0)]);
        let worker = life(Kind::Worker, 1_000, memory, |_| 9);
        assert_eq!(judged(&worker), [(1, 1), (1, 0)]);
    }

    #[test]
    fn a_server_is_judged_by_what_its_collector_leaves() {
        // What is dead comes and goes; each record stays, and the blocks that are being written.
        let swings = || life(Kind::Server, 300, |n| 40 * MIB + n / 150 * 25 * MIB, |_| 9);
        let keeps = with_heap(swings(), |n| 20 * MIB + n * 200 * 220 + n * MIB / 20);
        assert_eq!((of(&keeps, "memory"), of(&keeps, "heap")), ((1, 0), (1, 0)));
        let leaks = with_heap(swings(), |n| 20 * MIB + n * 200 * 220 + n * MIB / 5);
        assert_eq!((of(&leaks, "memory"), of(&leaks, "heap")), ((1, 0), (1, 1)));
        let unknown = swings();
        assert_eq!(
            (of(&unknown, "memory"), of(&unknown, "heap")),
            ((1, 1), (0, 0))
        );
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
