//! Adds up what the parts say that they checked, and holds it against the least that a proof needs. It
//! runs nothing and writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::arguments::Form;
use super::child::{Ran, counted_tests};
use super::parts::{Kind, Part};

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every promise was kept.
    Kept,
    /// One was broken; which.
    Broken(String),
    /// It proves nothing; why.
    Void(String),
}

/// A promise, what broke it and what was held against it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Zero {
    /// How many broke it.
    pub wrong: u64,
    /// How many were looked at.
    pub checked: u64,
}

/// All that was checked.
#[derive(Debug, Default, Serialize)]
pub struct Tally {
    /// Figures by their names.
    pub figures: BTreeMap<&'static str, u64>,
    /// Promises on real processes, by their names.
    pub zeros: BTreeMap<String, Zero>,
    /// Promises in the simulation, by their names; of the things that each is held against, the most.
    pub simulated: BTreeMap<String, Zero>,
    /// Faults on real processes by their kinds: planned, done, seen to bite.
    pub faults: BTreeMap<String, [u64; 3]>,
    /// The fail points that were visited.
    pub visited: BTreeSet<String>,
    /// Planted bugs that were not noticed.
    pub missed: Vec<String>,
}

/// A figure that must be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Least {
    /// In words.
    pub what: &'static str,
    /// What is there.
    pub is: u64,
    /// What is needed.
    pub least: u64,
}

impl Least {
    /// Whether it is reached.
    #[must_use]
    pub const fn is_reached(&self) -> bool {
        self.is >= self.least
    }
}

/// The least of each form, by the names of [`Tally::figures`]: full, short.
const LEAST: [(&str, [u64; 2]); 12] = [
    ("seeds", [20_000, 5_000]),
    ("simulated jobs", [2_000_000, 500_000]),
    ("planted bugs caught", [25, 0]),
    ("fuzzed inputs", [5_000_000, 1_000_000]),
    ("jobs accepted by real servers", [350_000, 50_000]),
    ("faults done to real processes", [1_000, 200]),
    ("faults of one server", [150, 20]),
    ("faults of three servers", [60, 8]),
    ("fail points visited", [fail_point::ALL.len() as u64; 2]),
    ("tests of the checker", [9, 9]),
    ("mutated histories", [2_000, 2_000]),
    ("tests of attackers and traps", [10, 10]),
];

impl Tally {
    /// Takes what a part said, and says what became of it.
    pub fn add(&mut self, part: &Part, ran: &Ran) -> Verdict {
        let verdict = match part.kind {
            Kind::Simulation => self.simulation(ran),
            Kind::Planted => self.planted(ran),
            Kind::Fuzzing => self.fuzzing(ran),
            Kind::Chaos => self.chaos(ran),
            Kind::Checker => self.checker(ran),
            Kind::Attacks => self.tests(ran, "tests of attackers and traps"),
        };
        match (verdict, ran.code) {
            (Verdict::Kept, Some(0)) => Verdict::Kept,
            (Verdict::Kept, code) => Verdict::Void(format!("it ended with {code:?}")),
            (other, _) => other,
        }
    }

    fn count(&mut self, figure: &'static str, more: u64) {
        *self.figures.entry(figure).or_default() += more;
    }

    fn simulation(&mut self, ran: &Ran) -> Verdict {
        let Some(line) = &ran.line else {
            return silent(ran);
        };
        self.count("seeds", number(&line["seeds"]));
        self.count("simulated jobs", number(&line["jobs"]));
        self.count("simulated faults", number(&line["faults_total"]));
        for (promise, found) in fields(&line["promises"]) {
            let beside = fields(&found["checked"]).map(|(_, times)| number(times));
            let zero = self.simulated.entry(promise.clone()).or_default();
            zero.wrong += number(&found["broken"]);
            zero.checked += beside.max().unwrap_or_default();
        }
        match line["broken"].as_array().map(Vec::as_slice) {
            Some([seed, rule]) => Verdict::Broken(format!("{rule} by seed {seed}")),
            Some(_) | None => Verdict::Kept,
        }
    }

    fn planted(&mut self, ran: &Ran) -> Verdict {
        let Some(line) = &ran.line else {
            return silent(ran);
        };
        self.count("planted bugs", number(&line["planted"]));
        self.count("planted bugs caught", number(&line["caught"]));
        let bugs = line["bugs"].as_array().into_iter().flatten();
        let missed = bugs.filter(|bug| bug["seed"].is_null());
        let names = missed.filter_map(|bug| bug["bug"].as_str());
        self.missed.extend(names.map(str::to_owned));
        match self.missed.is_empty() {
            true => Verdict::Kept,
            false => Verdict::Void(format!("not noticed: {}", self.missed.join(", "))),
        }
    }

