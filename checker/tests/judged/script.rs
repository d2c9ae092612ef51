//! Reads a case, a line each for what was stored or seen, and has it judged.
//!
//! Sequences count on and the clock moves by 1 ms a line; `@7` in front sets a sequence, `=` in front
//! of all lets the clock stand still. The lines:
//!
//! * ledger: `config QUEUE JSON`, `submit QUEUE ID [HEADER=VALUE…] [payload=TEXT]`,
//!   `outcome QUEUE ACCEPTED ATTEMPT ID STATUS [permanent]` or a body for the status,
//!   `control QUEUE ACCEPTED ATTEMPT VERB ID`, `epoch EPOCH [BODY]`, `record SUBJECT BODY`
//! * work queue: `has fence EPOCH PLACE`, `has work QUEUE ACCEPTED ATTEMPT ID [epoch=EPOCH]`
//! * tap: `tap fence EPOCH [FROM TO]`, `tap work QUEUE ACCEPTED ATTEMPT ID epoch=EPOCH [expects=N]`
//! * histories: `ask WHO OP QUEUE/ID PAYLOAD`, `ok WHO OP ACCEPTED`, `fail WHO OP`, `info WHO OP`,
//!   each with `[n=LINE]`,
//!   `start|end WORKER QUEUE ACCEPTED ATTEMPT DELIVERY ID [key=KEY] [HOW]`,
//!   `fault start|end WHAT WHOM`, `line TEXT`
//! * `ends N`, `tap-ends N`, `until N`, `drained`, `all-submits`, `all-runs`

use std::collections::BTreeMap;

use checker::{Digest, Judge, Present, Record, Report, Tapped};
use protocol::id::Namespace;
use protocol::number::{Epoch, Sequence};
use protocol::subject::{FENCE_LEN, Subjects};
use protocol::time::Timestamp;
use serde_json::json;

/// Judges a case.
pub(crate) fn judge(case: &str) -> Report {
    let mut script = Script::new();
    for line in case.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            script.line(line);
        }
    }
    script.finish()
}

struct Script {
    judge: Judge,
    now: u64,
    ledger: u64,
    until: Option<u64>,
    present: Vec<Present>,
    tapped: Vec<Tapped>,
    tap_ends: Option<u64>,
    history: String,
    counters: BTreeMap<String, u64>,
}

