//! Scripts by seed: whatever steps, also such as nobody in their right mind would take. None depends
//! on how long something takes.

use std::collections::BTreeSet;
use std::time::Duration;

use simulation::Rng;

use crate::script::{Put, Script, Step, StreamKind, pick};

const STEPS: usize = 60;
/// Longer than any run of the tests: within it no lease and no delay runs out.
const LONG: Duration = Duration::from_secs(3_600);

/// The script of a seed.
pub(crate) fn script(seed: u64) -> Script {
    let mut rng = Rng::new(seed);
    let stream = match rng.below(8) {
        0..2 => StreamKind::Ledger,
        2..4 => StreamKind::SmallLedger(200 + rng.below(400)),
        4..7 => StreamKind::WorkQueue(LONG),
        _ => StreamKind::Bucket,
    };
    let mut play = Play {
        rng,
        stream,
        last: 0,
        deliveries: 0,
    };
    let steps = (0..STEPS).map(|_| (play.step(), None)).collect();
    Script { stream, steps }
}

/// What is thought to be so by now; wrong now and then, as with any client.
struct Play {
    rng: Rng,
    stream: StreamKind,
    last: u64,
    deliveries: usize,
}

impl Play {
    fn step(&mut self) -> Step {
        let is_queue = matches!(self.stream, StreamKind::WorkQueue(_));
        match self.rng.below(if is_queue { 34 } else { 20 }) {
            0..7 => self.put(),
            7..9 if self.stream != StreamKind::Bucket => self.batch(),
            9 if self.stream != StreamKind::Bucket => {
                Step::Gap((0..3).map(|_| self.subject()).collect())
            }
            7..11 => Step::Get(1 + self.rng.below(self.last + 2)),
            11..13 => Step::Newest(self.subject()),
            13 => Step::List,
            14..16 => Step::State,
            // Nobody deletes from a bucket of ours. What is deleted from a work queue, or purged, makes
            // its consumers hand out later what is due again: see the case.
            16..18 if self.stream != StreamKind::Bucket && !is_queue => {
                Step::Delete(1 + self.rng.below(self.last + 2))
            }
            18 if !is_queue => Step::Purge(self.subject()),
            19 if self.rng.once_in(4) => {
                (self.last, self.deliveries) = (0, 0);
                self.recreate()
            }
            20..28 => self.pull(),
            28.. if self.deliveries > 0 => self.ack(),
            _ => self.put(),
        }
    }

    /// Acks of what an older stream handed out are no part of it.
    fn recreate(&mut self) -> Step {
        match self.stream {
            StreamKind::WorkQueue(_) => Step::State,
            _ => Step::Recreate,
        }
    }

    fn subject(&mut self) -> String {
        let all: &[&str] = match self.stream {
            StreamKind::WorkQueue(_) => &[
                "work.q.1.1.a",
                "work.q.2.1.b",
                "work.q.2.2.b",
                "work.r.3.1.a.b",
                "fence.7.1",
            ],
            StreamKind::Bucket => &["a", "b"],
            _ => &[
                "submit.q.a",
                "submit.q.b",
                "outcome.q.1.1.a",
                "control.q.1.1.cancel.a",
                "config.q.1",
                "epoch.3",
            ],
        };
        (*pick(&mut self.rng, all)).to_owned()
    }

    fn put(&mut self) -> Step {
        let subject = self.subject();
        let near = self.last.saturating_sub(self.rng.below(3)) + self.rng.below(2);
        let (last, on_subject) = match self.rng.below(6) {
            0..2 => (Some(near), None),
            2 => (None, Some(self.rng.below(2) * near)),
            _ => (None, None),
        };
        self.last += u64::from(last.is_none());
        let bytes = match self.stream {
            // The bytes of headers are the server's own affair.
            StreamKind::SmallLedger(_) if last.is_none() && on_subject.is_none() => {
                self.rng.index(200)
            }
            _ => 0,
        };
        Step::Put(Put {
            subject,
            last,
            on_subject,
            bytes,
        })
    }

    fn batch(&mut self) -> Step {
        let last = self.rng.once_in(2).then_some(self.last);
        let many = 1 + self.rng.below(3);
        // Each subject once: a batch that names one twice is refused, and half of it stored.
        let subjects: BTreeSet<String> = (0..many).map(|_| self.subject()).collect();
        Step::Batch(last, subjects.into_iter().collect())
    }

    fn pull(&mut self) -> Step {
        self.deliveries += 1;
        let queue = pick(&mut self.rng, &["q", "q", "r"]);
        Step::Pull((*queue).to_owned())
    }

    fn ack(&mut self) -> Step {
        let n = 1 + self.rng.index(self.deliveries);
        let delay = pick(&mut self.rng, &[Duration::ZERO, Duration::ZERO, LONG]);
        match self.rng.below(6) {
            0..2 => Step::Ack(n),
            2..5 => Step::Nak(n, *delay),
            _ => Step::Progress(n),
        }
    }
}
