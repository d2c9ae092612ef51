//! The measurements of one broker, in turn, as rows of a table: figure, aim, and whether it is met.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use rustix::process::{Pid, getpid};

use super::bare::{self, Load};
use super::cpu::Meter;
use super::flow::{self, PAYLOAD_LEN, Speed};
use super::kills::{self, Keyed};
use super::system::{Memory, System, memory};
use super::table::milliseconds;

/// A backlog of jobs of this size is more than the coordinator keeps in memory.
const BACKLOG_PAYLOAD_LEN: usize = 1_024;
/// How long a coordinator has nothing to do before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// Which measurements, and how much of each.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Jobs of each run at full speed; 0 leaves these runs out.
    pub jobs: usize,
    /// Runs of each flow, in turn.
    pub runs: usize,
    /// Jobs of the idle run; 0 leaves it out.
    pub idle_jobs: usize,
    /// Jobs a second of the idle run.
    pub idle_rate: u32,
    /// Kills of a leader; 0 leaves them out.
    pub kills: usize,
    /// Kills of a worker, keyed and not; 0 leaves them out.
    pub worker_kills: usize,
    /// Jobs of the backlog; 0 leaves it out.
    pub backlog: usize,
}

/// A broker to measure on.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// Its addresses.
    pub url: &'a str,
    /// On how many servers each stream is kept.
    pub replicas: usize,
    /// The processes of its servers.
    pub servers: &'a [Pid],
    /// Hears of each figure as it comes.
    pub tell: fn(&str),
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    what: String,
    aim: String,
    figure: String,
    verdict: &'static str,
}

impl Row {
    /// The heads of the columns.
    pub const HEAD: [&'static str; 4] = ["measured", "aim", "figure", ""];

    /// Its cells.
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        let verdict = self.verdict.to_owned();
        vec![
            self.what.clone(),
            self.aim.clone(),
            self.figure.clone(),
            verdict,
        ]
    }

    fn plain(what: String, figure: String) -> Self {
        let (aim, verdict) = (String::new(), "");
        Self {
            what,
            aim,
            figure,
            verdict,
        }
    }

    fn judged(what: String, aim: &str, figure: String, met: bool) -> Self {
        let (aim, verdict) = (aim.to_owned(), if met { "ok" } else { "misses" });
        Self {
            what,
            aim,
            figure,
            verdict,
        }
    }
}

/// Makes all measurements of the plan.
///
/// # Errors
/// When one of them fails.
pub async fn measure(site: Site<'_>, plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if plan.jobs > 0 {
        rows.extend(full_speed(site, plan).await?);
    }
    if plan.idle_jobs > 0 {
        rows.extend(idle(site, plan).await?);
    }
    if plan.kills > 0 {
        rows.push(leader_kills(site, plan.kills).await?);
    }
    if plan.worker_kills > 0 {
        let aim = ("< 500 ms", Duration::from_millis(500));
        rows.push(worker_kills(site, plan.worker_kills, Keyed::No, aim).await?);
        let aim = ("< 3 s", Duration::from_secs(3));
        rows.push(worker_kills(site, plan.worker_kills, Keyed::Yes, aim).await?);
    }
    if plan.backlog > 0 {
        rows.extend(backlog(site, plan.backlog).await?);
    }
    Ok(rows)
}

async fn full_speed(site: Site<'_>, plan: &Plan) -> Result<Vec<Row>> {
    let Site {
        url,
        replicas,
        tell,
        ..
    } = site;
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    let mut memory = 0;
    let meters =
        || Ok::<_, anyhow::Error>((Meter::start(site.servers)?, Meter::start(&[getpid()])?));
    for run in 1..=plan.runs {
        let (servers, ends) = meters()?;
        let figures = bare::run(url, replicas, plan.jobs, Load::Full).await?;
        tell(&format!(
            "R{replicas} run {run}: bare flow took {:.1?} of the servers and {:.1?} of all ends for each job",
            servers.per_job(plan.jobs)?,
            ends.per_job(plan.jobs)?,
        ));
        let (servers, ends) = meters()?;
        let speed: Speed = flow::full_speed(url, replicas, plan.jobs).await?;
        tell(&format!(
            "R{replicas} run {run}: system took {:.1?} of the servers, {:.1?} of the coordinator, {:.1?} of submitter and worker",
            servers.per_job(plan.jobs)?,
            speed.coordinator,
            ends.per_job(plan.jobs)?,
        ));
        tell(&format!(
            "R{replicas} run {run}: bare {:.0} jobs/s, system {:.0} jobs/s (ratio {:.2}), submits {:.0}/s and {:.0}/s",
            figures.jobs_per_second,
            speed.jobs_per_second,
            speed.jobs_per_second / figures.jobs_per_second,
            figures.submits_per_second,
            speed.submits_per_second,
        ));
        bare.push(figures.jobs_per_second);
        whole.push(speed.jobs_per_second);
        memory = memory.max(speed.memory);
    }
    let ratios: Vec<f64> = whole.iter().zip(&bare).map(|(w, b)| w / b).collect();
    let best = best(&whole) / best(&bare);
    let (runs, jobs) = (plan.runs, plan.jobs);
    let speeds = |what: &str, all: &[f64]| {
        let figure = format!("{:.0} (median {:.0})", self::best(all), median(all));
        Row::plain(
            format!("{what} R{replicas}, jobs/s, best of {runs} x {jobs}"),
            figure,
        )
    };
    Ok(vec![
        speeds("bare flow", &bare),
        speeds("system", &whole),
        Row::judged(
            format!("system / bare flow R{replicas}"),
            ">= 0.7",
            format!("{best:.2} (median of pairs {:.2})", median(&ratios)),
            best >= 0.7,
        ),
        Row::plain(
            format!("coordinator's peak memory at {jobs} jobs R{replicas}"),
            megabytes(memory),
        ),
    ])
}

