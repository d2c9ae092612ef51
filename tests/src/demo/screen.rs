//! What a person sees while the demo runs: a bar, who leads, which markets run, and what happens.
//! On a terminal it is redrawn in place; elsewhere it is a line now and then. It goes to stderr, so
//! that stdout holds the result alone.
#![expect(
    clippy::print_stderr,
    reason = "its lines are for the person who waits"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Instant;

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where there is no terminal, a line for this many percent.
const PLAIN_STEP: usize = 10;

/// What is shown.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Submissions that were answered.
    pub submitted: usize,
    /// Jobs that are done.
    pub done: usize,
    /// Who leads, and in which epoch.
    pub leader: Option<(String, u64)>,
    /// The worker that checks an invoice of a market now, by the market.
    pub running: BTreeMap<String, Vec<String>>,
}

/// The display.
#[derive(Debug)]
pub struct Screen {
    since: Instant,
    jobs: usize,
    submissions: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Live(Live),
    Plain { said: Cell<usize> },
}

#[derive(Debug)]
struct Live {
    all: MultiProgress,
    bar: ProgressBar,
    submitted: ProgressBar,
    leader: ProgressBar,
    running: ProgressBar,
}

impl Screen {
    /// For this many jobs and submissions.
    ///
    /// # Errors
    /// Never, unless a template of ours is wrong.
    pub fn new(jobs: usize, submissions: usize) -> Result<Self> {
        let kind = match std::io::stderr().is_terminal() {
            true => Kind::Live(Live::new(jobs)?),
            false => Kind::Plain { said: Cell::new(0) },
        };
        Ok(Self {
            since: Instant::now(),
            jobs,
            submissions,
            kind,
        })
    }

    /// Says that something happened.
    pub fn event(&self, text: &str) {
        let line = format!("{:>7.2} s  {text}", self.since.elapsed().as_secs_f64());
        match &self.kind {
            // A terminal that is gone has nobody to tell.
            Kind::Live(live) => drop(live.all.println(line)),
            Kind::Plain { .. } => eprintln!("{line}"),
        }
    }

    /// Shows how it stands.
    pub fn show(&self, shown: &Shown) {
        let leader = match &shown.leader {
            Some((name, epoch)) => format!("{name} in epoch {epoch}"),
            None => "nobody".to_owned(),
        };
        match &self.kind {
            Kind::Live(live) => {
                live.bar
                    .set_position(u64::try_from(shown.done).unwrap_or(0));
                let submitted = format!("{} of {}", shown.submitted, self.submissions);
                live.submitted.set_message(submitted);
                live.leader.set_message(leader);
                live.running.set_message(running(shown));
            }
            Kind::Plain { said } => {
                let percent = shown.done * 100 / self.jobs.max(1);
                if percent >= said.get() + PLAIN_STEP {
                    said.set(percent - percent % PLAIN_STEP);
                    self.event(&format!(
                        "{percent} %: {} of {} jobs done, {} submitted; leader: {leader}; running: {}",
                        shown.done,
                        self.jobs,
                        shown.submitted,
                        running(shown)
                    ));
                }
            }
        }
    }

    /// Takes the live part away.
    pub fn close(&self) {
        if let Kind::Live(live) = &self.kind {
            for bar in [&live.bar, &live.submitted, &live.leader, &live.running] {
                bar.finish_and_clear();
            }
        }
    }
}

impl Live {
    fn new(jobs: usize) -> Result<Self> {
        let all = MultiProgress::new();
        let bar = all.add(ProgressBar::new(u64::try_from(jobs)?));
        bar.set_style(
            ProgressStyle::with_template(
                "     done  {wide_bar:.green} {pos} of {len} in {elapsed}",
            )?
            .progress_chars("━╸ "),
        );
        let line = |label: &str| -> Result<ProgressBar> {
            let bar = all.add(ProgressBar::new_spinner());
            let template = format!("{label:>9}  {{wide_msg}}");
            bar.set_style(ProgressStyle::with_template(&template)?);
            Ok(bar)
        };
        Ok(Self {
            bar,
            submitted: line("submitted")?,
            leader: line("leader")?,
            running: line("running")?,
            all,
        })
    }
}

/// Each market that runs, with its workers.
fn running(shown: &Shown) -> String {
    let markets: Vec<String> = shown
        .running
        .iter()
        .map(|(market, workers)| format!("{market} {}", workers.join("+")))
        .collect();
    match markets.is_empty() {
        true => "nothing".to_owned(),
        false => markets.join("  "),
    }
}
