//! Valid runs, made up by a seed: a leader after the other, jobs with keys and retries, killed
//! workers, cancels, expiries and replays, and what submitters and workers saw of it. As lines of a
//! script, each record with its place.

use std::collections::BTreeMap;

/// Numbers from a seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// One of `0..sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).expect("below the sides")
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        match all.len() {
            0 => None,
            len => all.get(self.roll(len)),
        }
    }
}

/// An accepted job.
struct Job {
    queue: &'static str,
    id: String,
    key: Option<&'static str>,
    accepted: usize,
    attempts_max: usize,
    failures: usize,
    last: usize,
    ended: bool,
    outstanding: bool,
}

/// A run of the system as it goes on.
struct Run {
    dice: Dice,
    lines: Vec<String>,
    ledger: usize,
    work: usize,
    epoch: usize,
    jobs: Vec<Job>,
    counters: BTreeMap<&'static str, usize>,
    workers: usize,
    /// The newest leader lived to write its barrier.
    leads: bool,
}

/// The lines of a valid run.
pub(crate) fn generate(seed: u64) -> Vec<String> {
    let mut run = Run {
        dice: Dice(seed),
        lines: Vec::new(),
        ledger: 0,
        work: 0,
        epoch: 0,
        jobs: Vec::new(),
        counters: BTreeMap::new(),
        workers: 0,
        leads: false,
    };
    run.record("config q {\"max_attempts\":2}");
    run.record("config p {}");
    run.take_over();
    for _ in 0..30 {
        match run.dice.roll(12) {
            0..4 => run.submit(),
            4 => run.take_over(),
            5 => run.end_undispatched(),
            6 => run.replay(),
            7..10 => run.dispatch(),
            _ => run.run_one(),
        }
    }
    while run.jobs.iter().any(|job| !job.ended) {
        if !run.leads {
            run.take_over();
        }
        run.dispatch();
        run.run_one();
    }
    let (ledger, work) = (run.ledger, run.work);
    run.lines.push(format!("ends {ledger}"));
    run.lines.push(format!("tap-ends {work}"));
    for line in ["drained", "all-submits", "all-runs"] {
        run.lines.push(line.to_owned());
    }
    run.lines
}

impl Run {
    fn record(&mut self, line: &str) {
        self.ledger += 1;
        self.lines.push(format!("@{} {line}", self.ledger));
    }

    /// A line of a submitter's history.
    fn says(&mut self, who: &'static str, line: &str) {
        let counter = self.counters.entry(who).or_default();
        *counter += 1;
        self.lines.push(format!("{line} n={counter}"));
    }

    fn take_over(&mut self) {
        self.epoch += 1;
        let (at, epoch) = (self.work + 1, self.epoch);
        self.lines.push(format!("@{at} tap fence {epoch}"));
        self.work += 512;
        // One in six dies before its barrier.
        self.leads = self.dice.roll(6) > 0;
        if self.leads {
            self.record(&format!("epoch {epoch}"));
        }
    }

    fn submit(&mut self) {
        let (number, who) = (self.jobs.len(), ["s1", "s2"][self.dice.roll(2)]);
        let queue = ["q", "p"][self.dice.roll(2)];
        let key = [None, Some("DE"), Some("FR")][self.dice.roll(3)];
        let id = format!("j{number}");
        let name = format!("{queue}/{id}");
        self.says(who, &format!("ask {who} {number} {name} x{number}"));
        let header = key.map_or_else(String::new, |key| format!(" Jobs-Key={key}"));
        self.record(&format!("submit {queue} {id}{header} payload=x{number}"));
        let accepted = self.ledger;
        match self.dice.roll(4) {
            0 => self.says(who, &format!("info {who} {number}")),
            _ => self.says(who, &format!("ok {who} {number} {accepted}")),
        }
        if self.dice.roll(4) == 0 {
            self.says("s3", &format!("ask s3 {number} {name} other"));
            self.says("s3", &format!("fail s3 {number}"));
        }
        self.jobs.push(Job {
            queue,
            id,
            key,
            accepted,
            attempts_max: if queue == "q" { 2 } else { 5 },
            failures: 0,
            last: 0,
            ended: false,
            outstanding: false,
        });
    }