    fn fuzzing(&mut self, ran: &Ran) -> Verdict {
        let Some(line) = &ran.line else {
            return silent(ran);
        };
        self.count("fuzzed inputs", number(&line["inputs"]));
        self.count("fuzz targets", fields(&line["targets"]).count() as u64);
        match line["broke"].as_str() {
            Some(target) => Verdict::Broken(format!("an input to {target}")),
            None => Verdict::Kept,
        }
    }

    fn checker(&mut self, ran: &Ran) -> Verdict {
        if let Some(line) = &ran.line {
            self.count("mutated histories", number(&line["made"]));
            self.count("mutated histories missed", number(&line["missed"]));
        }
        self.tests(ran, "tests of the checker")
    }

    fn tests(&mut self, ran: &Ran, figure: &'static str) -> Verdict {
        let (passed, failed) = counted_tests(&ran.text);
        self.count(figure, passed);
        match (failed, ran.code) {
            (0, Some(0)) => Verdict::Kept,
            (0, code) => Verdict::Void(format!("no test failed, and it ended with {code:?}")),
            (failed, _) => Verdict::Broken(format!("{failed} tests failed")),
        }
    }

    /// A run that does not count adds nothing, unless it broke a promise.
    fn chaos(&mut self, ran: &Ran) -> Verdict {
        let Some(line) = &ran.line else {
            return silent(ran);
        };
        let wrong: Vec<String> = fields(&line["checks"])
            .filter(|(_, counts)| number(&counts[0]) > 0)
            .map(|(name, counts)| format!("{name} {}", number(&counts[0])))
            .collect();
        let why = line["invalid"].as_array().into_iter().flatten();
        let why: Vec<&str> = why.filter_map(Value::as_str).collect();
        if !wrong.is_empty() || why.is_empty() {
            self.take_run(line);
        }
        match (wrong.is_empty(), why.is_empty()) {
            (false, _) => Verdict::Broken(wrong.join(", ")),
            (true, false) => Verdict::Void(why.join("; ")),
            (true, true) => Verdict::Kept,
        }
    }

    fn take_run(&mut self, line: &Value) {
        for (name, counts) in fields(&line["checks"]) {
            let zero = self.zeros.entry(name.clone()).or_default();
            zero.wrong += number(&counts[0]);
            zero.checked += number(&counts[1]);
        }
        for (kind, counts) in fields(&line["kinds"]) {
            let all = self.faults.entry(kind.clone()).or_default();
            for (at, sum) in all.iter_mut().enumerate() {
                *sum += number(&counts[at]);
            }
        }
        self.count(
            "jobs accepted by real servers",
            number(&line["counts"]["jobs_accepted"]),
        );
        self.count("faults done to real processes", number(&line["faults"]));
        self.count("faults seen to bite", number(&line["faults_bit"]));
        let of_servers = match number(&line["replicas"]) {
            1 => "faults of one server",
            _ => "faults of three servers",
        };
        self.count(of_servers, number(&line["faults_of_servers"]));
        let visits = fields(&line["visits"]).filter(|(_, count)| number(count) > 0);
        self.visited.extend(visits.map(|(point, _)| point.clone()));
        self.figures
            .insert("fail points visited", self.visited.len() as u64);
    }

    /// What must be reached, and what was. A soak is one run, and judges itself.
    #[must_use]
    pub fn least(&self, form: Form) -> Vec<Least> {
        let at = match form {
            Form::Full => 0,
            Form::Short => 1,
            Form::Soak { .. } => return Vec::new(),
        };
        LEAST
            .into_iter()
            .map(|(what, least)| Least {
                what,
                is: self.figures.get(what).copied().unwrap_or_default(),
                least: least[at],
            })
            .filter(|least| least.least > 0)
            .collect()
    }
}

/// What a shell is told: 1 where a promise was broken, 2 where it does not count, else 0.
#[must_use]
pub fn exit_code(verdicts: &[Verdict], least: &[Least]) -> u8 {
    let broken = |verdict: &Verdict| matches!(verdict, Verdict::Broken(_));
    let kept = |verdict: &Verdict| *verdict == Verdict::Kept;
    match (
        verdicts.iter().any(broken),
        verdicts.iter().all(kept) && least.iter().all(Least::is_reached),
    ) {
        (true, _) => 1,
        (false, false) => 2,
        (false, true) => 0,
    }
}

