//! Runs a transcript. A line that starts with `>` is an event; the lines below it are all that must
//! follow from it. `#` starts a comment.
//!
//! The ledger's sequences count from 1; the
//! clock starts at 1 s and moves by `> wait <ms>`. `> lead <epoch> [<work>…]` takes over at once.

use super::shown;
use crate::answer::Answer;
use crate::coordinator::{Coordinator, Event, Ground, LedgerFacts};
use crate::door::Usage;
use crate::effects::Effects;
use crate::id::Namespace;
use crate::ledger::Record;
use crate::message::{EpochBody, Handles, Presence, Taken, WorkerSays};
use crate::number::{Accepted, Attempt, Epoch, Revision, Sequence};
use crate::subject::{AttemptName, FENCE_LEN, JobName, Subjects, Verb};
use crate::takeover::WorkTail;
use crate::time::Timestamp;
use crate::window::WindowWidth;
use crate::workers::Pong;

/// Runs a transcript with the default window.
pub(super) fn run(script: &str) -> World {
    run_wide(256, script)
}

/// Runs a transcript with a window of so many writes.
pub(super) fn run_wide(width: usize, script: &str) -> World {
    let mut world = World::new(width);
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for line in script.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        expected.push(line.to_owned());
        if let Some(event) = line.strip_prefix("> ") {
            found.push(line.to_owned());
            found.extend(world.event(event));
        }
    }
    assert!(
        expected == found,
        "the transcript is\n\n{}\n\nand not\n\n{}\n",
        found.join("\n"),
        expected.join("\n")
    );
    world
}

/// A coordinator, and what it needs to hear.
pub(super) struct World {
    pub(super) rules: Coordinator,
    pub(super) now: u64,
    subjects: Subjects,
    last: u64,
    fence_last: u64,
    shows_pings: bool,
}

impl World {
    fn new(width: usize) -> Self {
        let subjects = Subjects::new(Namespace::default());
        let width = WindowWidth::new(width).expect("a width of 1 to 512");
        Self {
            rules: Coordinator::new(subjects.clone(), width),
            now: 1_000,
            subjects,
            last: 0,
            fence_last: 0,
            shows_pings: false,
        }
    }

    /// Has the next record come at a place that was folded before.
    pub(super) fn step_back(&mut self, records: u64) {
        self.last -= records;
    }

