//! The language of the cases. A file holds cases, each with a name, a stream and steps:
//!
//! ```text
//! case: what stands on a subject is not replaced
//! stream: ledger
//! put submit.q.a -> 1
//! put submit.q.a -> 10077 by subject
//! ```
//!
//! An answer may allow several things, with ` | ` between them.

use std::fmt;
use std::time::Duration;

use simulation::Rng;

/// Which stream a script runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Ledger,
    /// A ledger with room for so many bytes.
    SmallLedger(u64),
    /// With the consumers of `q` and `r`, and how long they wait for an ack.
    WorkQueue(Duration),
    Bucket,
}

/// A stream and what is asked of it; with each step what must be answered, if that is said.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) stream: StreamKind,
    pub(crate) steps: Vec<(Step, Option<String>)>,
}

/// A message to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) subject: String,
    pub(crate) last: Option<u64>,
    pub(crate) on_subject: Option<u64>,
    /// Length of its payload.
    pub(crate) bytes: usize,
}

/// One thing that is asked. Deliveries are numbered from 1 in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Answer: its sequence, or the refusal.
    Put(Put),
    /// An atomic batch; the first message may expect a last sequence.
    Batch(Option<u64>, Vec<String>),
    /// An atomic batch whose second message is left out.
    Gap(Vec<String>),
    /// What stands at a sequence, by the stream's leader.
    Get(u64),
    /// Which sequence stands on a subject, by the stream's leader.
    Newest(String),
    /// All subjects.
    List,
    /// Last sequence, messages, bytes.
    State,
    /// By its sequence.
    Delete(u64),
    Purge(String),
    /// What a queue's consumer has now.
    Pull(String),
    /// What it has next, as soon as that comes.
    Await(String),
    Ack(usize),
    Nak(usize, Duration),
    Progress(usize),
    /// SIGTERM and a new start.
    Stop,
    /// SIGKILL and a new start.
    Kill,
    /// The stream is deleted and made anew.
    Recreate,
    /// The server is stopped, its store copied, and it is started again.
    Save,
    /// The server is killed, gets the copy of its store, and is started again.
    Restore,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(put) => {
                write!(f, "put {}", put.subject)?;
                put.last.map_or(Ok(()), |last| write!(f, " last={last}"))?;
                let on_subject = put.on_subject;
                on_subject.map_or(Ok(()), |on| write!(f, " on-subject={on}"))?;
                match put.bytes {
                    0 => Ok(()),
                    bytes => write!(f, " bytes={bytes}"),
                }
            }
            Self::Batch(last, subjects) => {
                f.write_str("batch")?;
                last.map_or(Ok(()), |last| write!(f, " last={last}"))?;
                write!(f, " {}", subjects.join(" "))
            }
            Self::Gap(subjects) => write!(f, "gap {}", subjects.join(" ")),
            Self::Get(at) => write!(f, "get {at}"),
            Self::Newest(subject) => write!(f, "newest {subject}"),
            Self::List => f.write_str("list"),
            Self::State => f.write_str("state"),
            Self::Delete(at) => write!(f, "delete {at}"),
            Self::Purge(subject) => write!(f, "purge {subject}"),
            Self::Pull(queue) => write!(f, "pull {queue}"),
            Self::Await(queue) => write!(f, "await {queue}"),
            Self::Ack(n) => write!(f, "ack {n}"),
            Self::Nak(n, delay) if delay.is_zero() => write!(f, "nak {n}"),
            Self::Nak(n, delay) => write!(f, "nak {n} delay={}", delay.as_millis()),
            Self::Progress(n) => write!(f, "progress {n}"),
            Self::Stop => f.write_str("stop"),
            Self::Kill => f.write_str("kill"),
            Self::Recreate => f.write_str("recreate"),
            Self::Save => f.write_str("save"),
            Self::Restore => f.write_str("restore"),
        }
    }
}

impl Step {
    /// Reads a step.
    ///
    /// # Panics
    /// When it is none: the cases are ours.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let (options, plain): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
        let option = |name: &str| {
            let found = options.iter().find_map(|word| word.split_once('='));
            let value = options
                .iter()
                .filter_map(|word| word.split_once('='))
                .find(|(known, _)| *known == name);
            assert!(found.is_some() || options.is_empty());
            value.map(|(_, value)| value.parse::<u64>().unwrap())
        };
        let first = || {
            (*plain
                .first()
                .unwrap_or_else(|| panic!("`{text}`: of what?")))
            .to_owned()
        };
        let number = || first().parse::<u64>().unwrap();
        let delivery = || usize::try_from(number()).unwrap();
        let subjects = || plain.iter().map(|subject| (*subject).to_owned()).collect();
        match verb {
            "put" => Self::Put(Put {
                subject: first(),
                last: option("last"),
                on_subject: option("on-subject"),
                bytes: usize::try_from(option("bytes").unwrap_or_default()).unwrap(),
            }),
            "batch" => Self::Batch(option("last"), subjects()),
            "gap" => Self::Gap(subjects()),
            "get" => Self::Get(number()),
            "newest" => Self::Newest(first()),
            "list" => Self::List,
            "state" => Self::State,
            "delete" => Self::Delete(number()),
            "purge" => Self::Purge(first()),
            "pull" => Self::Pull(first()),
            "await" => Self::Await(first()),
            "ack" => Self::Ack(delivery()),
            "nak" => {
                let delay = Duration::from_millis(option("delay").unwrap_or_default());
                Self::Nak(delivery(), delay)
            }
            "progress" => Self::Progress(delivery()),
            "stop" => Self::Stop,
            "kill" => Self::Kill,
            "recreate" => Self::Recreate,
            "save" => Self::Save,
            "restore" => Self::Restore,
            _ => panic!("`{text}` is no step"),
        }
    }
}

fn stream(text: &str) -> StreamKind {
    let (kind, number) = text.split_once(' ').unwrap_or((text, ""));
    match kind {
        "ledger" if number.is_empty() => StreamKind::Ledger,
        "ledger" => StreamKind::SmallLedger(number.parse().unwrap()),
        "work" => StreamKind::WorkQueue(Duration::from_millis(number.parse().unwrap())),
        "bucket" => StreamKind::Bucket,
        _ => panic!("`{text}` is no stream"),
    }
}

/// Reads the cases of a file, with their names.
pub(crate) fn parse_file(text: &str) -> Vec<(String, Script)> {
    let lines = text.lines().map(str::trim);
    let mut cases: Vec<(String, Script)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("case: ") {
            let script = Script {
                stream: StreamKind::Ledger,
                steps: Vec::new(),
            };
            cases.push((name.to_owned(), script));
            continue;
        }
        let (_, script) = cases.last_mut().expect("a case begins with its name");
        if let Some(kind) = line.strip_prefix("stream: ") {
            script.stream = stream(kind);
            continue;
        }
        let (step, answer) = line.split_once("->").unwrap_or((line, "ok"));
        let answer = answer.trim().to_owned();
        script.steps.push((Step::parse(step), Some(answer)));
    }
    cases
}

/// One of several.
pub(crate) fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.index(from.len())]
}