/// It did not come to its last line.
fn silent(ran: &Ran) -> Verdict {
    let code = ran
        .code
        .map_or("no code".to_owned(), |code| code.to_string());
    let took = ran.took.as_secs();
    Verdict::Void(format!(
        "it ended with {code} after {took} s without saying what it found"
    ))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::parts::parts;
    use super::{Form, Kind, Least, Part, Ran, Tally, Value, Verdict, exit_code};

    fn part(kind: Kind) -> Part {
        let all = parts(Form::Full, 1, "somewhere".as_ref());
        let mut all = all.into_iter();
        all.find(|part| part.kind == kind).unwrap()
    }

    fn ran(code: i32, line: Option<Value>) -> Ran {
        Ran {
            code: Some(code),
            took: Duration::from_secs(1),
            text: String::new(),
            line,
            log: "somewhere".into(),
        }
    }

    fn chaos(wrong: u64, invalid: &[&str]) -> Value {
        json!({
            "replicas": 1, "faults": 50, "faults_bit": 40, "faults_of_servers": 9,
            "checks": {"lost": [wrong, 1000]}, "invalid": invalid,
            "kinds": {"server killed": [10, 9, 8]},
            "counts": {"jobs_accepted": 1000}, "visits": {"worker.ack-after": 12, "x": 0},
        })
    }

    #[test]
    fn runs_are_added_up() {
        let mut tally = Tally::default();
        for _ in 0..2 {
            let verdict = tally.add(&part(Kind::Chaos), &ran(0, Some(chaos(0, &[]))));
            assert_eq!(verdict, Verdict::Kept);
        }
        assert_eq!(tally.figures["faults of one server"], 18);
        assert_eq!(tally.figures["jobs accepted by real servers"], 2_000);
        assert_eq!(tally.figures["fail points visited"], 1);
        assert_eq!(tally.zeros["lost"].checked, 2_000);
        assert_eq!(tally.faults["server killed"], [20, 18, 16]);
    }

    #[test]
    fn a_run_that_does_not_count_adds_nothing() {
        let mut tally = Tally::default();
        let line = chaos(0, &["too few leaders"]);
        let verdict = tally.add(&part(Kind::Chaos), &ran(2, Some(line)));
        assert_eq!(verdict, Verdict::Void("too few leaders".to_owned()));
        assert!(tally.figures.is_empty());
        let verdict = tally.add(&part(Kind::Chaos), &ran(1, None));
        assert!(matches!(verdict, Verdict::Void(_)));
    }

    #[test]
    fn a_broken_promise_is_shown_even_where_the_run_does_not_count() {
        let mut tally = Tally::default();
        let line = chaos(3, &["too few leaders"]);
        let verdict = tally.add(&part(Kind::Chaos), &ran(1, Some(line)));
        assert_eq!(verdict, Verdict::Broken("lost 3".to_owned()));
        assert_eq!(tally.zeros["lost"].wrong, 3);
        let bugs = json!([{"bug": "Some", "seed": null}, {"bug": "Other", "seed": 7}]);
        let missed = json!({"planted": 2, "caught": 1, "bugs": bugs});
        let verdict = tally.add(&part(Kind::Planted), &ran(1, Some(missed)));
        assert_eq!(verdict, Verdict::Void("not noticed: Some".to_owned()));
    }

    #[test]
    fn a_shell_is_told_the_worst() {
        let (kept, void) = (Verdict::Kept, Verdict::Void(String::new()));
        let broken = Verdict::Broken(String::new());
        let least = |is| Least {
            what: "x",
            is,
            least: 5,
        };
        assert_eq!(exit_code(std::slice::from_ref(&kept), &[least(5)]), 0);
        assert_eq!(exit_code(std::slice::from_ref(&kept), &[least(4)]), 2);
        assert_eq!(exit_code(&[kept, void.clone()], &[least(5)]), 2);
        assert_eq!(exit_code(&[void, broken], &[least(5)]), 1);
    }

    #[test]
    fn the_forms_ask_for_what_they_promise() {
        let of = |form| {
            let least = Tally::default().least(form);
            let mut all = least.into_iter();
            all.find(|least| least.what == "seeds").map(|one| one.least)
        };
        assert_eq!(of(Form::Full), Some(20_000));
        assert_eq!(of(Form::Short), Some(5_000));
        assert_eq!(of(Form::Soak { hours: 2.0 }), None);
    }
}