    /// The places of the jobs that are so.
    fn which(&self, is: impl Fn(&Job) -> bool) -> Vec<usize> {
        let all = self.jobs.iter().enumerate();
        all.filter(|(_, job)| is(job)).map(|(at, _)| at).collect()
    }

    /// The leader cancels or expires a job that waits.
    fn end_undispatched(&mut self) {
        let leads = self.leads;
        let waiting = self.which(|job| leads && !job.ended && !job.outstanding);
        let Some(at) = self.dice.one_of(&waiting).copied() else {
            return;
        };
        let (verb, status) = [("cancel", "cancelled"), ("expire", "expired")][self.dice.roll(2)];
        let job = &mut self.jobs[at];
        let Job {
            queue,
            id,
            accepted,
            last,
            ..
        } = job;
        let control = format!("control {queue} {accepted} {last} {verb} {id}");
        let outcome = format!("outcome {queue} {accepted} {} {id} {status}", *last + 1);
        *last += 1;
        job.ended = true;
        self.record(&control);
        self.record(&outcome);
    }

    fn replay(&mut self) {
        let ended = self.which(|job| job.ended);
        let Some(at) = self.dice.one_of(&ended).copied() else {
            return;
        };
        let job = &mut self.jobs[at];
        job.ended = false;
        job.failures = 0;
        let line = format!(
            "control {} {} {} replay {}",
            job.queue, job.accepted, job.last, job.id
        );
        self.record(&line);
    }

    fn dispatch(&mut self) {
        let busy: Vec<&str> = self
            .jobs
            .iter()
            .filter(|job| job.outstanding)
            .filter_map(|job| job.key)
            .collect();
        let ready = self.which(|job| {
            !job.ended && !job.outstanding && job.key.is_none_or(|key| !busy.contains(&key))
        });
        let ready = if self.leads { ready } else { Vec::new() };
        let Some(at) = self.dice.one_of(&ready).copied() else {
            return;
        };
        self.work += 1;
        let job = &mut self.jobs[at];
        job.outstanding = true;
        self.lines.push(format!(
            "@{} tap work {} {} {} {} epoch={} expects={}",
            self.work,
            job.queue,
            job.accepted,
            job.last + 1,
            job.id,
            self.epoch,
            self.work - 1
        ));
    }

    fn run_one(&mut self) {
        let outstanding = self.which(|job| job.outstanding);
        let Some(at) = self.dice.one_of(&outstanding).copied() else {
            return;
        };
        let (killed, fails) = (self.dice.roll(5) == 0, self.dice.roll(4) == 0);
        let job = &mut self.jobs[at];
        job.last += 1;
        let key = job
            .key
            .map_or_else(String::new, |key| format!(" key={key}"));
        let (queue, accepted, attempt) = (job.queue, job.accepted, job.last);
        let id = job.id.clone();
        let called = |worker: usize, delivery: usize| {
            format!("w{worker} {queue} {accepted} {attempt} {delivery} {id}{key}")
        };
        let mut delivery = 1;
        if killed {
            self.workers += 1;
            let worker = self.workers;
            self.lines.push(format!("start {}", called(worker, 1)));
            self.lines.push(format!("fault start kill w{worker}"));
            delivery = 2;
        }
        let worker = 1_000 + self.dice.roll(3);
        let status = if fails { "failed" } else { "completed" };
        let call = called(worker, delivery);
        self.lines.push(format!("start {call}"));
        self.lines.push(format!("end {call} {status}"));
        self.record(&format!(
            "outcome {queue} {accepted} {attempt} {id} {status}"
        ));
        let job = &mut self.jobs[at];
        job.outstanding = false;
        job.failures += usize::from(fails);
        job.ended = !fails || job.failures >= job.attempts_max;
    }
}