    /// One event; what follows from it.
    pub(super) fn event(&mut self, line: &str) -> Vec<String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let args: Vec<&str> = rest.split_whitespace().collect();
        let effects = match verb {
            "pings" => {
                self.shows_pings = true;
                Effects::default()
            }
            "wait" => {
                self.now += number(args[0]);
                self.handle(Event::Tick)
            }
            "submit" => self.submit(&args),
            "config" => self.config(args[0], rest),
            "outcome" => self.outcome(&args, rest),
            "control" => self.control(&args),
            "epoch" => self.epoch(&args),
            "lead" => self.lead(&args),
            "won" => self.handle(Event::Won(epoch(args[0]))),
            "suspended" => self.handle(Event::Suspended),
            "resumed" => self.handle(Event::Resumed),
            "lost" => self.handle(Event::Lost),
            "not-advanced" => self.handle(Event::NotAdvanced),
            "looked" => self.looked(&args),
            "fenced" => self.fenced(&args),
            "listed" => {
                let listing = self.listing(epoch(args[0]), &args[1..]);
                self.handle(Event::Listed(epoch(args[0]), listing))
            }
            "barred" => self.handle(Event::Barred(epoch(args[0]), answer(args[1]))),
            "audited" => {
                let listing = self.listing(epoch(args[0]), &args[2..]);
                let until = Sequence::new(number(args[1]));
                self.handle(Event::Audited(epoch(args[0]), listing, until))
            }
            "answer" => self.handle(Event::Dispatched {
                tag: number(args[0]),
                answer: answer(args[1]),
            }),
            "wrote" => self.handle(Event::Wrote {
                accepted: Accepted::new(number(args[0])),
                answer: answer(args[1]),
            }),
            "read" => self.handle(Event::Reread {
                accepted: Accepted::new(number(args[0])),
                payload: args[1].as_bytes(),
            }),
            "usage" => {
                let usage = Usage {
                    used: number(args[0]),
                    limit: Some(100),
                };
                self.handle(Event::Usage(vec![usage], Some(args[1] == "open")))
            }
            "sound" => self.handle(Event::Ground(Ground::Sound)),
            "unsafe" => self.handle(Event::Ground(Ground::Unsafe(args.join(" ")))),
            "ledgerless" => self.handle(Event::Ground(Ground::LedgerGone)),
            "workless" => self.handle(Event::Ground(Ground::WorkMade)),
            "seen" => {
                let (facts, then) = (self.facts(&args), self.rules.ledger().last().cloned());
                self.handle(Event::LedgerSeen { facts, then })
            }
            _ => self.worker(verb, &args),
        };
        shown::lines(&effects, self.shows_pings)
    }

    fn handle(&mut self, event: Event<'_>) -> Effects {
        self.rules.handle(Timestamp::from_millis(self.now), event)
    }

    /// The next record of the ledger; a `subject` without the namespace.
    fn record(&mut self, subject: &str, headers: &[(String, String)], body: &[u8]) -> Effects {
        self.last += 1;
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        let record = Record {
            sequence: Sequence::new(self.last),
            time: Timestamp::from_millis(self.now),
            subject,
            header: &header,
            payload: body,
        };
        self.rules
            .handle(Timestamp::from_millis(self.now), Event::Record(&record))
    }

    /// `<queue>/<id> [<header>=<value>…]`, the headers without `Jobs-`.
    fn submit(&mut self, args: &[&str]) -> Effects {
        let subject = format!("jobs.submit.{}", args[0].replacen('/', ".", 1));
        let header = |text: &&str| {
            let (name, value) = text.split_once('=').expect("a header is name=value");
            let value = match (name, value.parse()) {
                ("Run-At" | "Expires-At", Ok(at)) => Timestamp::from_millis(at).to_string(),
                _ => value.to_owned(),
            };
            (format!("Jobs-{name}"), value)
        };
        let headers: Vec<(String, String)> = args[1..].iter().map(header).collect();
        self.record(&subject, &headers, b"{}")
    }

    /// `<queue> [<revision>] <json>`.
    fn config(&mut self, queue: &str, rest: &str) -> Effects {
        let at = rest.find('{').unwrap_or(rest.len());
        let revision = rest[queue.len()..at].trim();
        let revision = Revision::new(if revision.is_empty() {
            1
        } else {
            number(revision)
        });
        let queue = queue.parse().expect("a queue's name");
        let subject = self.subjects.config(&queue, revision);
        self.record(&subject, &[], &rest.as_bytes()[at..])
    }

    /// `<queue>/<id> <accepted> <attempt> <status or body>`.
    fn outcome(&mut self, args: &[&str], rest: &str) -> Effects {
        let subject = self.subjects.outcome(&name(args));
        let body = match (args[3], rest.find('{')) {
            (_, Some(at)) => rest[at..].to_owned(),
            (status, None) => format!(r#"{{"v":1,"status":"{status}"}}"#),
        };
        self.record(&subject, &[], body.as_bytes())
    }

    /// `<queue>/<id> <accepted> <attempt> <verb>`.
    fn control(&mut self, args: &[&str]) -> Effects {
        let verbs = [
            Verb::Cancel,
            Verb::Retry,
            Verb::Replay,
            Verb::Expire,
            Verb::Discard,
        ];
        let verb = verbs.into_iter().find(|verb| verb.as_str() == args[3]);
        let subject = self
            .subjects
            .control(&name(args), verb.expect("a known verb"));
        self.record(&subject, &[], b"")
    }

    /// `<epoch> [<fold version>]`.
    fn epoch(&mut self, args: &[&str]) -> Effects {
        let mut body = EpochBody::new("c", "i");
        if let Some(fold) = args.get(1) {
            body.fold = u32::try_from(number(fold)).expect("a small version");
        }
        let subject = self.subjects.epoch(epoch(args[0]));
        self.record(&subject, &[], &body.to_json())
    }

    /// `<epoch> [<work>…]`: all steps of a takeover; shows what the last one does.
    fn lead(&mut self, args: &[&str]) -> Effects {
        let e = epoch(args[0]);
        self.handle(Event::Won(e));
        self.looked(&[args[0]]);
        let end = (self.fence_last + FENCE_LEN).to_string();
        self.fenced(&[args[0], &end]);
        let listing = self.listing(e, &args[1..]);
        self.handle(Event::Listed(e, listing));
        let barrier = Answer::Stored(Sequence::new(self.last + 1));
        self.handle(Event::Barred(e, barrier));
        self.epoch(&args[..1])
    }

    /// `<epoch> [fence=<epoch>]`, and as [`Self::facts`].
    fn looked(&mut self, args: &[&str]) -> Effects {
        let fence = args.iter().find_map(|arg| arg.strip_prefix("fence="));
        let tail = WorkTail {
            last: Sequence::new(self.fence_last),
            newest_fence: fence.map(number).map(Epoch::new),
        };
        let ledger = self.facts(args);
        self.handle(Event::Looked {
            epoch: epoch(args[0]),
            tail,
            ledger,
        })
    }

    /// `[created=<ms>] [last=<sequence>] [other]`.
    fn facts(&self, args: &[&str]) -> LedgerFacts {
        let option = |name: &str| {
            let found = args.iter().find_map(|arg| arg.strip_prefix(name));
            found.map(number)
        };
        let mut at_folded = self.rules.ledger().last().cloned();
        if let (true, Some(record)) = (args.contains(&"other"), &mut at_folded) {
            record.time = Timestamp::from_millis(77);
        }
        LedgerFacts {
            created: Timestamp::from_millis(option("created=").unwrap_or(1)),
            last: Sequence::new(option("last=").unwrap_or(self.last)),
            at_folded,
        }
    }

    fn fenced(&mut self, args: &[&str]) -> Effects {
        let answer = answer(args[1]);
        if let Answer::Stored(last) = answer {
            self.fence_last = last.get();
        }
        self.handle(Event::Fenced(epoch(args[0]), answer))
    }

    /// The fence of `epoch` and work such as `q.3.1.a`; a `-` leaves the fence out.
    fn listing(&self, epoch: Epoch, work: &[&str]) -> Vec<String> {
        let fence = (1..=FENCE_LEN).map(|place| self.subjects.fence(epoch, place));
        let fence: Vec<String> = fence.filter(|_| !work.contains(&"-")).collect();
        let work = work.iter().filter(|work| **work != "-");
        let work = work.map(|work| match work.strip_prefix('!') {
            Some(subject) => subject.to_owned(),
            None => format!("jobs.work.{work}"),
        });
        fence.into_iter().chain(work).collect()
    }

    /// What workers say, and what pings show.
    fn worker(&mut self, verb: &str, args: &[&str]) -> Effects {
        let worker = || args[0].parse().expect("a worker's name");
        match verb {
            "took" => self.handle(Event::Said(WorkerSays::Took {
                worker: worker(),
                took: args[1..].iter().map(|text| taken(args[0], text)).collect(),
            })),
            "here" => self.handle(Event::Said(WorkerSays::Here(presence(args)))),
            "gone" => self.handle(Event::Said(WorkerSays::Gone { worker: worker() })),
            "connected" => self.handle(Event::Connected),
            "disconnected" => self.handle(Event::Disconnected),
            "pong" => {
                let pong = match args[1] {
                    "answered" => Pong::Answered,
                    "missing" => Pong::NoResponders,
                    "silent" => Pong::Silent,
                    other => panic!("a ping shows no {other}"),
                };
                self.handle(Event::Ponged(worker(), pong))
            }
            other => panic!("no event is called {other}"),
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("`{text}` is not a number"))
}

fn epoch(text: &str) -> Epoch {
    Epoch::new(number(text))
}

/// `<queue>/<id> <accepted> <attempt>`.
fn name(args: &[&str]) -> AttemptName {
    let (queue, id) = args[0].split_once('/').unwrap_or(("%", "%"));
    let job = match queue {
        "%" => JobName::Malformed,
        _ => JobName::Named {
            queue: queue.parse().expect("a queue's name"),
            id: crate::id::JobId::from_encoded(id).expect("an id"),
        },
    };
    AttemptName {
        job,
        accepted: Accepted::new(number(args[1])),
        attempt: Attempt::new(number(args[2])),
    }
}

fn answer(text: &str) -> Answer {
    match text {
        "occupied" => Answer::Occupied,
        "wrong-last" => Answer::WrongLast,
        "full" => Answer::Full("maximum bytes exceeded".to_owned()),
        "busy" => Answer::Busy,
        "nobody" => Answer::NoResponders,
        "unanswered" => Answer::Unanswered,
        "refused" => Answer::Refused {
            code: 10_060,
            text: "no".to_owned(),
        },
        at => Answer::Stored(Sequence::new(number(at))),
    }
}

/// `<accepted>/<attempt>/<delivery>`.
fn taken(worker: &str, text: &str) -> Taken {
    let parts: Vec<u64> = text.split('/').map(number).collect();
    Taken {
        accepted: Accepted::new(parts[0]),
        attempt: Attempt::new(parts[1]),
        delivery: parts[2],
        ack: format!("ack.{worker}.{text}"),
    }
}

/// `<worker> <queue>:<slots>[:<kind>,…] [<taken>…]`.
fn presence(args: &[&str]) -> Presence {
    let mut parts = args[1].split(':');
    let queue = parts.next().unwrap_or_default();
    let slots = parts.next().map_or(1, number);
    let kinds = parts.next().map_or(Vec::new(), |kinds| {
        kinds
            .split(',')
            .map(|kind| kind.parse().expect("a kind"))
            .collect()
    });
    Presence {
        v: 1,
        worker: args[0].parse().expect("a worker's name"),
        handles: vec![Handles {
            queue: queue.parse().expect("a queue's name"),
            kinds,
            slots: u32::try_from(slots).expect("few slots"),
        }],
        running: args[2..].iter().map(|text| taken(args[0], text)).collect(),
        host: String::new(),
        pid: 0,
        sdk: String::new(),
        server: String::new(),
    }
}
