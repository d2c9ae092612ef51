//! The time that processes spent on processors: what a job costs, whatever else the machine does.
//! It never adds up what the kernel does on behalf of nobody.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// How long a tick of the kernel's accounts is: 100 a second, by the interface's definition.
const TICK: Duration = Duration::from_millis(10);

/// What a group of processes had spent at one moment.
#[derive(Debug, Clone)]
pub struct Meter {
    pids: Vec<Pid>,
    spent: Duration,
}

impl Meter {
    /// Starts to count. Processes that are gone by the end count for nothing.
    ///
    /// # Errors
    /// When one of them is gone already, or where there is no `/proc`.
    pub fn start(pids: &[Pid]) -> Result<Self> {
        Ok(Self {
            pids: pids.to_vec(),
            spent: total(pids)?,
        })
    }

    /// What was spent since the start for each of `jobs` jobs.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn per_job(&self, jobs: usize) -> Result<Duration> {
        let spent = total(&self.pids)?.saturating_sub(self.spent);
        Ok(spent / u32::try_from(jobs.max(1)).context("too many jobs")?)
    }
}

fn total(pids: &[Pid]) -> Result<Duration> {
    pids.iter().map(|pid| spent(*pid)).sum()
}

fn spent(pid: Pid) -> Result<Duration> {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name of the program stands in brackets and may hold anything; numbers come after it.
    let (_, numbers) = stat.rsplit_once(')').context("no name in its stat")?;
    let mut numbers = numbers.split_whitespace().skip(11);
    let mut ticks = || numbers.next()?.parse::<u32>().ok();
    let (user, system) = ticks().zip(ticks()).context("no times in its stat")?;
    Ok(TICK * (user + system))
}

#[cfg(test)]
mod tests {
    use super::Meter;

    #[test]
    fn a_process_that_computes_spends_time() {
        let meter = Meter::start(&[rustix::process::getpid()]).unwrap();
        let mut sum = 0_u64;
        while meter.per_job(1).unwrap().is_zero() {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        assert!(
            meter.per_job(2).unwrap() <= meter.per_job(1).unwrap(),
            "{sum}"
        );
    }
}
