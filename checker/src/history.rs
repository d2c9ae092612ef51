//! Histories: lines of JSON that submitters, workers and whoever injects faults wrote while they
//! ran. It reads and pairs them, and judges only whether they are whole.
//!
//! Three forms of a line are known, by their fields. A handler's (`event`) is the one that the
//! worker SDK's job log writes. A submitter's is an invocation and its answer:
//!
//! ```json
//! {"t":1,"n":1,"p":"s-1","inc":"5f","op":"a1","ty":"invoke","f":"submit","k":"invoices/INV-1","v":{"digest":"6c62272e07bb014262b821756295c58d"}}
//! {"t":2,"n":2,"p":"s-1","inc":"5f","op":"a1","ty":"ok","v":{"accepted":17}}
//! ```
//!
//! `t` is nanoseconds since boot, `n` counts the lines of one start of a process (`inc`) without a
//! hole, `ty` is `invoke`, `ok` (accepted, or accepted before), `fail` (certainly not accepted by
//! this one; `e` says why) or `info` (nobody knows). A fault's line says when it began and ended:
//!
//! ```json
//! {"t":5,"f":"nemesis","v":{"fault":"pause","target":"w-1","phase":"start"}}
//! ```
//!
//! Its target is a worker's name, or `broker` for what all of them feel; a `kill` only begins.

use std::collections::{BTreeMap, HashMap};

use protocol::number::{Accepted, Attempt};
use serde::Deserialize;

use crate::digest::Digest;
use crate::report::Docket;
use crate::rule::Rule;

/// All that the histories say.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// By queue and id.
    pub(crate) submits: BTreeMap<String, Vec<Submit>>,
    pub(crate) runs: Vec<Run>,
    pub(crate) faults: Vec<Fault>,
    open_submits: HashMap<(String, String, String), (String, usize)>,
    open_runs: HashMap<RunName, usize>,
    counters: HashMap<(String, String), u64>,
    /// The last line of each process.
    pub(crate) alive: HashMap<(String, u32), u64>,
}

/// One submission as its submitter saw it.
#[derive(Debug)]
pub(crate) struct Submit {
    pub(crate) digest: Digest,
    pub(crate) end: SubmitEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubmitEnd {
    Accepted(Accepted),
    Refused,
    /// No answer, or one that decides nothing.
    Unknown,
}

/// One call of a handler.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) queue: String,
    pub(crate) id: String,
    pub(crate) key: Option<String>,
    pub(crate) accepted: Accepted,
    pub(crate) attempt: Attempt,
    pub(crate) delivery: u64,
    pub(crate) worker: String,
    pub(crate) pid: u32,
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
    pub(crate) completed: bool,
}

type RunName = (String, u32, Accepted, Attempt, u64);

/// A fault, from its start to its end.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) fault: String,
    pub(crate) target: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Handler(HandlerLine),
    Answer(AnswerLine),
    Nemesis(NemesisLine),
}

#[derive(Deserialize)]
struct HandlerLine {
    t: u64,
    event: Event,
    queue: String,
    id: String,
    key: Option<String>,
    accepted: Accepted,
    attempt: Attempt,
    delivery: u64,
    worker: String,
    pid: u32,
    end: Option<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Event {
    Start,
    End,
}

#[derive(Deserialize)]
struct AnswerLine {
    n: u64,
    p: String,
    inc: String,
    op: String,
    ty: Kind,
    f: Option<String>,
    k: Option<String>,
    v: Option<Value>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

#[derive(Deserialize)]
struct Value {
    digest: Option<Digest>,
    accepted: Option<Accepted>,
}

#[derive(Deserialize)]
struct NemesisLine {
    t: u64,
    v: NemesisValue,
}

#[derive(Deserialize)]
struct NemesisValue {
    fault: String,
    target: String,
    phase: Phase,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Start,
    End,
}

impl History {
    /// Takes a file in full. A last line without an end was torn by a kill and is left out.
    pub(crate) fn read(&mut self, name: &str, text: &str, docket: &mut Docket) {
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for (number, line) in whole.lines().enumerate() {
            docket.checked(&[Rule::Valid]);
            let read = serde_json::from_str(line).map_err(|error| error.to_string());
            if let Err(what) = read.and_then(|line| self.take(line)) {
                let place = format!("{name}:{}", number + 1);
                docket.wrong(Rule::Valid, place, what);
            }
        }
    }