fn number(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// The value of `name=value` among the words.
fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words
        .iter()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

impl Script {
    fn new() -> Self {
        Self {
            judge: Judge::of_run(Subjects::new(Namespace::default())),
            now: 0,
            ledger: 0,
            until: None,
            present: Vec::new(),
            tapped: Vec::new(),
            tap_ends: None,
            history: String::new(),
            counters: BTreeMap::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let line = line.strip_prefix("= ").unwrap_or_else(|| {
            self.now += 1;
            line
        });
        let (at, line) = match line.strip_prefix('@') {
            Some(rest) => {
                let (at, line) = rest.split_once(' ').expect("a line behind its place");
                (Some(number(at)), line)
            }
            None => (None, line),
        };
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match verb {
            "config" => {
                let body = rest.split_once(' ').expect("a body").1;
                let revision = option(&words, "revision").unwrap_or("1");
                let body = body.split(" revision=").next().unwrap_or(body);
                self.record(
                    at,
                    &format!("jobs.config.{}.{revision}", words[0]),
                    &[],
                    body,
                );
            }
            "submit" => self.submit(at, &words),
            "outcome" => self.outcome(at, &words, rest),
            "control" => {
                let subject = format!("jobs.control.{}", words.join("."));
                self.record(at, &subject, &[], r#"{"v":1}"#);
            }
            "epoch" => {
                let body = r#"{"v":1,"fold":1,"holder":"c-1","incarnation":"i-1"}"#;
                let body = rest.split_once(' ').map_or(body, |(_, body)| body);
                self.record(at, &format!("jobs.epoch.{}", words[0]), &[], body);
            }
            "record" => {
                let body = rest.split_once(' ').map_or("", |(_, body)| body);
                self.record(at, words[0], &[], body);
            }
            "has" => self.has(at, &words),
            "tap" => self.tap(at, &words),
            "ends" => self.judge.ends_at(Sequence::new(number(rest))),
            "tap-ends" => self.tap_ends = Some(number(rest)),
            "until" => self.until = Some(number(rest)),
            "drained" => self.judge.drained(),
            "all-submits" => self.judge.knows_all_submits(),
            "all-runs" => self.judge.knows_all_runs(),
            _ => self.seen(verb, &words, rest),
        }
    }

    fn record(&mut self, at: Option<u64>, subject: &str, headers: &[(&str, &str)], body: &str) {
        let sequence = at.unwrap_or(self.ledger + 1);
        self.ledger = self.ledger.max(sequence);
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| *value)
        };
        self.judge.record(&Record {
            sequence: Sequence::new(sequence),
            time: Timestamp::from_millis(self.now),
            subject,
            header: &header,
            payload: body.as_bytes(),
        });
    }

    fn submit(&mut self, at: Option<u64>, words: &[&str]) {
        let subject = format!("jobs.submit.{}.{}", words[0], words[1]);
        let pairs = words[2..].iter().filter_map(|word| word.split_once('='));
        let headers: Vec<(&str, &str)> = pairs.filter(|(name, _)| *name != "payload").collect();
        let payload = option(words, "payload").unwrap_or("{}");
        self.record(at, &subject, &headers, payload);
    }

    fn outcome(&mut self, at: Option<u64>, words: &[&str], rest: &str) {
        let subject = format!("jobs.outcome.{}", words[..4].join("."));
        let body = match words[4] {
            status @ ("completed" | "failed" | "cancelled" | "expired" | "discarded") => {
                let error = json!({"code": "x", "permanent": words.contains(&"permanent")});
                json!({"v": 1, "status": status, "error": error}).to_string()
            }
            _ => rest.splitn(5, ' ').nth(4).unwrap_or_default().to_owned(),
        };
        self.record(at, &subject, &[], &body);
    }

    fn has(&mut self, at: Option<u64>, words: &[&str]) {
        let last = self.present.last().map_or(0, |last| last.sequence.get());
        let epoch = option(words, "epoch").map(|text| Epoch::new(number(text)));
        let subject: Vec<&str> = words
            .iter()
            .copied()
            .filter(|word| !word.contains('='))
            .collect();
        self.present.push(Present {
            sequence: Sequence::new(at.unwrap_or(last + 1)),
            subject: format!("jobs.{}", subject.join(".")),
            epoch,
        });
    }

    fn tap(&mut self, at: Option<u64>, words: &[&str]) {
        let last = self.tapped.last().map_or(0, |last| last.sequence.get());
        let next = at.unwrap_or(last + 1);
        let expects = option(words, "expects").map_or(next - 1, number);
        let mut message = Tapped {
            sequence: Sequence::new(next),
            time: Timestamp::from_millis(self.now),
            subject: format!("jobs.{}", words[..words.len().min(5)].join(".")),
            epoch: option(words, "epoch").map(|text| Epoch::new(number(text))),
            expected: Some(Sequence::new(expects)),
        };
        if words[0] != "fence" {
            return self.tapped.push(message);
        }
        let from = words.get(2).map_or(1, |from| number(from));
        let to = words.get(3).map_or(FENCE_LEN, |to| number(to));
        for place in from..=to {
            message.sequence = Sequence::new(next + place - from);
            message.subject = format!("jobs.fence.{}.{place}", words[1]);
            message.expected = (place == 1).then_some(Sequence::new(expects));
            self.tapped.push(message.clone());
        }
    }

    fn seen(&mut self, verb: &str, words: &[&str], rest: &str) {
        let t = self.now * 1_000_000;
        let line = match verb {
            "line" => rest.to_owned(),
            "fault" => json!({"t": t, "f": "nemesis",
                "v": {"phase": words[0], "fault": words[1], "target": words[2]}})
            .to_string(),
            "start" | "end" => json!({"t": t, "unix": 0, "event": verb, "worker": words[0],
                "queue": words[1], "accepted": number(words[2]), "attempt": number(words[3]),
                "delivery": number(words[4]), "id": words[5], "kind": "k", "pid": 1,
                "key": option(words, "key"),
                "end": (verb == "end").then(|| words[words.len() - 1])})
            .to_string(),
            "ask" | "ok" | "fail" | "info" => {
                let counter = self.counters.entry(words[0].to_owned()).or_default();
                *counter = option(words, "n").map_or(*counter + 1, number);
                let mut line = json!({"t": t, "n": *counter, "p": words[0], "inc": "1",
                    "op": words[1], "ty": if verb == "ask" { "invoke" } else { verb }});
                if verb == "ask" {
                    line["f"] = json!("submit");
                    line["k"] = json!(words[2]);
                    line["v"] = json!({"digest": Digest::of(words[3].as_bytes())});
                }
                if verb == "ok" {
                    line["v"] = json!({"accepted": number(words[2])});
                }
                line.to_string()
            }
            other => panic!("no line starts with {other:?}"),
        };
        self.history.push_str(&line);
        self.history.push('\n');
    }

    fn finish(mut self) -> Report {
        let (until, ledger) = (self.until, self.ledger);
        if !self.present.is_empty() {
            let until = Sequence::new(until.unwrap_or(ledger));
            self.judge.present(self.present, until);
        }
        if let Some(last) = self.tapped.last() {
            let last = self.tap_ends.map_or(last.sequence, Sequence::new);
            self.judge.tap(self.tapped, last);
        }
        self.judge.history("history", &self.history);
        self.judge.report()
    }
}