async fn idle(site: Site<'_>, plan: &Plan) -> Result<Vec<Row>> {
    let Site {
        url,
        replicas,
        tell,
        ..
    } = site;
    let rate = plan.idle_rate;
    let bare = bare::run(url, replicas, plan.idle_jobs, Load::PerSecond(rate)).await?;
    let system = flow::idle(url, replicas, plan.idle_jobs, rate).await?;
    let show = |latency: &Histogram<u64>| {
        let (p50, p99) = (milliseconds(latency, 0.5), milliseconds(latency, 0.99));
        (p50, p99)
    };
    let (bare_p50, bare_p99) = show(&bare.latency);
    let (p50, p99) = show(&system);
    tell(&format!(
        "R{replicas} at {rate}/s: system p50 {p50}, p99 {p99}; bare p50 {bare_p50}, p99 {bare_p99}"
    ));
    let judged = |name: &str, quantile: f64, aim_us: u64, figure: String| {
        let what = format!("submit to handler start R{replicas}, {rate} jobs/s, {name}");
        // On a cluster the bare flow alone takes longer than the aim for one server.
        if replicas > 1 {
            return Row::plain(what, figure);
        }
        let met = system.value_at_quantile(quantile) < aim_us;
        Row::judged(what, &format!("< {} ms", aim_us / 1_000), figure, met)
    };
    Ok(vec![
        Row::plain(
            format!("bare flow R{replicas}, submit to outcome seen, {rate} jobs/s, p50 / p99"),
            format!("{bare_p50} / {bare_p99}"),
        ),
        judged("p50", 0.5, 1_000, p50),
        judged("p99", 0.99, 3_000, p99),
        idle_memory(site).await?,
    ])
}

/// The memory of a leader that never had anything to do.
async fn idle_memory(site: Site<'_>) -> Result<Row> {
    let mut system = System::start(site.url, site.replicas, 1).await?;
    tokio::time::sleep(IDLE).await;
    let pid = system.coordinator("c1")?.pid();
    let bytes = memory(pid, Memory::Resident)?;
    system.stop().await?;
    let what = format!("idle coordinator's memory R{}", site.replicas);
    let met = bytes < 40 << 20;
    Ok(Row::judged(what, "< 40 MB", megabytes(bytes), met))
}

async fn leader_kills(site: Site<'_>, kills: usize) -> Result<Row> {
    let Site {
        url,
        replicas,
        tell,
        ..
    } = site;
    let times = kills::leaders(url, replicas, kills).await?;
    let (worst, shown) = spread(&times);
    tell(&format!("R{replicas} kills of a leader: {shown}"));
    let what = format!("SIGKILL of the leader to the next dispatch R{replicas}, {kills} kills");
    let met = worst < Duration::from_millis(200);
    Ok(Row::judged(what, "worst < 200 ms", shown, met))
}

async fn worker_kills(
    site: Site<'_>,
    kills: usize,
    keyed: Keyed,
    (aim, limit): (&str, Duration),
) -> Result<Row> {
    let times = kills::workers(site.url, site.replicas, kills, keyed).await?;
    let (worst, shown) = spread(&times);
    let jobs = match keyed {
        Keyed::Yes => "with a key",
        Keyed::No => "without a key",
    };
    let replicas = site.replicas;
    (site.tell)(&format!("R{replicas} kills of a worker, {jobs}: {shown}"));
    let what =
        format!("SIGKILL of a worker to its job elsewhere R{replicas}, {jobs}, {kills} kills");
    let met = worst < limit;
    Ok(Row::judged(what, aim, shown, met))
}

async fn backlog(site: Site<'_>, jobs: usize) -> Result<Vec<Row>> {
    let speed = flow::backlog(site.url, site.replicas, jobs, BACKLOG_PAYLOAD_LEN).await?;
    let replicas = site.replicas;
    let shown = format!("{:.0} jobs/s", speed.jobs_per_second);
    (site.tell)(&format!("R{replicas} backlog of {jobs}: {shown}"));
    let size = format!("backlog of {jobs} x {BACKLOG_PAYLOAD_LEN} bytes R{replicas}");
    let small = format!("(the runs above have {PAYLOAD_LEN} bytes and no backlog)");
    Ok(vec![
        Row::plain(format!("{size}, from the worker's start {small}"), shown),
        Row::plain(
            format!("{size}, coordinator's peak memory"),
            megabytes(speed.memory),
        ),
    ])
}

/// The worst, and worst and median as text.
fn spread(times: &[Duration]) -> (Duration, String) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let worst = sorted.last().copied().unwrap_or_default();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let shown = format!(
        "{} ms (median {} ms)",
        worst.as_millis(),
        median.as_millis()
    );
    (worst, shown)
}

fn best(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}