    fn take(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Handler(line) => self.handler(line),
            Line::Answer(line) => self.answer(line),
            Line::Nemesis(line) => self.nemesis(line),
        }
    }

    fn handler(&mut self, line: HandlerLine) -> Result<(), String> {
        let process = (line.worker.clone(), line.pid);
        let alive = self.alive.entry(process.clone()).or_default();
        *alive = line.t.max(*alive);
        let (accepted, attempt, delivery) = (line.accepted, line.attempt, line.delivery);
        let name = (process.0, process.1, accepted, attempt, delivery);
        if line.event == Event::End {
            let at = self.open_runs.remove(&name);
            let run = at.and_then(|at| self.runs.get_mut(at));
            let run = run.ok_or("a run ends that did not start")?;
            run.end = Some(line.t);
            run.completed = line.end.as_deref() == Some("completed");
            return Ok(());
        }
        self.open_runs.insert(name, self.runs.len());
        self.runs.push(Run {
            queue: line.queue,
            id: line.id,
            key: line.key,
            accepted,
            attempt,
            delivery,
            worker: line.worker,
            pid: line.pid,
            start: line.t,
            end: None,
            completed: false,
        });
        Ok(())
    }

    fn answer(&mut self, line: AnswerLine) -> Result<(), String> {
        let process = (line.p.clone(), line.inc.clone());
        let count = self.counters.insert(process, line.n);
        let op = (line.p, line.inc, line.op);
        let ended = match line.ty {
            Kind::Invoke => self.invoke(op, line.f.as_deref(), line.k, line.v),
            Kind::Fail => self.end(&op, SubmitEnd::Refused),
            Kind::Info => self.end(&op, SubmitEnd::Unknown),
            Kind::Ok => match line.v.and_then(|value| value.accepted) {
                Some(accepted) => self.end(&op, SubmitEnd::Accepted(accepted)),
                None => Err("an ok without its acceptance number".to_owned()),
            },
        };
        match count {
            Some(before) if before.checked_add(1) != Some(line.n) => {
                Err(format!("line {} of its process follows {before}", line.n))
            }
            Some(_) | None => ended,
        }
    }

    fn invoke(
        &mut self,
        op: (String, String, String),
        function: Option<&str>,
        name: Option<String>,
        value: Option<Value>,
    ) -> Result<(), String> {
        let digest = value.and_then(|value| value.digest);
        let (Some("submit"), Some(name), Some(digest)) = (function, name, digest) else {
            return Err("an invocation of no submit, or without `k` or `v.digest`".to_owned());
        };
        let all = self.submits.entry(name.clone()).or_default();
        let end = SubmitEnd::Unknown;
        all.push(Submit { digest, end });
        match self.open_submits.insert(op, (name, all.len() - 1)) {
            None => Ok(()),
            Some(_) => Err("an operation is invoked again".to_owned()),
        }
    }

    fn end(&mut self, op: &(String, String, String), end: SubmitEnd) -> Result<(), String> {
        let (name, at) = self
            .open_submits
            .remove(op)
            .ok_or("an answer to nothing that was invoked")?;
        let submit = self.submits.get_mut(&name).and_then(|all| all.get_mut(at));
        submit.expect("what is open was put there").end = end;
        Ok(())
    }

    fn nemesis(&mut self, line: NemesisLine) -> Result<(), String> {
        let NemesisValue {
            fault,
            target,
            phase,
        } = line.v;
        if phase == Phase::Start {
            self.faults.push(Fault {
                fault,
                target,
                start: line.t,
                end: u64::MAX,
            });
            return Ok(());
        }
        let open = self
            .faults
            .iter_mut()
            .rev()
            .find(|open| open.fault == fault && open.target == target && open.end == u64::MAX);
        open.ok_or("a fault ends that did not start")?.end = line.t;
        Ok(())
    }
}
